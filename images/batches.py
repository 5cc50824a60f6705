"""Jobs that were started together, on several hosts: how they stand, cancelling and repeating them at once."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from images import access
from images.errors import UserError
from images.jobs import queue
from images.jobs.life import job_cancel
from images.jobs.queue import Place
from images.models import Job, JobState, User
from images.retry import NOT_DONE, jobs_retry, may_begin_again, may_retry, permission_for


@dataclass(frozen=True)
class Row:
    """One job of a batch, with what its page would say in short."""

    job: Job
    place: Place | None
    turn: int | None = None  # among those that wait for a worker

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The layers of a transfer or the steps of a build; empty where the job draws none."""
        found = self.job.detail.get("layers") or self.job.detail.get("steps") or []
        return [part for part in found if isinstance(part, dict)]

    @property
    def parts_done(self) -> int:
        return sum(part.get("state") in ("done", "exists", "cached") for part in self.parts)

    @property
    def is_build(self) -> bool:
        return bool(self.job.detail.get("steps"))


@dataclass(frozen=True)
class Batch:
    """The jobs of one click that somebody may see, in the order of their hosts."""

    key: uuid.UUID
    rows: Sequence[Row]
    user: User

    @property
    def jobs(self) -> list[Job]:
        return [row.job for row in self.rows]

    @property
    def first(self) -> Job:
        return self.rows[0].job

    @property
    def is_mixed(self) -> bool:
        """Whether its jobs are about different things: then each says which."""
        return len({job.subject for job in self.jobs}) > 1

    @property
    def is_open(self) -> bool:
        return any(job.is_open for job in self.jobs)

    @property
    def counts(self) -> list[tuple[str, str, int]]:
        """(state, its name, how many), without the states that none is in."""
        counts = Counter(job.state for job in self.jobs)
        return [(state.value, str(state.label), counts[state]) for state in JobState if counts[state]]

    @property
    def ended_count(self) -> int:
        return sum(not job.is_open for job in self.jobs)

    @property
    def outcome(self) -> str:
        """What it has come to so far: "bad" once a job failed or was lost, "good" when all succeeded, else ""."""
        states = {job.state for job in self.jobs}
        if states & {JobState.FAILED, JobState.LOST}:
            return "bad"
        return "good" if states == {JobState.SUCCEEDED} else ""

    @property
    def is_changeable(self) -> bool:
        """Whether the person has the permission for at least one of its jobs."""
        return any(access.can(self.user, permission_for(job), job.host_id) for job in self.jobs)

    @property
    def cancellable(self) -> list[Job]:
        return [job for job in self.jobs if self._can_be_cancelled(job)]

    @property
    def repeatable(self) -> list[Job]:
        """Those that did not succeed and that this person may start again."""
        return [job for job in self.jobs if job.state in NOT_DONE and may_retry(self.user, job)]

    @property
    def to_upload(self) -> list[Job]:
        """Loads that did not succeed: only the browser, which has the file, can begin them again."""
        loads = [job for job in self.jobs if job.kind == "load" and job.state in NOT_DONE]
        return [job for job in loads if may_begin_again(self.user, job)]

    def _can_be_cancelled(self, job: Job) -> bool:
        return (
            job.is_open
            and not job.cancel_requested_at
            and access.can(self.user, permission_for(job), job.host_id)
        )


def batch_of(user: User, key: uuid.UUID) -> Batch | None:
    """The batch as far as the person may see it; None when nothing of it is in sight."""
    jobs = list(_visible(user, key))
    if not jobs:
        return None
    places = queue.places(jobs, user)
    turns = queue.worker_turns(jobs, places)
    return Batch(key, [Row(job, places.get(job.pk), turns.get(job.pk)) for job in jobs], user)


def _visible(user: User, key: uuid.UUID) -> QuerySet[Job]:
    jobs = Job.objects.visible_to(user).filter(batch=key).select_related("host", "created_by")
    return jobs.order_by("host__name", "id")


def batch_cancel(*, by: User, batch: Batch) -> int:
    """Cancels every open job of it that the person may cancel; how many."""
    jobs = batch.cancellable
    for job in jobs:
        job_cancel(by=by, job=job)
    return len(jobs)


def batch_retry(*, by: User, batch: Batch) -> tuple[list[Job], list[UserError]]:
    """Starts those that did not succeed anew, as a batch of their own; and why some could not be."""
    return jobs_retry(by=by, jobs=batch.repeatable)
