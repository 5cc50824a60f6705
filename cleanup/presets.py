"""What the form of a policy offers ready-made: rules, schedules; and a schedule in words."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from cleanup import cron_words, schedule, wording
from images.errors import Text


@dataclass(frozen=True)
class RulePreset:
    """A button that adds a rule, filled in."""

    key: str
    kind: str
    label: Text
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SchedulePreset:
    label: Text
    cron: str


DELETE = (
    RulePreset("dangling", "dangling", _("Dangling images")),
    RulePreset("unused", "unused_for", _("Unused for 30 days"), {"days": 30}),
    RulePreset("old", "older_than", _("Older than 90 days"), {"days": 90}),
    RulePreset("beyond", "beyond_newest", _("Beyond the newest 5"), {"count": 5, "order": "version"}),
    RulePreset("pull-requests", "tag_pattern", _("Pull request tags"), {"pattern": "pr-*"}),
    RulePreset("tags", "tag_pattern", _("Tags of a pattern")),
)
KEEP = (
    RulePreset(
        "newest", "keep_newest", _("The newest 5 of each repository"), {"count": 5, "order": "version"}
    ),
    RulePreset("latest", "keep_pattern", _("Everything tagged latest"), {"pattern": "latest"}),
    RulePreset("releases", "keep_pattern", _("Release tags"), {"pattern": "v[0-9]*"}),
    RulePreset("repository", "keep_pattern", _("A repository"), {"target": "repository"}),
    RulePreset("label", "keep_label", _("A label")),
    RulePreset("used", "used_within", _("Used in the last 14 days"), {"days": 14}),
)
SCHEDULES = (
    SchedulePreset(_("Only by hand"), ""),
    SchedulePreset(_("Every hour"), "0 * * * *"),
    SchedulePreset(_("Every night at 3"), "0 3 * * *"),
    SchedulePreset(_("Weekdays at 20:00"), "0 20 * * 1-5"),
    SchedulePreset(_("Sundays at 4"), "0 4 * * 0"),
    SchedulePreset(_("The first of the month"), "0 4 1 * *"),
)


def rule_preset(key: str) -> RulePreset | None:
    return next((preset for preset in (*DELETE, *KEEP) if preset.key == key), None)


@dataclass(frozen=True)
class Time:
    moment: datetime
    text: str


@dataclass(frozen=True)
class Explained:
    """A schedule in words with its next times, or what is wrong with it; all empty without a schedule."""

    words: str = ""
    times: tuple[Time, ...] = ()
    error: str = ""
    field: str = "schedule"  # the field that is wrong


def explain_schedule(cron: str, zone: str, times: int = 5) -> Explained:
    """Never raises: what is wrong is for the page to say."""
    cron = cron.strip()
    if not cron:
        return Explained()
    try:
        schedule.check(cron, zone)
        moments = schedule.next_times(cron, zone, timezone.now(), times) if times else []
        words = cron_words.in_words(cron)
    except schedule.ScheduleError as error:
        return Explained(error=wording.error(error.code, {"detail": error.detail}), field=error.field)
    return Explained(words=words, times=tuple(Time(moment, local_text(moment, zone)) for moment in moments))


def local_text(moment: datetime, zone: str) -> str:
    """The moment as a clock in that zone shows it, with its day of the week."""
    return date_format(moment.astimezone(ZoneInfo(zone)), "D Y-m-d H:i T")
