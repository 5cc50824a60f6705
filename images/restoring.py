"""Gives copies the references back that a removal had taken when it was cut off before the copy itself went.

An engine takes references away one request at a time. Each is noted on the item before its request, so that
after a cancel, a lost worker or an engine that hung it is known what belongs to whom.
"""

import contextlib
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef
from docker.errors import APIError

from images.claims import claimed
from images.engine.client import Connection, EngineCut, open_engine
from images.engine.remove import put_back
from images.errors import UserError
from images.hosts.identity import engine_check
from images.inventory.picture import images_refresh, recount
from images.jobs.life import wake
from images.models import HostState, ItemState, Job, JobItem

OWED_FOR = timedelta(days=1)  # a host that stays away longer is looked after by a person
DEADLINE_SECONDS = 120.0
CLAIM_SECONDS = DEADLINE_SECONDS + 60
TAKEN = "taken"  # the key in an item's error_values


def reference_taken(item: JobItem, reference: str) -> None:
    """Notes it, right before the request."""
    item.state = ItemState.RUNNING
    item.error_values = item.error_values | {TAKEN: [*item.error_values.get(TAKEN, []), reference]}
    JobItem.objects.filter(pk=item.pk).update(state=item.state, error_values=item.error_values)


def jobs_owing(now: datetime) -> int:
    """Wakes a worker for ended removals whose items were cut off, once their host answers."""
    owed = JobItem.objects.filter(
        job=OuterRef("pk"), state__in=(ItemState.RUNNING, ItemState.UNKNOWN), error_values__has_key=TAKEN
    )
    jobs = Job.objects.ended().filter(Exists(owed), kind="remove", ended_at__gt=now - OWED_FOR)
    online = jobs.filter(host__state=HostState.ONLINE, host__is_enabled=True).values_list("pk", flat=True)
    return sum(wake("images.tasks.restore_references", pk) for pk in online[:50])


def references_restore(job_id: int) -> None:
    """Does nothing where nothing is owed; a host that does not answer is tried again by the next tick."""
    with claimed(f"restore job {job_id}", CLAIM_SECONDS) as is_mine:
        jobs = Job.objects.ended().filter(pk=job_id, host__is_enabled=True).select_related("host")
        job = jobs.first() if is_mine else None
        if job is None:
            return
        items = [item for item in job.items.exclude(state=ItemState.PENDING) if TAKEN in item.error_values]
        items = [item for item in items if item.state in (ItemState.RUNNING, ItemState.UNKNOWN)]
        with contextlib.suppress(UserError, EngineCut, APIError):
            _restore(job, items)


def _restore(job: Job, items: list[JobItem]) -> None:
    if not items:
        return
    host = job.host
    with open_engine(Connection.of(host), deadline_seconds=DEADLINE_SECONDS) as engine:
        engine_check(host, engine, job.parameters.get("engine", ""))
        for item in items:
            lost = put_back(engine, item.engine_id, item.error_values[TAKEN])
            values = {"lost": ", ".join(lost)} if lost else {}
            JobItem.objects.filter(pk=item.pk).update(state=ItemState.UNKNOWN, error_values=values)
        images_refresh(host, [item.engine_id for item in items], engine)
        recount(host)
