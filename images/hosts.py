"""Hosts: adding, editing, removing, and keeping the picture of each one fresh."""

import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from images import audit, inventory, progress, ssh_keys
from images.background import in_background
from images.engine import read
from images.engine.client import Connection, Engine, EngineCut, open_engine
from images.engine.snapshots import EngineInfo
from images.errors import UserError
from images.inventory import SyncResult
from images.job_context import JobContext
from images.jobs import job_start, wake
from images.models import Host, HostGroup, HostState, Job, JobState, Permission, User
from images.operations import operation

logger = logging.getLogger(__name__)

PING_SECONDS = 2.0  # a healthy engine answers in milliseconds, over a slow line with TLS in half a second
LEASE_SECONDS = 120  # longer than the slowest list; a long first sync renews it after every batch
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5, 300  # between attempts at a host that is down
SYNC_SECONDS = 1800.0  # the first sync of a full host takes minutes; more than this and it drips
QUICK = "quick"


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
            inventory.forget(host)
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


def engine_check(host: Host, engine: Engine, mark: str) -> None:
    """Raises UserError engine_changed unless this is the engine that `mark` was noted for."""
    info = read.info(engine)
    now = Host(
        address=engine.connection.address,
        engine_kind=info.engine_kind,
        engine_id=info.engine_id,
        root_directory=info.root_directory,
    )
    if not mark or now.engine_mark != mark:
        raise UserError("engine_changed", host=host.name)


def _picture_wanted(host: Host) -> None:
    wake("images.tasks.sync_host", host.pk, queue=QUICK)
    progress.publish("hosts", f"host:{host.pk}", host_id=host.pk)


def host_remove(*, by: User, host: Host) -> None:
    """Forgets a host and everything known of it; nothing on the machine changes."""
    pk, name = host.pk, host.name
    with transaction.atomic():
        audit.record(by=by, action="host.remove", target=name, address=host.address)
        host.delete()
        transaction.on_commit(lambda: progress.publish("hosts", "inventory", host_id=pk))


def host_refresh(*, by: User, host: Host) -> Job:
    """Takes a new picture as a job one can watch; the one that is already asked for, if there is one.

    Raises UserError host_switched_off.
    """
    if not host.is_enabled:
        raise UserError("host_switched_off", host=host.name)
    waiting = Job.objects.filter(host=host, kind="sync", state=JobState.QUEUED).first()
    return waiting or job_start(kind="sync", host=host, by=by)


@operation(
    "sync", label=_("Refresh"), permission=Permission.VIEW, queue=QUICK, deadline_seconds=180, repeatable=True
)
def _sync(context: JobContext) -> dict[str, Any]:
    host = context.host
    with _reporting(host), _lease(host, wait_seconds=60, check=context.check) as renew:
        with open_engine(Connection.of(host), reach_seconds=PING_SECONDS):
            pass  # One that hangs is told at once; the job's own connection is more patient.
        result = picture_take(host, context.engine, keep_alive=renew, refresh=True)
    return asdict(result)


def hosts_like(host: Host) -> QuerySet[Host]:
    """Other hosts that are probably the same engine; a reason to warn and never one to refuse."""
    found = hosts_at(address=host.address, engine_id=host.engine_id, root_directory=host.root_directory)
    return found.exclude(pk=host.pk)


def hosts_at(*, address: str, engine_id: str = "", root_directory: str = "") -> QuerySet[Host]:
    """Hosts at the same address, or with the same engine ID that keep their images in the same place.

    Two engines on one machine may report one ID, but they never share the directory of their images.
    """
    same = Q(address=address)
    if engine_id:
        same |= Q(engine_id=engine_id, root_directory=root_directory)
    return Host.objects.filter(same)


def error_values(host: Host) -> dict[str, str]:
    """What the sentence of the host's last error names."""
    return {"host": host.name, **host.error_values}


# Taking a picture


def host_sync(host_id: int, *, wait_seconds: float = 0) -> None:
    """Brings a host's picture up to date; a host that does not answer is marked offline.

    Does nothing when another worker is at it for longer than `wait_seconds`, or the host is gone or off.
    """
    host = Host.objects.filter(pk=host_id, is_enabled=True).first()
    if host is None:
        return
    with (
        contextlib.suppress(UserError, EngineCut),
        _reporting(host),
        _lease(host, wait_seconds=wait_seconds) as renew,
        _without_connection(),
        open_engine(Connection.of(host), reach_seconds=PING_SECONDS, deadline_seconds=SYNC_SECONDS) as engine,
    ):
        picture_take(host, engine, keep_alive=renew)


@contextlib.contextmanager
def _without_connection() -> Iterator[None]:
    """Gives the database connection back before waiting for an engine: PostgreSQL has fewer than there are hosts."""
    if not connection.in_atomic_block:
        connection.close()
    yield


def host_sync_soon(host_id: int) -> None:
    """The same in a thread of its own: a worker must not be held up by an engine that hangs."""
    in_background(host_sync, host_id)


def picture_take(
    host: Host, engine: Engine, *, keep_alive: Callable[[], None] = lambda: None, refresh: bool = False
) -> SyncResult:
    """Reads who the engine is, where that may have changed, and makes the rows match it. Hold the lease."""
    if refresh or not host.is_online or engine.version != host.engine_version:
        with inventory.refusals(host):
            _facts_write(host, read.info(engine))
    result = inventory.sync(host, engine, keep_alive=keep_alive, refresh=refresh)
    host_reached(host)
    return result


def host_reached(host: Host, info: EngineInfo | None = None) -> None:
    """The host answered: it is online, and what is told of its engine is kept. Its last error stays on record."""
    if info is not None:
        _facts_write(host, info)
    came_back = not host.is_online
    host.state, host.failure_count = HostState.ONLINE, 0
    values: dict[str, Any] = {"state": HostState.ONLINE, "failure_count": 0, "next_attempt_at": None}
    if came_back:
        values["state_since"] = timezone.now()
        transaction.on_commit(lambda: progress.publish("hosts", f"host:{host.pk}", host_id=host.pk))
    Host.objects.filter(pk=host.pk).update(**values)


def _facts_write(host: Host, info: EngineInfo) -> None:
    facts = asdict(info) | {"registry_mirrors": list(info.registry_mirrors)}
    before = host.engine_mark
    for name, value in facts.items():
        setattr(host, name, value)
    with transaction.atomic():
        if before and before != host.engine_mark:
            # Another engine answers at this address: a machine that was set up anew, say.
            facts |= {"last_event_key": "", "use_known_since": None, "use_known_before_gap": None}
            inventory.forget(host)
        Host.objects.filter(pk=host.pk).update(**facts)


def host_failed(host: Host, error: UserError) -> None:
    """The host could not be reached: it is offline from now on, and tried again less and less often."""
    now = timezone.now()
    host.refresh_from_db(fields=["state", "failure_count"])
    wait = min(FIRST_WAIT_SECONDS * 2 ** min(host.failure_count, 10), LONGEST_WAIT_SECONDS)
    values: dict[str, Any] = {
        "state": HostState.OFFLINE,
        "failure_count": F("failure_count") + 1,
        "next_attempt_at": now + timedelta(seconds=wait),
        "error_at": now,
        "error_code": error.code,
        "error_values": error.values,
        "error_raw": error.raw[:4000],
    }
    if host.state != HostState.OFFLINE:
        values["state_since"] = now
        logger.warning("%s is offline: %s", host.name, error.code)
        transaction.on_commit(lambda: progress.publish("hosts", f"host:{host.pk}", host_id=host.pk))
    Host.objects.filter(pk=host.pk).update(**values)


@contextlib.contextmanager
def _reporting(host: Host) -> Iterator[None]:
    """Notes on the host why it could not be reached."""
    try:
        yield
    except UserError as error:
        if error.code != "host_busy":
            with contextlib.suppress(Host.DoesNotExist):
                host_failed(host, error)
        raise


@contextlib.contextmanager
def _lease(
    host: Host, *, wait_seconds: float = 0, check: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], None]]:
    """One sync at a time on one host, whichever process it is in. Raises UserError host_busy.

    Gives a function that renews the lease. A worker that dies leaves it to run out.
    """
    worker = f"{socket.gethostname()[:50]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    deadline = time.monotonic() + wait_seconds
    while not _lease_take(host, worker):
        check()
        if time.monotonic() >= deadline:
            raise UserError("host_busy", host=host.name)
        time.sleep(0.2)
    try:
        yield lambda: _lease_renew(host, worker)
    finally:
        Host.objects.filter(pk=host.pk, sync_worker=worker).update(sync_lease_until=None)


def _lease_take(host: Host, worker: str) -> bool:
    now = timezone.now()
    free = Q(sync_lease_until=None) | Q(sync_lease_until__lt=now)
    until = now + timedelta(seconds=LEASE_SECONDS)
    return bool(Host.objects.filter(free, pk=host.pk).update(sync_lease_until=until, sync_worker=worker))


def _lease_renew(host: Host, worker: str) -> None:
    until = timezone.now() + timedelta(seconds=LEASE_SECONDS)
    Host.objects.filter(pk=host.pk, sync_worker=worker).update(sync_lease_until=until)


# What a watcher notes


def watch_began(host: Host, connected_at: datetime, *, is_continuous: bool) -> None:
    """The events since `connected_at` are followed and the picture was taken after it.

    `is_continuous`: the engine still remembered an event from before the gap, so none in between was lost.
    """
    host.refresh_from_db(fields=["use_known_since", "use_known_before_gap"])
    before = host.use_known_since or host.use_known_before_gap
    since = before if is_continuous and before else connected_at
    Host.objects.filter(pk=host.pk).update(
        watched_since=connected_at, use_known_since=since, use_known_before_gap=None
    )


def use_unsure(host: Host) -> None:
    """A container used an image that could not be told: last use is known only from now on."""
    known = Host.objects.filter(pk=host.pk, use_known_since__isnull=False)
    known.update(use_known_since=timezone.now())


def watch_ended(hosts: QuerySet[Host]) -> int:
    """From now on uses may be missed on these hosts: last use is unknown until a watcher is back."""
    hosts.filter(use_known_since__isnull=False).update(
        use_known_before_gap=F("use_known_since"), use_known_since=None
    )
    return hosts.filter(watched_since__isnull=False).update(watched_since=None)


def watches_lapse(now: datetime) -> int:
    """Opens the gap for hosts whose watcher was killed and could not say so."""
    silent = Q(watcher_lease_until=None) | Q(watcher_lease_until__lt=now)
    known = Q(use_known_since__isnull=False) | Q(watched_since__isnull=False)
    return watch_ended(Host.objects.filter(silent & known))
