"""Follows the events of every host, so that inventory and last use are right within seconds.

Hosts are shared out among watchers by lease: a host is followed by the watcher whose name it carries until
the lease runs out. Two watchers on one host for a moment are harmless, because applying an event twice is.
"""

import contextlib
import logging
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone
from docker.errors import APIError

from images.engine.client import Connection, Engine, EngineCut, open_engine
from images.engine.events import is_of_interest, open_events
from images.engine.snapshots import EngineEvent
from images.errors import UserError
from images.hosts import freshness, last_use
from images.inventory.following import events_apply
from images.models import Host

logger = logging.getLogger(__name__)

LEASE_SECONDS = 20.0  # how long a killed watcher's hosts stay unwatched
ROUND_SECONDS = 1.0
TAKEN_PER_ROUND = 10  # so that watchers started together share the hosts, and 200 lists do not start at once
PING_EVERY_SECONDS = 5.0
PING_SECONDS = 3.0
GATHER_SECONDS = 0.15  # events come in bursts; what comes this soon after the first is applied with it
MOST_AT_ONCE = 200
REPLAY_SECONDS = 1.0  # what an engine remembers, it repeats at once
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
RECONCILE_SECONDS = 90.0  # another worker may be at a long first sync
NOTED_EVERY_SECONDS = 5.0
RENEW_SECONDS = 12.0  # a lease with less than this left is renewed

_END = None  # in the queue: the stream has ended


class HostWatch(threading.Thread):
    """Follows one host until it is told to stop: connect, take a picture, apply events, and again."""

    def __init__(self, host: Host) -> None:
        super().__init__(name=f"watch-{host.pk}", daemon=True)
        self.host = host
        self.target = Connection.of(host)
        self._stopping = threading.Event()
        self._engine: Engine | None = None
        self._noted_at = 0.0

    def stop(self) -> None:
        """Ends it from another thread, also while it waits for the engine."""
        self._stopping.set()
        if self._engine is not None:
            self._engine.cut()

    def run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = timezone.now()
            self._attempt()
            # An engine that was followed for a while and broke off is tried again at once.
            lasted = timezone.now() - began > timedelta(seconds=LONGEST_PAUSE_SECONDS)
            pause = FIRST_PAUSE_SECONDS if lasted else min(pause * 2, LONGEST_PAUSE_SECONDS)
            connection.close()
            self._stopping.wait(pause)
        connection.close()

    def _attempt(self) -> None:
        """Follows the host for as long as it can; whatever ends it opens a gap in what is known of use."""
        try:
            self._connect_and_follow()
        except (EngineCut, Host.DoesNotExist):
            pass  # it was asked to stop, or the host was removed from Drydock
        except UserError as error:
            with _whatever_the_database_says():
                freshness.host_failed(self.host, error)
        except Exception:
            # A watcher that died of one strange answer would leave its host unwatched for ever.
            logger.exception("Watching %s broke off", self.host.name)
        finally:
            self._engine = None
            with _whatever_the_database_says():
                last_use.watch_ended(Host.objects.filter(pk=self.host.pk, watcher=self.host.watcher))

    def _connect_and_follow(self) -> None:
        with open_engine(self.target, reach_seconds=PING_SECONDS) as engine:
            self._engine = engine
            if self._stopping.is_set():
                return
            self.host.refresh_from_db()
            connected_at = timezone.now()
            stream = _Stream(engine, since=_since(self.host.last_event_key, connected_at + engine.skew))
            repeated = stream.replayed(self.host.last_event_key)
            is_continuous = any(event.key == self.host.last_event_key for event in repeated)
            if self._list(connected_at):
                is_continuous = self._replay(repeated, engine) and is_continuous
                last_use.watch_began(self.host, connected_at, is_continuous=is_continuous)
                self._follow(stream, engine)

    def _list(self, connected_at: datetime) -> bool:
        """A full list; False when there is none that began after the events were subscribed to."""
        freshness.host_sync(self.host.pk, wait_seconds=RECONCILE_SECONDS)
        self.host.refresh_from_db()
        return bool(self.host.is_online and self.host.synced_at and self.host.synced_at >= connected_at)

    def _replay(self, repeated: list[EngineEvent], engine: Engine) -> bool:
        """What the engine repeated: a short use in the gap is only there. Whether every use could be told.

        An event that can not be applied is passed over: the list has what else it said, and asking for it again
        would never end.
        """
        try:
            return self._apply(repeated, engine)
        except (APIError, DatabaseError):
            logger.exception("What %s repeated could not be applied", self.host.name)
            Host.objects.filter(pk=self.host.pk).update(last_event_key=repeated[-1].key)
            return False

    def _follow(self, stream: "_Stream", engine: Engine) -> None:
        logger.info("Watching %s", self.host.name)
        while not self._stopping.is_set():
            events = stream.gather(PING_EVERY_SECONDS)
            if events is None:
                raise UserError("host_gone", host=self.host.name)
            if events:
                if not self._apply(events, engine):
                    last_use.use_unsure(self.host)
            else:
                engine.ping(PING_SECONDS)
                connection.close()  # A quiet host holds no database connection.

    def _apply(self, events: list[EngineEvent], engine: Engine) -> bool:
        """Whether every use was told. The time is written first: a list that began before is not the last word.

        The key is written last: an event counts as seen only once it was applied. Health checks and the like, of
        which a busy host sends many, move it only now and then.
        """
        row, told = Host.objects.filter(pk=self.host.pk), True
        if any(is_of_interest(event) for event in events):
            row.update(last_event_at=timezone.now())
            self.host.refresh_from_db(fields=["store_kind", "engine_kind", "build_cache_holds_layers"])
            told = events_apply(self.host, events, engine)
        elif not events or time.monotonic() - self._noted_at < NOTED_EVERY_SECONDS:
            return True
        self._noted_at = time.monotonic()
        row.update(last_event_key=events[-1].key)
        return told


@contextlib.contextmanager
def _whatever_the_database_says() -> Iterator[None]:
    """The host may be gone, or the database away: either way the watch goes on or ends by itself."""
    with contextlib.suppress(DatabaseError, Host.DoesNotExist):
        yield


def _since(key: str, now: datetime) -> datetime:
    """From the last event seen, else from just before the subscription, which is not quite at once."""
    nanoseconds = key.partition(":")[0]
    if not nanoseconds.isdecimal():
        return now - timedelta(seconds=2)
    return datetime.fromtimestamp(int(nanoseconds) / 10**9, tz=UTC) - timedelta(seconds=1)


class _Stream:
    """The events of one engine, read by a thread of its own: an engine drops listeners that are slow."""

    def __init__(self, engine: Engine, *, since: datetime) -> None:
        self._queue: queue.Queue[EngineEvent | None] = queue.Queue()
        events = open_events(engine, since=since)
        threading.Thread(target=self._read, args=(events,), name="events", daemon=True).start()

    def _read(self, events: Iterator[EngineEvent]) -> None:
        # However the connection ends, it is the same to the one who waits.
        with contextlib.suppress(Exception):
            for event in events:
                self._queue.put(event)
        self._queue.put(_END)

    def replayed(self, last_key: str) -> list[EngineEvent]:
        """What the engine repeats from its memory; with the event `last_key` in it, nothing was lost."""
        events: list[EngineEvent] = []
        deadline = timezone.now() + timedelta(seconds=REPLAY_SECONDS)
        while (left := (deadline - timezone.now()).total_seconds()) > 0:
            more = self.gather(left)
            if more is None:
                self._queue.put(_END)
                break
            events += more
            if not last_key or any(event.key == last_key for event in events):
                break
        return events

    def gather(self, wait_seconds: float) -> list[EngineEvent] | None:
        """The next events, empty when none came in time; None when the stream has ended."""
        try:
            first = self._queue.get(timeout=wait_seconds)
        except queue.Empty:
            return []
        if first is None:
            return None
        events = [first]
        with contextlib.suppress(queue.Empty):
            while len(events) < MOST_AT_ONCE:
                event = self._queue.get(timeout=GATHER_SECONDS)
                if event is None:
                    self._queue.put(_END)
                    break
                events.append(event)
        return events


class Watcher:
    """Takes free hosts, keeps their leases alive, and lets go of those that are no longer its own."""

    def __init__(self, name: str = "", alive: Path | None = None) -> None:
        """`alive` is a file that is touched after every round, for who looks after this process."""
        self.alive = alive
        self.name = name or f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self.watches: dict[int, HostWatch] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until `stop`. A database that is away for a while ends nothing: the leases run out meanwhile."""
        logger.info("Watcher %s started", self.name)
        while not self._stopping.is_set():
            try:
                self.round()
                if self.alive:
                    self.alive.touch()
            except DatabaseError:
                logger.exception("The database did not answer")
                connection.close()
            self._stopping.wait(ROUND_SECONDS)
        self.release()

    def stop(self) -> None:
        self._stopping.set()

    def round(self) -> None:
        now = timezone.now()
        mine = self._renew(now)
        for pk in list(self.watches):
            if pk not in mine or self.watches[pk].target != Connection.of(mine[pk]):
                self._drop(pk)
        for pk, host in mine.items():
            if pk not in self.watches or not self.watches[pk].is_alive():
                self.watches[pk] = HostWatch(host)
                self.watches[pk].start()
        self._take(now)

    def _renew(self, now: datetime) -> dict[int, Host]:
        """The hosts that still carry this watcher's name, their leases renewed."""
        own = Host.objects.filter(watcher=self.name, is_enabled=True)
        ending = own.filter(watcher_lease_until__lt=now + timedelta(seconds=RENEW_SECONDS))
        ending.update(watcher_lease_until=now + timedelta(seconds=LEASE_SECONDS))
        return {host.pk: host for host in own}

    def _take(self, now: datetime) -> None:
        free = Q(watcher_lease_until=None) | Q(watcher_lease_until__lt=now)
        waiting = Host.objects.filter(free, is_enabled=True).exclude(watcher=self.name)
        for pk in list(waiting.values_list("pk", flat=True)[:TAKEN_PER_ROUND]):
            until = now + timedelta(seconds=LEASE_SECONDS)
            Host.objects.filter(free, pk=pk).update(watcher=self.name, watcher_lease_until=until)

    def _drop(self, pk: int) -> None:
        self.watches.pop(pk).stop()

    def release(self) -> None:
        """Gives every host back, so that another watcher need not wait for the leases to run out."""
        for watch in self.watches.values():
            watch.stop()
        for watch in self.watches.values():
            watch.join(timeout=2)
        self.watches.clear()
        own = Host.objects.filter(watcher=self.name)
        last_use.watch_ended(own)
        own.update(watcher="", watcher_lease_until=None)
        connection.close()
