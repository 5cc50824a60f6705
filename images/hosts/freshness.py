"""Keeping the picture of each host fresh: one sync at a time on one host, and what is noted when it fails."""

import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from images.engine import read
from images.engine.client import Connection, Engine, EngineCut, open_engine
from images.engine.snapshots import EngineInfo
from images.errors import UserError
from images.inventory import picture
from images.inventory.picture import SyncResult
from images.jobs.context import JobContext
from images.jobs.life import job_start
from images.jobs.operations import operation
from images.live import progress
from images.models import Host, HostState, Job, JobState, Permission, User

logger = logging.getLogger(__name__)

PING_SECONDS = 2.0  # a healthy engine answers in milliseconds, over a slow line with TLS in half a second
LEASE_SECONDS = 120  # longer than the slowest list; a long first sync renews it after every batch
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5, 300  # between attempts at a host that is down
SYNC_SECONDS = 1800.0  # the first sync of a full host takes minutes; more than this and it drips


def host_refresh(*, by: User, host: Host) -> Job:
    """Takes a new picture as a job one can watch; the one that is already asked for, if there is one.

    Raises UserError host_switched_off.
    """
    if not host.is_enabled:
        raise UserError("host_switched_off", host=host.name)
    waiting = Job.objects.filter(host=host, kind="sync", state=JobState.QUEUED).first()
    return waiting or job_start(kind="sync", host=host, by=by)


@operation(
    "sync",
    label=_("Refresh"),
    permission=Permission.VIEW,
    queue="quick",
    deadline_seconds=180,
    repeatable=True,
)
def _sync(context: JobContext) -> dict[str, Any]:
    host = context.host
    with _reporting(host), _lease(host, wait_seconds=60, check=context.check) as renew:
        with open_engine(Connection.of(host), reach_seconds=PING_SECONDS):
            pass  # One that hangs is told at once; the job's own connection is more patient.
        result = picture_take(host, context.engine, keep_alive=renew, refresh=True)
    return asdict(result)


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


def picture_take(
    host: Host, engine: Engine, *, keep_alive: Callable[[], None] = lambda: None, refresh: bool = False
) -> SyncResult:
    """Reads who the engine is, where that may have changed, and makes the rows match it. Hold the lease."""
    if refresh or not host.is_online or engine.version != host.engine_version:
        with picture.refusals(host):
            _facts_write(host, read.info(engine))
    result = picture.sync(host, engine, keep_alive=keep_alive, refresh=refresh)
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
            picture.forget(host)
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


def error_values(host: Host) -> dict[str, str]:
    """What the sentence of the host's last error names."""
    return {"host": host.name, **host.error_values}


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
