"""The life of a job: queued, claimed, watched over, ended. The row is the job; Celery only wakes a worker."""

import logging
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import kombu.exceptions
import redis
from celery import current_app
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from docker.errors import APIError

from images import audit
from images.engine.client import Connection, EngineCut, translated
from images.errors import UserError
from images.jobs import queue as job_queue
from images.jobs.context import JobContext, JobStopped
from images.jobs.operations import OPERATIONS, Operation
from images.live import progress
from images.models import AuditEntry, Host, Job, JobItem, JobSecret, JobState, User
from images.models.job import OPEN_STATES
from images.secrets import masked_text

logger = logging.getLogger(__name__)

SILENT_SECONDS = 45  # nine missed heartbeats: the worker is dead, not slow
ENGINE_SECONDS = 60.0  # how long an engine's answer is waited for, unless an operation says otherwise
MOST_WOKEN = 500  # by one tick: more than any number of workers
MOST_CLAIMS = 50  # each try that fails means that another worker got a job
MOST_ATTEMPTS = 3  # a job that takes its worker down with it is not tried for ever


@dataclass(frozen=True)
class ItemInput:
    """One thing a job is to work on."""

    name: str
    engine_id: str = ""
    copy_id: int | None = None


def job_start(
    *,
    kind: str,
    host: Host,
    by: User | None,
    parameters: dict[str, Any] | None = None,
    items: Sequence[ItemInput] = (),
    batch: uuid.UUID | None = None,
    subject: str = "",
    retry_of: Job | None = None,
    source: Host | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Job:
    """Makes the row and wakes a worker after the commit. The caller has checked permissions.

    `secrets` are stored encrypted, and only until the job asks for them: see JobContext.secrets.
    """
    operation = OPERATIONS[kind]
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            host=host,
            source=source,
            created_by=by,
            queue=operation.queue,
            parameters=parameters or {},
            batch=batch,
            subject=subject[:450],
            retry_of=retry_of,
            progress_total=len(items),
        )
        JobItem.objects.bulk_create(
            JobItem(job=job, position=n, name=item.name, engine_id=item.engine_id, copy_id=item.copy_id)
            for n, item in enumerate(items)
        )
        JobSecret.objects.bulk_create(
            JobSecret(job=job, name=name, value=value) for name, value in (secrets or {}).items()
        )
        audit.record(
            by=by,
            action=f"job.{kind}",
            target=_audited(job),
            host=host,
            outcome=AuditEntry.Outcome.STARTED,
            **({"retry_of": retry_of.pk} if retry_of else {}),
        )
        transaction.on_commit(lambda: dispatch(job))
    return job


def _audited(job: Job) -> str:
    """How the audit log names it: its number, and what it is about."""
    return f"#{job.pk} {job.subject}".strip()


def dispatch(job: Job) -> None:
    """Wakes a worker. If that fails the job stays queued and the next tick tries again."""
    wake("images.tasks.carry_out", job.pk, queue=job.queue)
    announce(job)


def wake(task: str, *arguments: int | str, queue: str = "quick") -> bool:
    """Sends a task without waiting for a broker that is down; whether it was sent.

    To the workers of what takes seconds, or of what takes minutes ("engine").
    """
    try:
        current_app.send_task(task, args=list(arguments), queue=queue, retry=False)
    except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
        logger.warning("%s stays for the next tick: %s", task, error)
        return False
    return True


def announce(job: Job) -> None:
    """Tells the pages that a job's state changed, and who started it that it has ended."""
    data = {
        "id": job.pk, "state": job.state, "done": job.progress_done, "total": job.progress_total,
        "unit": job.progress_unit,
    }  # fmt: skip
    topics = [f"job:{job.pk}", "jobs", f"host:{job.host_id}"]
    if job.created_by_id and not job.is_open:
        topics.append(f"by:{job.created_by_id}")
    progress.publish(*topics, host_id=job.host_id, data=data)


def job_claim(job_id: int) -> Job | None:
    """Takes the job whose turn it is, which need not be the one that the worker was woken for.

    None when no waiting job of that queue may begin: they are somebody else's, or their hosts do as much of
    the sort already as their limits allow.
    """
    for _ in range(MOST_CLAIMS):
        candidates = job_queue.candidates(job_id)
        for pk in candidates:
            if job := _claim(pk):
                announce(job)
                return job
        # Others took all of them since they were looked up; there may be more behind those.
        if not candidates:
            break
    return None


def _claim(pk: int) -> Job | None:
    """Takes this very job by compare-and-swap, as long as its host has room for it."""
    job = Job.objects.filter(pk=pk, state=JobState.QUEUED).select_related("host", "created_by").first()
    if job is None:
        return None
    limit = job_queue.limit_of(job.kind)
    with transaction.atomic():
        if limit:
            # Two workers that count at once would both find room: the row of the host is held meanwhile. (On
            # SQLite the transaction itself is exclusive.)
            concerned = Host.objects.filter(pk__in=job.host_ids).only(limit).order_by("pk")
            hosts = list(concerned.select_for_update(no_key=True))
            if not all(job_queue.has_room(host, limit) for host in hosts):
                return None
        if not _swap(job):
            return None
    job.refresh_from_db(fields=["state", "worker", "attempt", "started_at", "heartbeat_at", "deadline_at"])
    return job


def _swap(job: Job) -> bool:
    now, operation = timezone.now(), OPERATIONS.get(job.kind)
    # The token is new for every claim: a worker that was taken for dead can not write to a job claimed anew.
    token = f"{socket.gethostname()[:50]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    claimed = Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(
        state=JobState.RUNNING,
        worker=token,
        attempt=F("attempt") + 1,
        started_at=now,
        heartbeat_at=now,
        deadline_at=now + timedelta(seconds=operation.deadline_seconds) if operation else None,
    )
    return bool(claimed)


def _wake_next(job: Job) -> None:
    """A job has left its place on its hosts: whoever waits for one is woken."""
    for pk in job_queue.next_in_line(job):
        wake("images.tasks.carry_out", pk, queue=job.queue)


def is_quick(job_id: int) -> bool:
    return Job.objects.filter(pk=job_id, queue="quick").exists()


def job_carry_out(job_id: int) -> None:
    """What a worker does when it is woken. A second delivery of the same task finds nothing to claim."""
    job = job_claim(job_id)
    if job is None:
        return
    operation = OPERATIONS.get(job.kind)
    if operation is None:
        logger.error("Job %s is of the unknown kind %s", job.pk, job.kind)
        _end(job, JobState.FAILED, error=UserError("unexpected", raw=f"No operation {job.kind!r}"))
        return
    if not job.host.is_enabled:
        _end(job, JobState.FAILED, error=UserError("host_switched_off", host=job.host.name))
        return
    with JobContext(job, operation.deadline_seconds) as context:
        state, error = _handled(operation, context)
    _end(job, state, error=error, result=context.result)
    for host_id in context.silent_hosts:
        # Looked at now and not at its next turn: from then on its jobs let those of other hosts go first.
        wake("images.tasks.sync_host", host_id)


def _handled(operation: Operation, context: JobContext) -> tuple[str, UserError | None]:
    """Calls the operation; the state its outcome means, and the error to show."""
    try:
        # Faults of the connection come out of the SDK raw; an engine that went away is no riddle.
        with translated(Connection.of(context.host), ENGINE_SECONDS):
            context.result.update(operation.handler(context))
    except JobStopped as stopped:
        return _stopped(stopped)
    except EngineCut:
        return _stopped(context.stop or JobStopped("lost"))
    except UserError as error:
        # A cancel may end the other side of a transfer before this side has heard of it.
        stop = context.stop or context.reason_to_stop()
        return _stopped(stop) if stop else (JobState.FAILED, error)
    except APIError as error:
        if context.stop:
            return _stopped(context.stop)
        return JobState.FAILED, UserError("engine_refused", raw=str(error.explanation or error)[:2000])
    except Exception as error:
        if context.stop:
            return _stopped(context.stop)
        logger.exception("Job %s failed", context.job.pk)
        return JobState.FAILED, UserError("unexpected", raw=f"{type(error).__name__}: {error}"[:500])
    return JobState.SUCCEEDED, None


def _stopped(stop: JobStopped) -> tuple[str, UserError | None]:
    if stop.reason == "cancelled":
        return JobState.CANCELLED, None
    if stop.reason == "deadline":
        return JobState.FAILED, UserError("job_deadline", limit=stop.detail)
    return JobState.LOST, UserError("job_lost")


def _end(
    job: Job, state: str, *, error: UserError | None = None, result: dict[str, Any] | None = None
) -> None:
    """Writes how it ended, unless the job was taken from this worker meanwhile."""
    values: dict[str, Any] = {"state": state, "ended_at": timezone.now(), "result": result or {}}
    if error:
        # Builders repeat the instruction that failed, and commands what they were called with.
        values |= {
            "error_code": error.code,
            "error_values": {key: masked_text(value) for key, value in error.values.items()},
            "error_raw": masked_text(error.raw)[:4000],
        }
    if not Job.objects.filter(pk=job.pk, state=JobState.RUNNING, worker=job.worker).update(**values):
        return
    job.refresh_from_db()
    _record_end(job)
    announce(job)
    _wake_next(job)


def _record_end(job: Job) -> None:
    done = AuditEntry.Outcome.DONE if job.state == JobState.SUCCEEDED else AuditEntry.Outcome.FAILED
    by, action = job.created_by, f"job.{job.kind}"
    audit.record(by=by, action=action, target=_audited(job), host=job.host, outcome=done, state=job.state)


def job_cancel(*, by: User, job: Job) -> None:
    """Asks for the end of a job: at once when queued; a running one is cut off within about a second."""
    now = timezone.now()
    asked = {"cancel_requested_at": now, "cancel_requested_by": by}
    queued = Job.objects.filter(pk=job.pk, state=JobState.QUEUED)
    with transaction.atomic():
        if not queued.update(state=JobState.CANCELLED, ended_at=now, **asked):
            Job.objects.filter(pk=job.pk, state=JobState.RUNNING, cancel_requested_at=None).update(**asked)
        audit.record(by=by, action="job.cancel", target=_audited(job), host=job.host)
    job.refresh_from_db()
    announce(job)


def job_give_up(job: Job, code: str) -> bool:
    """Ends a job that no worker has taken yet, with a problem of images/problems; whether it was still waiting."""
    values = {"state": JobState.FAILED, "ended_at": timezone.now(), "error_code": code}
    if not Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(**values):
        return False
    job.refresh_from_db()
    _record_end(job)
    announce(job)
    return True


def jobs_reap(now: datetime) -> int:
    """Marks jobs of silent workers as lost, and queues again what is safe to repeat. Returns how many."""
    silent = Job.objects.silent_since(now - timedelta(seconds=SILENT_SECONDS)).select_related("host")
    return sum(_reap(job, now) for job in silent)


def _reap(job: Job, now: datetime) -> bool:
    operation = OPERATIONS.get(job.kind)
    mine = Job.objects.filter(
        pk=job.pk, state=JobState.RUNNING, worker=job.worker, heartbeat_at=job.heartbeat_at
    )
    again = (
        operation is not None
        and operation.repeatable
        and job.attempt < MOST_ATTEMPTS
        # A new attempt has a new deadline: what was stopped at its own is not begun again.
        and (job.deadline_at is None or now < job.deadline_at)
    )
    if job.cancel_requested_at:
        reaped = mine.update(state=JobState.CANCELLED, ended_at=now)
    elif again:
        reaped = mine.update(state=JobState.QUEUED, worker="")
    else:
        reaped = mine.update(state=JobState.LOST, ended_at=now, error_code="job_lost")
    if reaped:
        job.refresh_from_db()
        logger.warning("Job %s lost its worker and is now %s", job.pk, job.state)
        _after_loss(job)
    return bool(reaped)


def _after_loss(job: Job) -> None:
    if job.state == JobState.QUEUED:
        dispatch(job)
        return
    _record_end(job)
    announce(job)
    _wake_next(job)


def secrets_forget(now: datetime) -> int:
    """Deletes the secrets of jobs that ended without asking for them. Returns how many."""
    return JobSecret.objects.exclude(job__state__in=OPEN_STATES).delete()[0]


def jobs_redispatch(now: datetime) -> int:
    """Wakes workers again for queued jobs whose message was lost (Redis restarted, or down at the time).

    Only when the queue is empty: then nothing is under way that would wake them. And only as many as their
    hosts take now: the others are woken when one of these ends.
    """
    waiting = Job.objects.filter(state=JobState.QUEUED, created_at__lt=now - timedelta(seconds=10))
    sent = 0
    for queue in waiting.order_by().values_list("queue", flat=True).distinct():
        if _queue_length(queue) == 0:
            ready = waiting.filter(pk__in=job_queue.ready_jobs(queue)[:MOST_WOKEN]).order_by("id")
            sent += sum(
                wake("images.tasks.carry_out", pk, queue=queue) for pk in ready.values_list("pk", flat=True)
            )
    return sent


def _queue_length(queue: str) -> int | None:
    """How many messages wait; None when Redis can not tell."""
    try:
        return int(progress.client().llen(queue))
    except redis.RedisError:
        return None
