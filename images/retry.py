"""Trying an ended job again: a new job with the same input, which says what it is a retry of."""

import uuid
from collections.abc import Callable, Iterable

from django.db import transaction

from images import access
from images.commands.copy import copy_again
from images.errors import UserError
from images.jobs.life import ItemInput, job_start
from images.jobs.operations import OPERATIONS
from images.models import Job, JobState, Permission, Upload, User
from images.removal import removal_again

NOT_DONE = (JobState.FAILED, JobState.LOST, JobState.CANCELLED)

Again = Callable[[User, Job], Job]

# Kinds of which the rest is done instead of all of it.
_OTHERWISE: dict[str, Again] = {"remove": removal_again, "copy": copy_again}


def permission_for(job: Job) -> Permission:
    """What it takes to start, cancel or repeat such a job. A kind that is gone is the host managers'."""
    operation = OPERATIONS.get(job.kind)
    return operation.permission if operation else Permission.MANAGE_HOST


def can_retry(job: Job) -> bool:
    """Whether trying again means something; a removal that did all it was asked for has no rest."""
    operation = OPERATIONS.get(job.kind)
    if operation is None or not operation.can_retry or job.is_open or not job.host.is_enabled:
        return False
    if _had_secrets(job):
        return False
    return job.kind != "remove" or job.state in NOT_DONE or _has_rest(job)


def _had_secrets(job: Job) -> bool:
    """They are gone by now, and without them it would be another build."""
    return job.kind == "build" and bool(job.parameters.get("secret_ids"))


def _has_rest(job: Job) -> bool:
    counts = job.result.get("counts") or {}
    return any(counts.get(state) for state in ("failed", "skipped", "unknown"))


def may_retry(user: User, job: Job) -> bool:
    return can_retry(job) and access.can(user, permission_for(job), job.host_id)


def may_change(user: User, job: Job) -> bool:
    """Whether its form may be opened again as it was filled: that shows what was typed, to who typed it."""
    is_own = job.kind == "build" and job.created_by_id == user.pk
    return is_own and not job.is_open and access.can(user, permission_for(job), job.host_id)


BY_BROWSER = ("load", "save")
"""Kinds of which the browser does a part: their form is opened again, for the same hosts or images."""


def may_begin_again(user: User, job: Job) -> bool:
    """Whether the form of a load or save may be opened again."""
    allowed = job.kind in BY_BROWSER and not job.is_open and job.host.is_enabled
    return allowed and access.can(user, permission_for(job), job.host_id)


def job_retry(*, by: User, job: Job, batch: uuid.UUID | None = None) -> Job:
    """Starts it anew. The caller has checked the permission.

    Raises UserError secrets_forgotten, job_no_retry for what can not be repeated, and what starting such a job raises.
    """
    if _had_secrets(job):
        raise UserError("secrets_forgotten")
    if not can_retry(job):
        raise UserError("job_no_retry")
    with transaction.atomic():
        again = _OTHERWISE.get(job.kind, _same)(by, job)
        Job.objects.filter(pk=again.pk).update(retry_of=job, batch=batch)
    again.retry_of, again.batch = job, batch
    return again


def _same(by: User, job: Job) -> Job:
    upload = job.parameters.get("upload")
    if upload and not Upload.objects.filter(pk=upload, created_by=by).exists():
        # What somebody uploaded is theirs alone, and kept for a while only.
        raise UserError("upload_gone")
    items = [
        ItemInput(name, engine_id, copy)
        for name, engine_id, copy in job.items.values_list("name", "engine_id", "copy_id")
    ]
    return job_start(
        kind=job.kind,
        host=job.host,
        by=by,
        parameters=job.parameters,
        items=items,
        subject=job.subject,
        retry_of=job,
    )


def jobs_retry(*, by: User, jobs: Iterable[Job]) -> tuple[list[Job], list[UserError]]:
    """Starts those of the jobs anew that did not succeed, as one batch; and why others could not be."""
    batch = uuid.uuid4()
    started: list[Job] = []
    refused: list[UserError] = []
    for job in jobs:
        if job.state in NOT_DONE:
            try:
                started.append(job_retry(by=by, job=job, batch=batch))
            except UserError as error:
                refused.append(error)
    return started, refused
