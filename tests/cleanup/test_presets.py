"""What the form of a policy offers ready-made, and a schedule in words."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.utils import translation

from cleanup import presets, rules
from cleanup.presets import Explained, RulePreset, SchedulePreset, explain_schedule, local_text, rule_preset

ALL = [*presets.DELETE, *presets.KEEP]
MONDAY = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.key)
def test_rule_preset_fits_its_rule(preset: RulePreset) -> None:
    rule = rules.REGISTRY[preset.kind]
    assert rule.effect == (rules.DELETE if preset in presets.DELETE else rules.KEEP)
    assert set(preset.parameters) <= {field.name for field in rule.fields}
    asked = {field.name for field in rule.fields if field.default == ""}
    errors = rules.rule_errors(preset.kind, {f.name: f.default for f in rule.fields} | preset.parameters)
    assert set(errors) <= asked - set(preset.parameters), "only what a person still has to fill in"


def test_each_rule_preset_has_a_name_of_its_own() -> None:
    assert len({preset.key for preset in ALL}) == len(ALL)
    for group in (presets.DELETE, presets.KEEP):
        assert len({str(preset.label) for preset in group}) == len(group)


def test_label_says_the_numbers_that_are_filled_in() -> None:
    for preset in ALL:
        for value in preset.parameters.values():
            assert not isinstance(value, int) or str(value) in str(preset.label), preset.key


def test_rule_preset_is_found_by_its_key() -> None:
    for preset in ALL:
        assert rule_preset(preset.key) is preset
    assert rule_preset("") is None
    assert rule_preset("nonsense") is None


@pytest.mark.parametrize("preset", presets.SCHEDULES, ids=lambda preset: preset.cron or "by hand")
def test_schedule_preset_can_be_explained(preset: SchedulePreset) -> None:
    explained = explain_schedule(preset.cron, "Europe/Berlin")
    assert explained.error == ""
    assert len(explained.times) == (5 if preset.cron else 0)
    assert bool(explained.words) is bool(preset.cron)


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 * * * *", "Mon 2026-06-01 13:00 UTC"),
        ("0 3 * * *", "Tue 2026-06-02 03:00 UTC"),
        ("0 20 * * 1-5", "Mon 2026-06-01 20:00 UTC"),
        ("0 4 * * 0", "Sun 2026-06-07 04:00 UTC"),
        ("0 4 1 * *", "Wed 2026-07-01 04:00 UTC"),
    ],
)
def test_preset_comes_when_its_label_says(cron: str, first: str) -> None:
    assert cron in {preset.cron for preset in presets.SCHEDULES}
    with time_machine.travel(MONDAY, tick=False):
        assert explain_schedule(cron, "UTC").times[0].text == first


def test_times_are_told_as_a_clock_there_shows_them() -> None:
    with time_machine.travel(datetime(2026, 10, 24, 12, 0, tzinfo=UTC), tick=False):
        explained = explain_schedule("0 3 * * *", "Europe/Berlin", 2)
    # The clock is set back in the night to Sunday.
    assert [time.text for time in explained.times] == ["Sun 2026-10-25 03:00 CET", "Mon 2026-10-26 03:00 CET"]
    assert [time.moment for time in explained.times] == [
        datetime(2026, 10, 25, 2, 0, tzinfo=UTC),
        datetime(2026, 10, 26, 2, 0, tzinfo=UTC),
    ]
    assert local_text(MONDAY, "Asia/Shanghai") == "Mon 2026-06-01 20:00 CST"


@pytest.mark.parametrize("cron", ["", "   ", "\n"])
def test_without_a_schedule_there_is_nothing_to_explain(cron: str) -> None:
    assert explain_schedule(cron, "Mars/Olympus") == Explained()


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("0 3 * *", "UTC", "schedule"),
        ("0 99 * * *", "UTC", "schedule"),
        ("0 0 30 2 *", "UTC", "schedule"),
        ("nonsense at all in here", "UTC", "schedule"),
        ("0 3 * * *", "Mars/Olympus", "time_zone"),
        ("0 3 * * *", "", "time_zone"),
        ("0 3 * * *", "/etc/passwd", "time_zone"),
        ("0 3 * * *", "x" * 5000, "time_zone"),
        ("0 3 * * *", "\x00", "time_zone"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_no_exception(cron: str, zone: str, field: str) -> None:
    explained = explain_schedule(cron, zone)
    assert explained.error.endswith((".", ")")) or ":" in explained.error
    assert explained.field == field
    assert (explained.words, explained.times) == ("", ())


def test_blanks_around_a_schedule_are_forgiven() -> None:
    assert explain_schedule("  0 3 * * *\n", "UTC").words == "Every day at 03:00"


def test_words_alone_cost_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    explained = explain_schedule("0 3 * * *", "UTC", times=0)
    assert explained.words
    assert explained.times == ()


@pytest.mark.parametrize("part", [*ALL, *presets.SCHEDULES], ids=lambda part: str(part.label))
def test_labels_are_translated_when_they_are_shown(part: Any) -> None:
    """A label made when the module was loaded would stay in the language of that moment."""
    assert not isinstance(part.label, str)
    with translation.override("en"):
        assert str(part.label)
