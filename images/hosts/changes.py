"""Hosts: adding, editing, switching and removing them."""

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from images import audit, ssh_keys
from images.errors import UserError
from images.inventory import picture
from images.jobs.life import wake
from images.live import progress
from images.models import Host, HostGroup, HostState, User


def host_add(*, by: User, name: str, address: str, groups: Iterable[HostGroup] = (), **fields: Any) -> Host:
    """Registers a host and has its first picture taken. Raises UserError host_name_taken.

    `fields`: use_tls, tls_ca, tls_certificate, tls_key, ssh_key, ssh_host_key, image_budget_bytes.
    """
    host = Host(name=name, address=address, **fields)
    with transaction.atomic():
        _save(host)
        host.groups.set(groups)
        audit.record(by=by, action="host.add", target=host, host=host, **_audited(host))
        transaction.on_commit(lambda: _picture_wanted(host))
    return host


def host_edit(
    *, by: User, host: Host, name: str, address: str, groups: Iterable[HostGroup] = (), **fields: Any
) -> Host:
    """Changes a host; another address is treated as another engine. Raises UserError host_name_taken."""
    moved = address != host.address
    values = {"name": name, "address": address, "next_attempt_at": None, **fields}
    if moved:
        values |= _unknown_engine()
    for field, value in values.items():
        setattr(host, field, value)
    with transaction.atomic():
        # Only these: workers and watchers have written others since the row was read.
        _save(host, list(values))
        if moved:
            picture.forget(host)
        host.groups.set(groups)
        audit.record(by=by, action="host.edit", target=host, host=host, **_audited(host))
        transaction.on_commit(lambda: _picture_wanted(host))
    return host


def host_switch(*, by: User, host: Host, is_enabled: bool) -> Host:
    """Off: Drydock neither looks at the host nor changes anything there, and what it knows stays as it is.

    What a job is in the middle of is done to its end; jobs that wait fail, saying so.
    """
    if host.is_enabled == is_enabled:
        return host
    host.is_enabled, host.next_attempt_at = is_enabled, None
    with transaction.atomic():
        host.save(update_fields=["is_enabled", "next_attempt_at"])
        audit.record(by=by, action="host.on" if is_enabled else "host.off", target=host, host=host)
        transaction.on_commit(lambda: _picture_wanted(host))
    return host


def host_remove(*, by: User, host: Host) -> None:
    """Forgets a host and everything known of it; nothing on the machine changes."""
    pk, name = host.pk, host.name
    with transaction.atomic():
        audit.record(by=by, action="host.remove", target=name, address=host.address)
        host.delete()
        transaction.on_commit(lambda: progress.publish("hosts", "inventory", host_id=pk))


def _audited(host: Host) -> dict[str, Any]:
    """How it is reached; of the host key that somebody confirmed, the fingerprint."""
    reached: dict[str, Any] = {"address": host.address, "use_tls": host.use_tls}
    if host.ssh_host_key:
        reached["host_key"] = ssh_keys.HostKey.of(host.ssh_host_key).fingerprint
    return reached


def _save(host: Host, fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            host.save(update_fields=fields)
    except IntegrityError as error:
        raise UserError("host_name_taken", name=host.name) from error


def _unknown_engine() -> dict[str, Any]:
    """What was known of the engine at the old address says nothing about the new one."""
    empty = (
        "engine_id",
        "root_directory",
        "store_kind",
        "engine_version",
        "last_event_key",
        "inventory_digest",
        "error_code",
        "error_raw",
    )
    unknown = ("synced_at", "use_known_since", "use_known_before_gap", "error_at")
    return {
        "state": HostState.NEW,
        "state_since": timezone.now(),
        **dict.fromkeys(empty, ""),
        **dict.fromkeys(unknown),
    }


def _picture_wanted(host: Host) -> None:
    wake("images.tasks.sync_host", host.pk)
    progress.publish("hosts", f"host:{host.pk}", host_id=host.pk)
