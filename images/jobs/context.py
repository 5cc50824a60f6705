"""What an operation is given: its job, its engine, and ways to say how far it is."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from django.db import DatabaseError, connection
from django.utils import timezone

from images.engine.client import Connection, Engine, open_engine
from images.errors import UserError
from images.live import progress
from images.meter import Meter
from images.models import Host, HostState, ItemState, Job, JobItem, JobLog, JobState

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5  # how soon a cancel is noticed
HEARTBEAT_SECONDS = 5.0
SEND_SECONDS = 0.25  # progress is told at most this often...
SAVE_SECONDS = 1.0  # ...and written at most this often
FLUSH_CHARACTERS = 256 * 1024  # of log: more than that does not wait for its second
TAIL_CHARACTERS = 16 * 1024  # of a step's log that the page can show at once...
TAIL_CHUNKS = 64  # ...unless it came in very small pieces
REACH_SECONDS = 5.0  # an engine answers in milliseconds; one whose disk is swamped may take a second or two
SILENT_REACH_SECONDS = 2.0
STOP_SECONDS = 60.0  # an operation that still has not ended by then is left to the reaper


class JobStopped(Exception):
    """The job must end: "cancelled" by a person, past its "deadline", or "lost" to another worker."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class JobContext:
    """Use as a context manager: while it is open, a thread beats for the job and watches for its end."""

    def __init__(self, job: Job, deadline_seconds: int) -> None:
        self.job = job
        self.host = job.host
        self.result: dict[str, Any] = {}  # kept also when the operation fails
        self.stop: JobStopped | None = None
        self._deadline_seconds = deadline_seconds
        self._deadline = time.monotonic() + deadline_seconds
        self.silent_hosts: list[int] = []  # that could not be reached
        self._engine: Engine | None = None
        self._cuts: list[Callable[[], None]] = []
        self._stack = contextlib.ExitStack()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"job-{job.pk}", daemon=True)
        self._meter = Meter()
        self._lines: dict[int, list[str]] = {}  # by step
        self._waiting = 0  # characters of log that are not written yet
        self._tails: dict[int, deque[tuple[int, int]]] = {}
        self._writing = threading.RLock()  # of log and progress, which the watching thread writes too
        self._unsaved: dict[str, Any] = {}
        self._unsent: dict[str, Any] = {}
        self._detail: Callable[[], dict[str, Any]] | None = None
        self._saved_at = self._sent_at = self._logged_at = self._told_at = 0.0
        self._beat_at = time.monotonic()

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watcher.join(timeout=10)
        if self.stop:
            # An operation that noticed by itself may be quicker than the cut; its request must end all the same.
            for cut in self._cuts:
                cut()
        try:
            # The log first: what is drawn names its chunks.
            self._flush()
            self._save()
        finally:
            # A fault on closing must not hide what came of the operation.
            with contextlib.suppress(Exception):
                self._stack.close()

    @property
    def engine(self) -> Engine:
        """The host's engine, connected on first use. Raises UserError host_*; EngineCut once stopped."""
        self.check()
        if self._engine is None:
            self._engine = self._open(self.host)
        return self._engine

    def other_engine(self, host: Host) -> Engine:
        """The engine of another host, for as long as the job runs; a cancel cuts it too. Raises as `engine`."""
        self.check()
        return self._open(host)

    def _open(self, host: Host) -> Engine:
        # One that was silent a moment ago gets a moment: it holds a worker that others wait for.
        reach = SILENT_REACH_SECONDS if host.state == HostState.OFFLINE else REACH_SECONDS
        opened = open_engine(Connection.of(host), reach_seconds=reach, give_cut=self._cuts.append)
        try:
            return self._stack.enter_context(opened)
        except UserError:
            self.silent_hosts.append(host.pk)
            raise

    def check(self) -> None:
        """Raises JobStopped when the job was cancelled, is past its deadline, or is not ours any more."""
        if self.stop:
            raise self.stop

    def secrets(self) -> dict[str, str]:
        """The job's secrets by name, for once: they are deleted as they are read."""
        rows = list(self.job.secrets.all())
        self.job.secrets.all().delete()
        return {row.name: row.value for row in rows}

    def items(self) -> list[JobItem]:
        """The items still to be done: a job that is repeated leaves the finished ones alone."""
        open_states = (ItemState.PENDING, ItemState.RUNNING)
        return list(self.job.items.filter(state__in=open_states).select_related("copy"))

    def item_done(
        self,
        item: JobItem,
        state: str,
        *,
        code: str = "",
        values: dict[str, str] | None = None,
        raw: str = "",
    ) -> None:
        """Records one item's outcome at once, so that a killed worker leaves the truth behind."""
        item.state, item.error_code, item.error_values = state, code, values or {}
        item.error_raw, item.ended_at = raw[:4000], timezone.now()
        item.save(update_fields=["state", "error_code", "error_values", "error_raw", "ended_at"])

    def progress(self, done: int, total: int, unit: str = "items") -> None:
        """Says how far it is; told and written now and then: the last word by who watches beside, or at the end."""
        self.check()
        now = time.monotonic()
        if unit != "steps":  # the next step may take a second or an hour: no rate, no time left
            self._meter.measure(done, now)
        with self._writing:
            self._unsaved = {"progress_done": done, "progress_total": total, "progress_unit": unit}
            # What has come whole may still be unpacked for minutes: no rate then, and no time left.
            rate = self._meter.rate if done < total or not total else 0.0
            left = self._meter.left(done, total)
            self._unsent = {"done": done, "total": total, "unit": unit, "rate": rate, "left": left}
        if now - self._saved_at >= SAVE_SECONDS:
            self._save()
        if now - self._sent_at >= SEND_SECONDS:
            self._send()

    def _send(self) -> None:
        with self._writing:
            self._sent_at = time.monotonic()
            unsent, self._unsent = self._unsent, {}
        if unsent:
            self._publish(**unsent)

    def draw(self, detail: Callable[[], dict[str, Any]]) -> None:
        """What the page draws, such as layers or steps: asked for whenever progress is written."""
        self._detail = detail

    def _save(self) -> None:
        with self._writing:
            self._saved_at = time.monotonic()
            drawn = {"detail": self._detail()} if self._detail else {}
            values, self._unsaved = self._unsaved | drawn, {}
            if values:
                self._mine().update(progress_rate=self._meter.rate, **values)

    def log(self, text: str, step: int = 0) -> None:
        """Adds a line to the job's log; lines are gathered for a moment and none is lost.

        A line of a step begins with `#step`, and a chunk of the log holds lines of one step only.
        """
        mark = f"#{step} " if step else ""
        line = f"{mark}{text}" if text.endswith("\n") else f"{mark}{text}\n"
        with self._writing:
            self._lines.setdefault(step, []).append(line)
            self._waiting += len(line)
        if self._waiting >= FLUSH_CHARACTERS or time.monotonic() - self._logged_at >= SAVE_SECONDS:
            self._flush()

    def _flush(self) -> None:
        with self._writing:
            self._logged_at = time.monotonic()
            waiting, self._lines, self._waiting = self._lines, {}, 0
            for step, lines in waiting.items():
                self._write(step, "".join(lines))
        # A log of many megabytes is many chunks a second: the pages need not hear of each.
        if waiting and (self._ended.is_set() or self._logged_at - self._told_at >= SAVE_SECONDS):
            self._told_at = self._logged_at
            self._publish(log=True)

    def _write(self, step: int, text: str) -> None:
        # A null byte is no text to PostgreSQL.
        chunk = JobLog.objects.create(job=self.job, text=text.replace("\0", "\ufffd"))
        if step:
            tail = self._tails.setdefault(step, deque(maxlen=TAIL_CHUNKS))
            tail.append((chunk.pk, len(text)))
            while sum(length for _, length in tail) - tail[0][1] >= TAIL_CHARACTERS:
                tail.popleft()

    def log_chunks(self, step: int) -> list[int]:
        """The keys of the log's chunks that hold the end of what a step wrote."""
        return [pk for pk, _ in self._tails.get(step, ())]

    def _publish(self, **data: Any) -> None:
        """To who watches this job; the host's pages hear of its beginning and end only."""
        event = {"id": self.job.pk, "state": self.job.state} | data
        progress.publish(f"job:{self.job.pk}", host_id=self.host.pk, data=event)

    def _mine(self) -> Any:
        """The row, as long as this worker holds the claim."""
        return Job.objects.filter(pk=self.job.pk, worker=self.job.worker, state=JobState.RUNNING)

    def _watch(self) -> None:
        """Runs beside the operation: heartbeat, cancel, deadline."""
        try:
            while not self._ended.wait(WATCH_SECONDS):
                if stop := self._look():
                    self._stop(stop)
                    return
        finally:
            connection.close()

    def reason_to_stop(self) -> JobStopped | None:
        """Asks the database at once, and not only when the watching thread does."""
        return self._look()

    def _look(self) -> JobStopped | None:
        """Beats when it is time to; why the job must end, or None. A database that is away is asked again."""
        try:
            self._beat()
            self._write_what_waits()
            return self._reason_to_stop()
        except DatabaseError as error:
            logger.warning("Job %s can not reach the database: %s", self.job.pk, error)
            connection.close()
            return None

    def _beat(self) -> None:
        if time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
            self._mine().update(heartbeat_at=timezone.now())
            self._beat_at = time.monotonic()

    def _write_what_waits(self) -> None:
        """An operation that waits for a silent engine has told things that nobody would see until it speaks."""
        now = time.monotonic()
        if self._lines and now - self._logged_at >= SAVE_SECONDS:
            self._flush()
        if self._unsaved and now - self._saved_at >= SAVE_SECONDS:
            # What is drawn belongs to the operation, which may be changing it just now: then the next time.
            with contextlib.suppress(RuntimeError):
                self._save()
        if self._unsent and now - self._sent_at >= SEND_SECONDS:
            self._send()

    def _reason_to_stop(self) -> JobStopped | None:
        found = list(self._mine().values_list("cancel_requested_at", flat=True))
        if not found:
            return JobStopped("lost")
        if time.monotonic() >= self._deadline:
            return JobStopped("deadline", f"{self._deadline_seconds} s")
        return JobStopped("cancelled") if found[0] else None

    def _stop(self, stop: JobStopped) -> None:
        """Orders the end and cuts the engine's connection, which wakes an operation that waits for it."""
        self.stop = stop
        give_up_at = time.monotonic() + STOP_SECONDS
        # The engine may be connected only now: cut again until the operation has ended.
        while not self._ended.wait(0.1) and time.monotonic() < give_up_at:
            for cut in self._cuts:
                cut()
            with contextlib.suppress(DatabaseError):
                self._beat()
