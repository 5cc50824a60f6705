"""What a person is told on whatever page is open: which of the jobs he or she started have ended."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve

from images.models import Job, User

MOST = 3  # more at once would cover the page
STALE = timedelta(minutes=10)  # a page that lay in the background does not tell old news


@dataclass(frozen=True)
class News:
    """The newest ended jobs, newest last, and how many more there are; `position` is where to go on."""

    jobs: Sequence[Job]
    more_count: int
    position: str


def news_for(user: User, *, after: str, page: str, now: datetime) -> News:
    """Jobs the person started and may see that ended since `after`, a position in the stream of events.

    A job whose own page, or whose batch's, is the one that is open (`page`, its address) is left out: it shows there.
    """
    since = max(_moment(after, now), now - STALE)
    ended = Job.objects.visible_to(user).ended().filter(created_by=user, ended_at__gt=since)
    job, batch = _shown(page)
    if job:
        ended = ended.exclude(pk=job)
    if batch:
        ended = ended.exclude(batch=batch)
    found = list(
        ended.select_related("host").defer("parameters", "detail").order_by("-ended_at", "-id")[:100]
    )
    position = f"{int(found[0].ended_at.timestamp() * 1000) + 1}-0" if found and found[0].ended_at else after
    return News(found[:MOST][::-1], max(len(found) - MOST, 0), position)


def _moment(position: str, now: datetime) -> datetime:
    """The time of a position, which is Redis's clock in milliseconds; now when it is none."""
    milliseconds = position.partition("-")[0]
    if not (milliseconds.isascii() and milliseconds.isdecimal() and len(milliseconds) < 15):
        return now
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _shown(page: str) -> tuple[int | None, uuid.UUID | None]:
    """The job and the batch that the open page is about."""
    try:
        match = resolve(urlsplit(page).path)
    except (Resolver404, ValueError):
        return None, None
    if match.view_name == "images:job-detail":
        return match.kwargs["pk"], None
    return (None, match.kwargs["key"]) if match.view_name == "images:batch-detail" else (None, None)
