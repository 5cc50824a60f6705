"""Cron expressions in words, in the reader's language."""

import re

from django.utils.dates import WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from cleanup import schedule

_NUMBER, _STEP = re.compile(r"\d+"), re.compile(r"\*/(\d+)")
_DAYS = re.compile(r"[0-7](,[0-7])*")


def in_words(cron: str) -> str:
    """What the expression says: a sentence for the usual ones, field by field for the rest.

    Raises ScheduleError where it can not be read.
    """
    english = schedule.in_words(cron)
    minute, hour, day, month, weekday = cron.split()
    if month == "*" and _NUMBER.fullmatch(minute) and _NUMBER.fullmatch(hour):
        said = _at(f"{int(hour):02}:{int(minute):02}", day, weekday)
    elif (hour, day, month, weekday) == ("*", "*", "*", "*"):
        said = _in_the_hour(minute)
    else:
        said = ""
    return said or (english if (get_language() or "en").startswith("en") else _by_field(cron))


def _by_field(cron: str) -> str:
    names = (_("minute"), _("hour"), _("day of the month"), _("month"), _("day of the week"))
    fields = zip(names, cron.split(), strict=True)
    return "; ".join(f"{name} {value}" for name, value in fields if value != "*") or _("Every minute")


def _at(time: str, day: str, weekday: str) -> str:
    if (day, weekday) == ("*", "*"):
        return _("Every day at %(time)s") % {"time": time}
    if (day, weekday) == ("*", "1-5"):
        return _("Monday to Friday at %(time)s") % {"time": time}
    if day == "*" and _DAYS.fullmatch(weekday):
        # Sunday is 0 or 7 here, and the last of Django's week.
        names = [str(WEEKDAYS[(int(number) - 1) % 7]) for number in weekday.split(",")]
        return _("%(days)s at %(time)s") % {"days": ", ".join(names), "time": time}
    if weekday == "*" and _NUMBER.fullmatch(day):
        return _("On day %(day)s of every month at %(time)s") % {"day": int(day), "time": time}
    return ""


def _in_the_hour(minute: str) -> str:
    if _NUMBER.fullmatch(minute):
        return _("Every hour at minute %(minute)s") % {"minute": int(minute)}
    if step := _STEP.fullmatch(minute):
        return _("Every %(count)s minutes") % {"count": int(step[1])}
    return ""
