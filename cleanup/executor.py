"""Carries out one plan on one host: that list, in its order, and rather less than more.

Before each small batch the guards are asked again; an item's outcome is written before the next batch. A
killed run is taken up again by another worker: what is marked as being worked on is looked at on the engine
first.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from docker.errors import APIError

from cleanup.guards import Guards
from cleanup.models import HostRun, Item, RunState
from cleanup.rules import KEEP, REGISTRY
from cleanup.runs import OPEN_ITEMS, host_run_end, run_hold, run_settle
from images.engine import read
from images.engine.client import Connection, Engine, EngineCut, open_engine, translated
from images.engine.remove import TIMEOUT_SECONDS, Outcome, independent, put_back, remove_copy
from images.errors import UserError
from images.hosts.identity import engine_check
from images.inventory import picture
from images.jobs.context import JobContext, JobStopped
from images.jobs.operations import operation
from images.live import progress
from images.models import Copy, ItemState, Job, JobState, Permission
from images.removal import stored_bytes

# Large enough that a container list and some queries do not weigh, small enough to be over in a moment.
BATCH = 48
# Engines remove about twice as fast side by side; more threads than this gain nothing.
THREADS = 6
DEADLINE_SECONDS = 4 * 3600
MEASURE_SECONDS = 300.0
# After a stop the job is kept alive for a minute only, and then another worker may take it over.
MEASURE_STOPPED_SECONDS = 30.0


@operation(
    "cleanup", label=_("Cleanup"), permission=Permission.RUN_CLEANUP, repeatable=True,
    deadline_seconds=DEADLINE_SECONDS, limit="most_removals", can_retry=False,
)  # fmt: skip
def cleanup(context: JobContext) -> dict[str, Any]:
    """The operation: removes the items and measures on the engine what that freed."""
    related = ("run", "host_plan__plan__policy", "host")
    host_run = HostRun.objects.select_related(*related).get(pk=context.job.parameters["host_run"])
    if host_run.state != RunState.RUNNING:
        return {}
    work = _Work(context, host_run)
    try:
        work.carry_out()
        _check_mine(context)
    except Exception as error:
        if state := _end_state(context, error):
            work.finish(state)
        raise
    return work.finish(JobState.SUCCEEDED)


def _check_mine(context: JobContext) -> None:
    """Raises JobStopped where another worker has taken the job over: what becomes of the run is that one's to write.

    Asked anew before everything that is written: whoever waited for an engine may have been taken for dead.
    """
    stop = context.reason_to_stop()
    if stop and stop.reason == "lost":
        raise stop


def _end_state(context: JobContext, error: Exception) -> str:
    """How the run ends after this error; "" where another worker has taken it over and goes on with it.

    A cut comes out of the SDK like any fault of the connection, so the job itself is asked why.
    """
    stop = error if isinstance(error, JobStopped) else context.stop or context.reason_to_stop()
    if stop:
        return {"cancelled": str(JobState.CANCELLED), "lost": ""}.get(stop.reason, str(JobState.FAILED))
    return "" if isinstance(error, EngineCut) else str(JobState.FAILED)


class _Work:
    """One run on one host under way. Only this thread talks to the database."""

    def __init__(self, context: JobContext, host_run: HostRun) -> None:
        self.context, self.host, self.host_run = context, context.host, host_run
        self.items = list(host_run.host_plan.items.order_by("position"))
        self.done = sum(item.state not in OPEN_ITEMS for item in self.items)
        plan = host_run.host_plan.plan
        self.guards = Guards(
            self.host,
            self.items,
            made_at=host_run.host_plan.inventory_at or plan.created_at,
            minimum_age=timedelta(hours=plan.policy.minimum_age_hours),
            keep_needs_use=any(
                row["effect"] == KEEP and REGISTRY[row["kind"]].needs_use for row in plan.rules
            ),
        )
        self.gone = {
            item.engine_id for item in self.items if item.state in (ItemState.REMOVED, ItemState.GONE)
        }
        self.changed: set[str] = set()
        self.had_before = set(Copy.objects.filter(host=self.host).values_list("engine_id", flat=True))

    def carry_out(self) -> None:
        engine = self.context.engine
        engine_check(self.host, engine, self.host_run.host_plan.engine_mark)
        if self.host_run.bytes_before is None:
            self.host_run.bytes_before = stored_bytes(self.host, engine)
            self.host_run.save(update_fields=["bytes_before"])
        self._take_up(engine)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="cleanup") as pool:
            for batch in self._batches():
                self.context.check()
                if reason := run_hold(self.host_run):
                    self._skip_rest(reason)
                    return
                self._carry_out_batch(engine, pool, batch)

    def _batches(self) -> Iterator[list[Item]]:
        """Children before parents: side by side goes only what does not depend on each other."""
        waiting = [item for item in self.items if item.state == ItemState.PENDING]
        waiting.sort(key=lambda item: -self.guards.depth(item))
        for _depth, level in groupby(waiting, key=self.guards.depth):
            rows = list(level)
            for start in range(0, len(rows), BATCH):
                yield rows[start : start + BATCH]

    def _take_up(self, engine: Engine) -> None:
        """Looks at what a killed worker was in the middle of: gone was us, else it starts anew."""
        for item in [item for item in self.items if item.state == ItemState.RUNNING]:
            if _is_gone(engine, item.engine_id):
                self._record(item, Outcome(ItemState.REMOVED))
            else:
                put_back(engine, item.engine_id, item.journal)
                item.state = ItemState.PENDING
                item.save(update_fields=["state"])

    def _carry_out_batch(self, engine: Engine, pool: ThreadPoolExecutor, batch: Sequence[Item]) -> None:
        stops = self.guards.stops(engine, batch, timezone.now())
        with transaction.atomic():
            _check_mine(self.context)
            for item in batch:
                if item.pk in stops:
                    code, values = stops[item.pk]
                    texts = {name: str(value) for name, value in values.items()}
                    self._record(item, Outcome(ItemState.SKIPPED, code, texts))
            going = [item for item in batch if item.pk not in stops]
            _mark_running(going)
        futures = [(item, pool.submit(_remove, engine, item)) for item in going]
        failure = self._collect(futures)
        self._tell()
        if failure:
            raise failure

    def _collect(self, futures: Iterable[tuple[Item, "Future[Outcome]"]]) -> BaseException | None:
        """Writes all outcomes of a batch at once; the first failure of the connection, if there was one."""
        failure: BaseException | None = None
        outcomes: list[tuple[Item, Outcome]] = []
        for item, future in futures:
            try:
                outcomes.append((item, future.result()))
            except EngineCut as cut:
                failure = cut
            except UserError as error:
                failure = failure or error
                outcomes.append((item, Outcome(ItemState.UNKNOWN, error.code, error.values, error.raw)))
        with transaction.atomic():
            _check_mine(self.context)
            self._record_removed([item for item, outcome in outcomes if _is_plain(item, outcome)])
            for item, outcome in outcomes:
                if not _is_plain(item, outcome):
                    self._record(item, outcome)
        unknown = next((o for _item, o in outcomes if o.state == ItemState.UNKNOWN), None)
        if unknown and not failure:
            failure = UserError(unknown.code or "host_gone", raw=unknown.raw, **unknown.values)
        return failure

    def _record_removed(self, items: Sequence[Item]) -> None:
        now = timezone.now()
        Item.objects.filter(pk__in=[item.pk for item in items]).update(state=ItemState.REMOVED, ended_at=now)
        for item in items:
            item.state = ItemState.REMOVED
            self.gone.add(item.engine_id)
        self.done += len(items)

    def _record(self, item: Item, outcome: Outcome) -> None:
        item.state, item.outcome_code, item.outcome_values = outcome.state, outcome.code, outcome.values
        item.outcome_raw, item.ended_at = outcome.raw[:4000], timezone.now()
        item.save(update_fields=["state", "outcome_code", "outcome_values", "outcome_raw", "ended_at"])
        self.done += 1
        if item.state in (ItemState.REMOVED, ItemState.GONE):
            self.gone.add(item.engine_id)
        elif item.state in (ItemState.UNTAGGED, ItemState.FAILED) or outcome.lost:
            self.changed.add(item.engine_id)

    def _skip_rest(self, reason: str) -> None:
        for item in self.items:
            if item.state == ItemState.PENDING:
                self._record(item, Outcome(ItemState.SKIPPED, reason))

    def _tell(self) -> None:
        total = len(self.items)
        self.context.progress(self.done, total)
        data = {"id": self.host_run.run_id, "state": RunState.RUNNING, "done": self.done, "total": total}
        progress.publish(
            f"run:{self.host_run.run_id}", host_id=self.host.pk, data=data | {"host": self.host.pk}
        )

    # The end

    def finish(self, job_state: str) -> dict[str, Any]:
        """Brings the inventory up to date, measures, and sums up; also after a failure."""
        # Asked before our own removals leave the inventory: what else is missing or new was somebody else.
        disturbed = self._was_disturbed()
        if self.gone:
            picture.copies_removed(self.host, self.gone)
        self._measure()
        _check_mine(self.context)
        self.host_run.was_disturbed = disturbed or self._was_disturbed()
        self.host_run.save(update_fields=["bytes_after", "freed_bytes", "was_disturbed"])
        host_run_end(self.host_run, job_state)
        run_settle(self.host_run.run)
        return {"freed_bytes": self.host_run.freed_bytes, **self.host_run.promise.values}

    def _measure(self) -> None:
        """Not measured is None and no guess. After a cut the engine needs a new connection."""
        seconds = MEASURE_STOPPED_SECONDS if self.context.stop else MEASURE_SECONDS
        with (
            contextlib.suppress(UserError, EngineCut, APIError),
            open_engine(Connection.of(self.host), deadline_seconds=seconds) as engine,
        ):
            engine_check(self.host, engine, self.host_run.host_plan.engine_mark)
            self._put_back(engine)
            if self.changed:
                picture.images_refresh(self.host, self.changed, engine)
                picture.recount(self.host)
            self.host_run.bytes_after = stored_bytes(self.host, engine)
        before, after = self.host_run.bytes_before, self.host_run.bytes_after
        if before is not None and after is not None:
            self.host_run.freed_bytes = before - after

    def _put_back(self, engine: Engine) -> None:
        """What was cut off between two requests may have lost some of its references; they are its own."""
        for item in self.items:
            if item.state in (ItemState.RUNNING, ItemState.UNKNOWN) and item.journal:
                put_back(engine, item.engine_id, item.journal)
                self.changed.add(item.engine_id)

    def _measured_since(self) -> datetime:
        """When the engine's total was read. A job that waited for its place is measured from its own start."""
        job, begun = self.context.job, self.host_run.run.started_at
        waited_only = job.attempt < 2 and job.started_at
        return waited_only or begun or job.created_at

    def _was_disturbed(self) -> bool:
        """Whether another job, or somebody at the engine, changed the host's images meanwhile."""
        since = self._measured_since()
        others = Job.objects.filter(host=self.host).exclude(pk=self.context.job.pk).exclude(kind="sync")
        overlapping = others.filter(started_at__isnull=False).exclude(ended_at__lt=since)
        has = set(Copy.objects.filter(host=self.host).values_list("engine_id", flat=True))
        vanished = self.had_before - has - self.gone
        by_others = any(item.state == ItemState.GONE for item in self.items)
        return bool(by_others or vanished or has - self.had_before or overlapping.exists())


def _mark_running(items: Sequence[Item]) -> None:
    """Written before the first request: from here on a killed worker leaves something to be looked at."""
    several = [item for item in items if len(independent(item.references)) > 1]
    for item in several:
        item.journal = item.references
    Item.objects.bulk_update(several, ["journal"])
    Item.objects.filter(pk__in=[item.pk for item in items]).update(state=ItemState.RUNNING)
    for item in items:
        item.state = ItemState.RUNNING


def _remove(engine: Engine, item: Item) -> Outcome:
    """Runs in a thread of the pool: engine only, no database."""
    try:
        outcome = remove_copy(
            engine,
            item.engine_id,
            item.references,
            # A tag that moved away was seen by the plan: the image is not what was looked at any more.
            must_have=[name for name in item.references if "@" not in name],
            journal=lambda reference: None,
            containers_checked=True,
        )
    except APIError as error:
        return Outcome(ItemState.FAILED, "engine_refused", raw=str(error.explanation or error))
    if outcome.state == ItemState.GONE and item.is_parent:
        return Outcome(ItemState.REMOVED)  # it went along with its last child
    return outcome


def _is_plain(item: Item, outcome: Outcome) -> bool:
    return outcome.state == ItemState.REMOVED and not outcome.code and not outcome.raw


def _is_gone(engine: Engine, engine_id: str) -> bool:
    with translated(engine.connection, TIMEOUT_SECONDS):
        return read.find_image(engine, engine_id) is None
