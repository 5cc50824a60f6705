"""Model fields of Drydock's own."""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured("ENCRYPTION_KEYS must hold URL-safe base64 keys of 32 bytes.") from error


def sealed(text: str) -> str:
    """The text encrypted, for a form that carries it to its next request without the browser reading it."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def opened(token: str, seconds: int) -> str:
    """What `sealed` sealed, at most so long ago; empty stays empty. Raises InvalidToken."""
    if not token:
        return ""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode(), ttl=seconds).decode()


class EncryptedTextField(models.TextField[str, str]):
    """Text that is encrypted in the database; the newest of `ENCRYPTION_KEYS` encrypts, every key decrypts.

    Empty text stays empty. Filtering by value is impossible: the same text encrypts differently each time.
    """

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if not value:
            return value
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if not value:
            return value
        try:
            return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise ImproperlyConfigured(
                "A stored secret can not be decrypted: put the key it was encrypted with back into ENCRYPTION_KEYS."
            ) from error
