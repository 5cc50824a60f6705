"""Git accounts: which one is used for a repository, and changing them."""

import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

from django.db import transaction

from images import audit
from images.accounts.prefixes import account_save, fitting, host_of
from images.contexts import git
from images.errors import UserError
from images.models import GitAccount, User

# Sent where only a token was entered. GitHub asks for this name with tokens of an app and takes any with others, as
# GitLab, Gitea and Forgejo do; git itself insists on one.
DEFAULT_USERNAME = "x-access-token"


def place_of(url: str) -> str:
    """ "https://Git.example.com:443/acme/api.git" -> "git.example.com/acme/api": what begins with a prefix.

    The path is the one that the server sees: "acme/../other" is not below acme. Raises ValueError for no address.
    """
    parts = urlsplit(url)
    path = posixpath.normpath("/" + unquote(parts.path)).strip("/").removesuffix(".git")
    path = path.replace("\0", "\ufffd")  # a null byte is no text to PostgreSQL
    host = parts.netloc.lower().removesuffix(":443")
    return f"{host}/{path}" if path else host


def is_address(text: str) -> bool:
    """Whether it is the address of a repository, as builds take it."""
    try:
        git.address_check(text)
    except UserError:
        return False
    return True


def account_for(url: str) -> git.Login | None:
    """The account whose prefix fits best, as git takes it."""
    found = fitting(GitAccount, place_of(url))
    if found is None:
        return None
    username = found.username or DEFAULT_USERNAME
    return git.Login(found.name, host_of(found.prefix), username, found.password, found.ca)


def git_account_add(*, by: User, **fields: Any) -> GitAccount:
    """Keeps an account. `fields`: name, prefix, username, password, ca.

    Raises UserError account_name_taken and account_prefix_taken.
    """
    account = GitAccount(**fields)
    _save(by, "git_account.add", account)
    return account


def git_account_edit(*, by: User, account: GitAccount, **fields: Any) -> None:
    """Changes an account. Raises as `git_account_add` does."""
    for name, value in fields.items():
        setattr(account, name, value)
    _save(by, "git_account.edit", account)


def _save(by: User, action: str, account: GitAccount) -> None:
    with transaction.atomic():
        account_save(account)
        audit.record(
            by=by, action=action, target=account.name, prefix=account.prefix, account=account.username
        )


def git_account_remove(*, by: User, account: GitAccount) -> None:
    """Forgets the account; what was built with it stays."""
    with transaction.atomic():
        audit.record(by=by, action="git_account.remove", target=account.name, prefix=account.prefix)
        account.delete()
