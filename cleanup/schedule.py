"""When a policy runs: a cron expression in a time zone. Pure.

Times that daylight saving skips fire once, when the clock has moved on; times it repeats fire once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

# The fields in their order, by the code of what is wrong with them.
FIELDS = ("bad_minute", "bad_hour", "bad_day", "bad_month", "bad_weekday")


class ScheduleError(ValueError):
    """`field` is "schedule" or "time_zone"; `code` is for wording.py."""

    def __init__(self, field: str, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.field, self.code, self.detail = field, code, detail


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError("time_zone", "bad_time_zone", name) from error


def check(cron: str, zone: str) -> None:
    """Raises ScheduleError when the expression or the zone can not be read, or never comes true."""
    next_times(cron, zone, datetime.now(UTC), 1)


def times(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Every time strictly after `after`, in UTC. Raises ScheduleError."""
    local = zone_of(zone)
    if len(cron.split()) != len(FIELDS):
        raise ScheduleError("schedule", "bad_cron_fields")
    try:
        for moment in CronSim(cron, after.astimezone(local)):
            yield moment.astimezone(UTC)
    except CronSimError as error:
        raise _fault(cron) from error


def _fault(cron: str) -> ScheduleError:
    """Which field can not be read; where each can, their combination is one that never comes."""
    for position, (code, value) in enumerate(zip(FIELDS, cron.split(), strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[position] = value
        try:
            CronSim(" ".join(alone), datetime(2020, 1, 1, tzinfo=UTC))
        except CronSimError:
            return ScheduleError("schedule", code, value)
    return ScheduleError("schedule", "never_comes")


def next_times(cron: str, zone: str, after: datetime, count: int = 5) -> list[datetime]:
    found = list(islice(times(cron, zone, after), count))
    if not found:
        raise ScheduleError("schedule", "never_comes")
    return found


def next_time(cron: str, zone: str, after: datetime) -> datetime:
    return next_times(cron, zone, after, 1)[0]


def last_time(cron: str, zone: str, after: datetime, until: datetime) -> datetime:
    """The latest time after `after` and not later than `until`; `after` itself when there is none.

    Looked for in the last hour first, then in the last day: a month of missed minutes is not gone through.
    """
    for start in (until - timedelta(hours=1), until - timedelta(days=1), after):
        came = takewhile(lambda moment: moment <= until, times(cron, zone, max(start, after)))
        if latest := max(came, default=None):
            return latest
    return after


def in_words(cron: str) -> str:
    """What the expression says, in English. Raises ScheduleError."""
    if len(cron.split()) != len(FIELDS):
        raise ScheduleError("schedule", "bad_cron_fields")
    try:
        return CronSim(cron, datetime(2020, 1, 1, tzinfo=UTC)).explain()
    except CronSimError as error:
        raise _fault(cron) from error
