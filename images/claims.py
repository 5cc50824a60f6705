"""Work that is no job, done by one worker at a time: a message may come twice, and a tick wakes for it again."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.utils import timezone

from images.models.claim import Claim

CLAIMS_KEPT = timedelta(days=1)


@contextmanager
def claimed(name: str, seconds: float) -> Iterator[bool]:
    """Whether this is the only one at it, in whatever process; given back at the end.

    `seconds`: longer than the work takes. After that the claim of a worker that died is anybody's.
    """
    now, holder = timezone.now(), uuid.uuid4()
    until = now + timedelta(seconds=seconds)
    if not Claim.objects.filter(name=name, until__lt=now).update(holder=holder, until=until):
        Claim.objects.bulk_create([Claim(name=name, holder=holder, until=until)], ignore_conflicts=True)
    mine = Claim.objects.filter(name=name, holder=holder)
    is_mine = mine.exists()
    try:
        yield is_mine
    finally:
        if is_mine:
            mine.delete()


def claims_forget(now: datetime) -> int:
    """Deletes what workers left that died, and nobody came for again."""
    return Claim.objects.filter(until__lt=now - CLAIMS_KEPT).delete()[0]
