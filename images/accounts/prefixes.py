"""Accounts with a prefix, at registries and of git: which one fits best, and keeping one."""

from collections.abc import Iterable
from typing import TypeVar

from django.db import IntegrityError, transaction

from images.errors import UserError
from images.models.account import Account

A = TypeVar("A", bound=Account)


def prefixes_of(place: str) -> list[str]:
    """ "ghcr.io/acme/api" -> "ghcr.io", "ghcr.io/acme", "ghcr.io/acme/api": only whole parts of the path count."""
    parts = place.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def longest(accounts: Iterable[A], place: str) -> A | None:
    """The one of these whose prefix fits best."""
    fitting = set(prefixes_of(place))
    found = [account for account in accounts if account.prefix in fitting]
    return max(found, key=lambda account: len(account.prefix), default=None)


def fitting(model: type[A], place: str) -> A | None:
    """The stored one whose prefix fits best."""
    return longest(model._default_manager.filter(prefix__in=prefixes_of(place)), place)


def host_of(prefix: str) -> str:
    """ "ghcr.io/acme" -> "ghcr.io": the machine, with its port."""
    return prefix.partition("/")[0]


def account_save(account: Account) -> None:
    """Raises UserError account_prefix_taken and account_name_taken."""
    others = type(account)._default_manager.exclude(pk=account.pk)
    if others.filter(prefix=account.prefix).exists():
        raise UserError("account_prefix_taken", prefix=account.prefix)
    try:
        with transaction.atomic():
            account.save()
    except IntegrityError as error:
        raise UserError("account_name_taken", name=account.name) from error
