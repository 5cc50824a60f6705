"""Ended jobs and old audit entries are kept for a time, and then deleted in small batches."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings

from images.models import AuditEntry, Job
from images.models.job import JobQuerySet

# A log may be 50 MB: so few are gone in a moment, and at a tick every 15 s it is a quarter of a million a day.
JOBS_AT_ONCE = 50
ENTRIES_AT_ONCE = 1000

Sparing = Callable[[JobQuerySet], JobQuerySet]
_SPARED: list[Sparing] = []


def spares_jobs(function: Sparing) -> Sparing:
    """For other rooms: takes the jobs out that something of theirs still shows."""
    _SPARED.append(function)
    return function


def jobs_forget(now: datetime) -> int:
    """Deletes jobs that ended more than JOB_DAYS ago, with their items and logs. Returns how many."""
    if not settings.JOB_DAYS:
        return 0
    old = Job.objects.ended().filter(ended_at__lt=now - timedelta(days=settings.JOB_DAYS))
    for spare in _SPARED:
        old = spare(old)
    keys = list(old.order_by("id").values_list("pk", flat=True)[:JOBS_AT_ONCE])
    Job.objects.filter(pk__in=keys).delete()
    return len(keys)


def entries_forget(now: datetime) -> int:
    """Deletes audit entries older than AUDIT_DAYS. Returns how many."""
    if not settings.AUDIT_DAYS:
        return 0
    old = AuditEntry.objects.filter(at__lt=now - timedelta(days=settings.AUDIT_DAYS)).order_by("at")
    keys = list(old.values_list("pk", flat=True)[:ENTRIES_AT_ONCE])
    AuditEntry.objects.filter(pk__in=keys).delete()
    return len(keys)
