"""Registries: accounts to pull and push with, which one is used for a reference, and trying one out."""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from images import audit
from images.accounts.prefixes import account_save, fitting, host_of
from images.claims import claimed
from images.engine.registry_api import RateLimit, RegistryLogin, open_registry
from images.engine.transfer import Credentials
from images.errors import UserError
from images.jobs.life import wake
from images.live import progress
from images.models import Registry, User
from images.references import parse

logger = logging.getLogger(__name__)

TRY_SECONDS = 120.0  # longer than the slowest way to be told
_HUB_SERVER = "https://index.docker.io/v1/"  # what engines call Docker Hub when they sign in


# Which account


def full_repository(name: str) -> str:
    """ "redis:7" -> "docker.io/library/redis": where a reference really is. Raises InvalidReferenceError."""
    parsed = parse(name)
    return f"{parsed.registry}/{parsed.path}"


def spellings(repository: str) -> list[str]:
    """How engines write a repository: Docker leaves Docker Hub's name out, Podman writes everything in full."""
    full = full_repository(repository)
    return list({repository, full, full.removeprefix("docker.io/"), full.removeprefix("docker.io/library/")})


def registry_for(name: str) -> Registry | None:
    """The account with the longest prefix that the reference's repository begins with, at whole path parts."""
    return fitting(Registry, full_repository(name))


def credentials_of(registry: Registry | None) -> Credentials | None:
    """What engines are sent; None where nobody signs in. Docker Hub's address is a special one."""
    if registry is None or not registry.username:
        return None
    host = host_of(registry.prefix)
    server = _HUB_SERVER if host == "docker.io" else host
    return Credentials(registry.username, registry.password, server)


def login_of(registry: Registry) -> RegistryLogin:
    """How Drydock itself talks to it."""
    host = host_of(registry.prefix)
    return RegistryLogin(host, registry.username, registry.password, registry.ca, registry.use_http)


# Changing them


def registry_add(*, by: User, name: str, prefix: str, **fields: Any) -> Registry:
    """Keeps an account and has it tried. `fields`: username, password, ca, use_http.

    Raises UserError account_name_taken and account_prefix_taken.
    """
    registry = Registry(name=name, prefix=prefix, **fields)
    with transaction.atomic():
        account_save(registry)
        _record(by, "registry.add", registry)
        transaction.on_commit(lambda: _try_soon(registry))
    return registry


def registry_edit(*, by: User, registry: Registry, **fields: Any) -> None:
    """Changes an account and has it tried again. Raises as `registry_add` does."""
    for name, value in fields.items():
        setattr(registry, name, value)
    _forget_outcome(registry)
    with transaction.atomic():
        account_save(registry)
        _record(by, "registry.edit", registry)
        transaction.on_commit(lambda: _try_soon(registry))


def _record(by: User, action: str, registry: Registry) -> None:
    audit.record(
        by=by, action=action, target=registry.name, prefix=registry.prefix, account=registry.username,
        plain_http=registry.use_http,
    )  # fmt: skip


def registry_remove(*, by: User, registry: Registry) -> None:
    """Forgets the account; images and the registry itself stay as they are."""
    with transaction.atomic():
        audit.record(by=by, action="registry.remove", target=registry.name, prefix=registry.prefix)
        registry.delete()
        transaction.on_commit(_tell)


# Trying one out: a worker does it, because web reaches no registry


def registry_try(*, by: User, registry: Registry) -> None:
    """Has a worker sign in; `checked_at` is None until it has."""
    _forget_outcome(registry)
    with transaction.atomic():
        registry.save(update_fields=["checked_at", "error_code", "error_values", "error_raw"])
        audit.record(by=by, action="registry.try", target=registry.name)
        transaction.on_commit(lambda: _try_soon(registry))


def _forget_outcome(registry: Registry) -> None:
    registry.checked_at, registry.error_code, registry.error_values, registry.error_raw = None, "", {}, ""


def _try_soon(registry: Registry) -> None:
    wake("images.tasks.try_registry", registry.pk)
    _tell()


def _tell() -> None:
    """To every page that shows registries; the event says nothing but that."""
    progress.publish("registries", host_id=None)


def registries_retry(now: datetime) -> int:
    """Wakes a worker again for tries whose message was lost."""
    waiting = Registry.objects.filter(checked_at=None).values_list("pk", flat=True)
    return sum(wake("images.tasks.try_registry", pk) for pk in waiting)


def registry_try_carry_out(registry_id: int) -> None:
    """Signs in and writes what came of it, unless the account was changed meanwhile."""
    with claimed(f"registry try {registry_id}", TRY_SECONDS) as is_mine:
        registry = Registry.objects.filter(pk=registry_id, checked_at=None).first()
        if registry is not None and is_mine:
            _try(registry)


def _try(registry: Registry) -> None:
    problem: UserError | None = None
    limit: RateLimit | None = None
    try:
        with open_registry(login_of(registry)) as api:
            try:
                api.sign_in()
            finally:
                limit = api.rate_limit
    except UserError as error:
        problem = error
    except Exception as error:
        # An outcome there must be, or it would be tried for ever.
        logger.exception("The try of %s failed", registry)
        problem = UserError("unexpected", raw=type(error).__name__)
    outcome_write(registry, problem, limit)


def outcome_write(registry: Registry, problem: UserError | None, limit: RateLimit | None) -> None:
    """What the last questions to a registry told; None is no problem. A limit that was not told stays."""
    now = timezone.now()
    values: dict[str, Any] = {
        "checked_at": now,
        "error_code": problem.code if problem else "",
        "error_values": problem.values if problem else {},
        "error_raw": problem.raw[:4000] if problem else "",
    }
    if limit:
        values["rate_limit"] = limit.as_json() | {"at": now.isoformat()}
    # The same account still: what was entered meanwhile is tried by a task of its own.
    same = Registry.objects.filter(pk=registry.pk, prefix=registry.prefix, username=registry.username)
    rows = list(same.filter(use_http=registry.use_http))
    if rows and (rows[0].password, rows[0].ca) == (registry.password, registry.ca):
        Registry.objects.filter(pk=registry.pk).update(**values)
    _tell()
