"""The schedule: daylight saving, and what can not be read."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from cleanup import cron_words, schedule
from cleanup.schedule import ScheduleError


def local(cron: str, zone: str, after: datetime, count: int) -> list[str]:
    zoned = schedule.zone_of(zone)
    return [
        f"{moment.astimezone(zoned):%m-%d %H:%M}" for moment in schedule.next_times(cron, zone, after, count)
    ]


def test_time_that_spring_skips_fires_once_when_the_clock_has_moved_on() -> None:
    start = datetime(2026, 3, 28, 0, 0, tzinfo=UTC)
    assert local("30 2 * * *", "Europe/Berlin", start, 3) == ["03-28 02:30", "03-29 03:00", "03-30 02:30"]


def test_time_that_autumn_repeats_fires_once() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    times = schedule.next_times("30 2 * * *", "Europe/Berlin", start, 2)
    assert times == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]


def test_asking_again_inside_the_repeated_hour_gives_the_next_day() -> None:
    between = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)
    assert schedule.next_time("30 2 * * *", "Europe/Berlin", between) == datetime(
        2026, 10, 26, 1, 30, tzinfo=UTC
    )


def test_time_is_strictly_later() -> None:
    slot = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
    assert schedule.next_time("0 3 * * *", "UTC", slot) == slot + timedelta(days=1)


def test_latest_of_many_missed_times() -> None:
    start = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
    assert schedule.last_time(
        "0 3 * * *", "UTC", start, start + timedelta(days=5, hours=2)
    ) == start + timedelta(days=5)
    assert schedule.last_time("0 3 * * *", "UTC", start, start + timedelta(hours=2)) == start


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("* * * * *", "2027-05-31 23:59"),
        ("*/40 * * * *", "2027-05-31 23:40"),
        ("0 3 * * *", "2027-05-31 03:00"),
        ("0 4 1 * *", "2027-05-01 04:00"),
        ("0 0 29 2 *", "2026-06-01 03:00"),
    ],
)
def test_latest_time_is_found_however_long_the_gap(cron: str, expected: str) -> None:
    after, until = datetime(2026, 6, 1, 3, 0, tzinfo=UTC), datetime(2027, 5, 31, 23, 59, 30, tzinfo=UTC)
    assert f"{schedule.last_time(cron, 'UTC', after, until):%Y-%m-%d %H:%M}" == expected


def test_time_that_is_now_has_come() -> None:
    now = datetime(2026, 6, 2, 3, 0, tzinfo=UTC)
    assert schedule.last_time("0 3 * * *", "UTC", now - timedelta(days=3), now) == now


@pytest.mark.parametrize(
    ("cron", "zone", "field", "code"),
    [
        ("* * * *", "UTC", "schedule", "bad_cron_fields"),
        ("* * * * * *", "UTC", "schedule", "bad_cron_fields"),
        ("61 * * * *", "UTC", "schedule", "bad_minute"),
        ("0 24 * * *", "UTC", "schedule", "bad_hour"),
        ("0 0 32 * *", "UTC", "schedule", "bad_day"),
        ("0 0 1 13 *", "UTC", "schedule", "bad_month"),
        ("0 0 * * 9", "UTC", "schedule", "bad_weekday"),
        ("0 0 30 2 *", "UTC", "schedule", "never_comes"),
        ("0 3 * * *", "Mars/Olympus", "time_zone", "bad_time_zone"),
        ("0 3 * * *", "../etc/passwd", "time_zone", "bad_time_zone"),
    ],
)
def test_what_is_wrong_is_told_by_field(cron: str, zone: str, field: str, code: str) -> None:
    with pytest.raises(ScheduleError) as error:
        schedule.check(cron, zone)
    assert (error.value.field, error.value.code) == (field, code)


def test_words_say_what_the_expression_says() -> None:
    assert schedule.in_words("30 2 * * 1-5") == "At 02:30 on Monday through Friday"


@pytest.mark.parametrize(
    ("cron", "english", "chinese"),
    [
        ("30 2 * * 1-5", "Monday to Friday at 02:30", "周一至周五 02:30"),
        ("0 3 * * *", "Every day at 03:00", "每天 03:00"),
        ("0 4 * * 0,3", "Sunday, Wednesday at 04:00", "星期日, 星期三 04:00"),
        ("5 1 15 * *", "On day 15 of every month at 01:05", "每月 15 日 01:05"),
        ("7 * * * *", "Every hour at minute 7", "每小时的第 7 分钟"),
        ("*/15 * * * *", "Every 15 minutes", "每 15 分钟"),
        ("0 3 1 1 *", "At 03:00 on January 1", "分钟 0; 小时 3; 日期 1; 月份 1"),
    ],
)
def test_words_are_those_of_the_readers_language(cron: str, english: str, chinese: str) -> None:
    with translation.override("en"):
        assert cron_words.in_words(cron) == english
    with translation.override("zh-hans"):
        assert cron_words.in_words(cron) == chinese
