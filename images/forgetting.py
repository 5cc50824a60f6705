"""Ended jobs, old audit entries and images that nothing has any more are kept for a time, then deleted bit by bit."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef

from images.models import AuditEntry, Container, Copy, Image, ImageLayer, Job, Layer, Pin
from images.models.job import JobQuerySet

# A log may be 50 MB: so few are gone in a moment, and at a tick every 15 s it is a quarter of a million a day.
JOBS_AT_ONCE = 50
ENTRIES_AT_ONCE = 1000
IMAGES_AT_ONCE = 2000  # looked at
UNHELD_AT_ONCE = 200  # deleted, with their documents of some 10 kB each
UNHELD_DAYS = 7  # what comes back within is not read again

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


def images_forget(now: datetime) -> int:
    """Deletes the content of images that no copy, container or pin has had for UNHELD_DAYS. Returns how many.

    A fleet that builds all day would keep every image it ever saw. Each tick looks at some IMAGES_AT_ONCE of them, and
    first notes since when nothing has them: a sync may just be about to add a copy.
    """
    last = Image.objects.aggregate(last=Max("pk"))["last"] or 0
    # By chance, so that nobody has to remember where the last tick was.
    start = random.randrange(0, last + 1, IMAGES_AT_ONCE)  # noqa: S311 - no secret
    images = Image.objects.filter(pk__gte=start, pk__lt=start + IMAGES_AT_ONCE)
    unheld = images
    for holder in (Copy, Container, Pin):
        unheld = unheld.exclude(Exists(holder.objects.filter(image=OuterRef("pk"))))
    images.exclude(unheld_since=None).exclude(pk__in=unheld.values("pk")).update(unheld_since=None)
    unheld.filter(unheld_since=None).update(unheld_since=now)
    old = unheld.filter(unheld_since__lt=now - timedelta(days=UNHELD_DAYS))
    with transaction.atomic():
        keys = list(old.values_list("pk", flat=True)[:UNHELD_AT_ONCE])
        layers = set(ImageLayer.objects.filter(image__in=keys).values_list("layer_id", flat=True))
        old.filter(pk__in=keys).delete()
        stacked = ImageLayer.objects.filter(layer=OuterRef("pk"))
        Layer.objects.filter(pk__in=layers).exclude(Exists(stacked)).delete()
    return len(keys)
