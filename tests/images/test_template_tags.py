"""How sizes, times and words are written on the pages."""

from datetime import timedelta

import pytest
from django.utils import timezone

from cleanup import wording
from images.templatetags.drydock import ago, code, human_size


@pytest.mark.parametrize(
    ("size_bytes", "written"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (45_300_000, "45.3 MB"),
        (999_600, "1.00 MB"),
        (1_210_000_000, "1.21 GB"),
        (-45_300_000, "-45.3 MB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_have_three_digits_and_a_decimal_unit(size_bytes: int, written: str) -> None:
    assert human_size(size_bytes) == written


def test_commands_in_a_sentence_are_shown_as_code_and_nothing_else_becomes_markup() -> None:
    assert code("Run `docker version` as <user>.") == "Run <code>docker version</code> as &lt;user&gt;."
    assert code("`<b>` and `a`") == "<code>&lt;b&gt;</code> and <code>a</code>"


def test_backtick_without_a_partner_stays_one() -> None:
    assert code("a ` b & c") == "a ` b &amp; c"


def test_times_say_how_long_ago_in_the_largest_unit() -> None:
    moment = timezone.now() - timedelta(days=3, hours=5)
    assert ">3 d ago</time>" in ago(moment)
    assert ">in 59 min</time>" in ago(timezone.now() + timedelta(minutes=59, seconds=30))
    assert ago(None, "never") == "never"


@pytest.mark.parametrize(("hours", "said"), [(0, "less than 1 h"), (1, "1 h"), (23, "23 h")])
def test_young_image_says_how_young(hours: int, said: str) -> None:
    sentence = wording.reason("too_young", {"hours": hours, "minimum": 24})
    assert sentence == f"Arrived {said} ago; the minimum age is 24 h."
