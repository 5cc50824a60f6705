"""Encrypting stored secrets anew, after a new key was put in front of ENCRYPTION_KEYS."""

from collections.abc import Iterator

from django.apps import apps
from django.db import models, transaction

from images.models.fields import EncryptedTextField

BATCH = 100


def secrets_rotate() -> dict[str, int]:
    """Writes every secret of every model with the newest key; gives how many by "app.Model.field".

    Raises ImproperlyConfigured where one can not be read with any key; what was written by then stays, and is
    readable with the new key as well as before.
    """
    return {
        f"{model._meta.label}.{field.name}": _rotate(model, field.name) for model, field in encrypted_fields()
    }


def encrypted_fields() -> Iterator[tuple[type[models.Model], EncryptedTextField]]:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedTextField) and field.model is model:
                yield model, field


def _rotate(model: type[models.Model], name: str) -> int:
    """In small transactions with the rows locked: an edit meanwhile must not be lost."""
    rows = model._default_manager.exclude(**{name: ""}).exclude(**{f"{name}__isnull": True})
    keys = list(rows.order_by("pk").values_list("pk", flat=True))
    return sum(
        _rotate_batch(model, name, keys[start : start + BATCH]) for start in range(0, len(keys), BATCH)
    )


def _rotate_batch(model: type[models.Model], name: str, keys: list[int]) -> int:
    with transaction.atomic():
        rows = list(model._default_manager.select_for_update().filter(pk__in=keys).only("pk", name))
        for row in rows:
            model._default_manager.filter(pk=row.pk).update(**{name: getattr(row, name)})
    return len(rows)
