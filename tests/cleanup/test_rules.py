"""The rules: what each selects or keeps, and what it says of it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cleanup import rules, wording
from cleanup.facts import CopyFacts, HostFacts
from cleanup.patterns import Pattern, PatternError, PatternTooSlow
from cleanup.rules import Unknown, make_rule, rule_errors
from cleanup.versions import version_key
from images.layers import Holdings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def copy(key: int = 1, *tags: str, **fields: Any) -> CopyFacts:
    pairs = tuple((tag.rpartition(":")[0], tag.rpartition(":")[2]) for tag in tags)
    defaults: dict[str, Any] = {
        "engine_id": f"sha256:{key:064x}",
        "name": tags[0] if tags else str(key),
        "arrived_at": NOW - 100 * DAY,
    }
    return CopyFacts(key=key, tags=pairs, **(defaults | {"references": tags} | fields))


def host(*copies: CopyFacts, known_since: datetime | None = NOW - 365 * DAY) -> HostFacts:
    return HostFacts(copies=copies, holdings=Holdings((), {}), use_known_since=known_since)


def verdict(kind: str, parameters: dict[str, Any], chosen: CopyFacts, facts: HostFacts | None = None) -> Any:
    return make_rule(kind, parameters).matches(chosen, facts or host(chosen), NOW)


def selected(kind: str, parameters: dict[str, Any], *copies: CopyFacts) -> set[str]:
    facts = host(*copies)
    return {c.name for c in copies if make_rule(kind, parameters).matches(c, facts, NOW) is not None}


def test_dangling_is_what_has_no_tag() -> None:
    assert verdict("dangling", {}, copy()) == {}
    assert verdict("dangling", {}, copy(references=("app@sha256:1",))) == {}
    assert verdict("dangling", {}, copy(1, "app:1")) is None


def test_unused_counts_from_last_use_else_from_arrival() -> None:
    days = {"days": 30}
    assert verdict("unused_for", days, copy(last_used_at=NOW - 31 * DAY)) == {
        "days": 30,
        "ago": 31,
        "event": "used",
    }
    assert verdict("unused_for", days, copy(last_used_at=NOW - 29 * DAY)) is None
    assert verdict("unused_for", days, copy(arrived_at=NOW - 40 * DAY)) == {
        "days": 30,
        "ago": 40,
        "event": "arrived",
    }
    assert verdict("unused_for", days, copy(arrived_at=NOW - 3 * DAY)) is None


@pytest.mark.parametrize("kind", ["unused_for", "used_within"])
def test_rules_about_use_do_not_guess(kind: str) -> None:
    old = copy()
    with pytest.raises(Unknown):
        verdict(kind, {"days": 30}, old, host(old, known_since=None))
    with pytest.raises(Unknown) as unknown:
        verdict(kind, {"days": 30}, old, host(old, known_since=NOW - 5 * DAY))
    assert unknown.value.values["known_since"] == (NOW - 5 * DAY).isoformat()


def test_what_arrived_while_somebody_watched_is_known() -> None:
    fresh = copy(arrived_at=NOW - 4 * DAY)
    facts = host(fresh, known_since=NOW - 5 * DAY)
    assert verdict("used_within", {"days": 30}, fresh, facts) is None
    assert verdict("unused_for", {"days": 3}, fresh, facts) == {"days": 3, "ago": 4, "event": "arrived"}


def test_used_within_keeps_what_was_used_lately() -> None:
    assert verdict("used_within", {"days": 14}, copy(last_used_at=NOW - 13 * DAY)) == {"days": 14, "ago": 13}
    assert verdict("used_within", {"days": 14}, copy(last_used_at=NOW - 15 * DAY)) is None


def test_older_than_goes_by_the_build_date_and_never_guesses_one() -> None:
    assert verdict("older_than", {"days": 90}, copy(built_at=NOW - 91 * DAY)) == {"days": 90, "ago": 91}
    assert verdict("older_than", {"days": 90}, copy(built_at=NOW - 89 * DAY)) is None
    assert verdict("older_than", {"days": 90}, copy(built_at=None)) is None


def test_versions_sort_as_versions_and_not_as_text() -> None:
    tags = [
        "1.9",
        "1.10.0-rc1",
        "1.10.0-rc.2",
        "1.10",
        "v1.10.1",
        "1.10.2-alpine",
        "2.0.0-SNAPSHOT",
        "2.0.0-beta.3",
        "2",
    ]
    keys = [version_key(tag) for tag in tags]
    assert None not in keys
    assert keys == sorted(keys, key=lambda key: key or ((), 0, 0))


@pytest.mark.parametrize("tag", ["latest", "main", "7f3ab21", "pr-12", "release-1.2", ""])
def test_what_is_no_version_is_not_taken_for_one(tag: str) -> None:
    assert version_key(tag) is None


def test_beyond_newest_counts_versions_and_other_tags_apart() -> None:
    copies = [copy(n, f"app:1.{n}") for n in range(5)]
    copies += [
        copy(10 + n, f"app:{tag}", built_at=NOW - n * DAY) for n, tag in enumerate(["latest", "main", "dev"])
    ]
    assert selected("beyond_newest", {"count": 2, "order": "version"}, *copies) == {
        "app:1.0", "app:1.1", "app:1.2", "app:dev",
    }  # fmt: skip


def test_beyond_newest_by_date_mixes_all_tags() -> None:
    copies = [copy(n, f"app:{tag}", built_at=NOW - n * DAY) for n, tag in enumerate(["1.0", "main", "2.0"])]
    assert selected("beyond_newest", {"count": 2, "order": "date"}, *copies) == {"app:2.0"}


def test_an_image_is_counted_once_however_many_tags_it_has() -> None:
    copies = [copy(1, "app:1.0"), copy(2, "app:2.0", "app:2", "app:2.0.0"), copy(3, "app:3.0")]
    assert selected("keep_newest", {"count": 2, "order": "version"}, *copies) == {"app:2.0", "app:3.0"}


def test_among_the_newest_of_one_repository_is_enough() -> None:
    copies = [copy(1, "app:1", "mirror/app:9"), copy(2, "app:2"), copy(3, "app:3")]
    assert selected("beyond_newest", {"count": 1, "order": "version"}, *copies) == {"app:2"}
    assert selected("keep_newest", {"count": 1, "order": "version"}, *copies) == {"app:1", "app:3"}


def test_place_is_told() -> None:
    copies = [copy(n, f"app:{n}") for n in (1, 2, 3)]
    told = verdict("keep_newest", {"count": 2, "order": "version"}, copies[1], host(*copies))
    assert told == {"count": 2, "order": "version", "repository": "app", "place": 2}
    assert wording.reason("keep_newest", told) == "Place 2 of the newest 2 by version in app."


def test_tag_pattern_needs_all_tags_to_match() -> None:
    rule = {"pattern": "pr-*", "syntax": "glob", "target": "tag"}
    assert verdict("tag_pattern", rule, copy(1, "app:pr-1", "app:pr-2"))
    assert verdict("tag_pattern", rule, copy(1, "app:pr-1", "app:1.0")) is None
    assert verdict("tag_pattern", rule, copy(1)) is None, "without a tag there is nothing to match"


@pytest.mark.parametrize(
    ("pattern", "syntax", "target", "matches"),
    [
        ("app:v*", "glob", "reference", True),
        ("app", "glob", "repository", True),
        ("v[0-9]+", "regex", "tag", True),
        ("v", "regex", "tag", False),  # the whole name, and not a part of it
        ("team/*", "glob", "repository", True),
        ("v?", "glob", "tag", True),
        ("V1", "glob", "tag", False),
    ],
)
def test_keep_pattern_matches_whole_names(pattern: str, syntax: str, target: str, matches: bool) -> None:
    chosen = copy(1, "app:v1", "team/app:x")
    rule = {"pattern": pattern, "syntax": syntax, "target": target}
    assert (verdict("keep_pattern", rule, chosen) is not None) == matches


def test_keep_label_by_key_or_value() -> None:
    chosen = copy(labels={"keep": "true"})
    assert verdict("keep_label", {"label": "keep"}, chosen)
    assert verdict("keep_label", {"label": "keep=true"}, chosen)
    assert verdict("keep_label", {"label": "keep=no"}, chosen) is None
    assert verdict("keep_label", {"label": "other"}, chosen) is None


def test_expression_that_never_ends_is_cut_off() -> None:
    slow = Pattern(r"(?:(a|aa)+)+\1*b?(a|aa)+$(?<!a)", "regex")
    started = time.monotonic()
    with pytest.raises(PatternTooSlow):
        [slow.matches("a" * length + "!") for length in range(30, 400, 10)]
    with pytest.raises(PatternTooSlow):
        slow.matches("a")  # it is not tried again
    assert time.monotonic() - started < 5


def test_slow_expression_selects_nothing_and_keeps_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Pattern, name: str) -> bool:
        raise PatternTooSlow

    monkeypatch.setattr(Pattern, "matches", never)
    for kind in ("tag_pattern", "keep_pattern"):
        with pytest.raises(Unknown) as unknown:
            verdict(kind, {"pattern": "x", "syntax": "regex", "target": "tag"}, copy(1, "app:1"))
        assert unknown.value.code == "slow_pattern"


@pytest.mark.parametrize(("text", "code"), [("", "required"), ("(", "bad_regex"), ("a" * 201, "too_long")])
def test_pattern_that_can_not_be_used_is_refused(text: str, code: str) -> None:
    with pytest.raises(PatternError) as error:
        Pattern(text, "regex")
    assert error.value.code == code


def test_errors_are_told_by_field() -> None:
    assert rule_errors("unused_for", {"days": 30}) == {}
    assert rule_errors("unused_for", {"days": "x"})["days"].code == "not_a_number"
    assert rule_errors("unused_for", {"days": 0})["days"].code == "out_of_range"
    assert rule_errors("unused_for", {})["days"].code == "required"
    assert rule_errors("beyond_newest", {"count": 3, "order": "size"})["order"].code == "bad_choice"
    assert (
        rule_errors("tag_pattern", {"pattern": "(", "syntax": "regex", "target": "tag"})["pattern"].code
        == "bad_regex"
    )
    assert rule_errors("nonsense", {})[""].code == "unknown_rule"
    with pytest.raises(ValueError, match="days"):
        make_rule("unused_for", {})


def test_pattern_for_everything_is_known_as_such() -> None:
    globs = [(pattern, "glob") for pattern in ("*", "**", "?*", "*?")]
    expressions = [(text, "regex") for text in (".*", "^.+$", r"[\s\S]*", "(?s).*", ".*?", r"[^/]+|.*/.*")]
    for pattern, syntax in globs + expressions:
        for target in ("tag", "reference"):
            assert make_rule(
                "tag_pattern", {"pattern": pattern, "syntax": syntax, "target": target}
            ).takes_all
    assert make_rule("tag_pattern", {"pattern": "[^/]*", "syntax": "regex", "target": "tag"}).takes_all
    for pattern in ("pr-*", "*-*", "v*", "*.*", "?", "[0-9]*", "*e*"):
        assert not make_rule("tag_pattern", {"pattern": pattern, "syntax": "glob", "target": "tag"}).takes_all


@pytest.mark.parametrize("label", ["=", " =yes", "=yes"])
def test_label_without_a_key_would_keep_nothing_and_is_refused(label: str) -> None:
    assert rule_errors("keep_label", {"label": label})["label"].code == "label_key"
    assert not rule_errors("keep_label", {"label": "keep"})
    assert not rule_errors("keep_label", {"label": "keep="})


@pytest.mark.parametrize("kind", list(rules.REGISTRY))
def test_every_rule_has_words(kind: str) -> None:
    rule = rules.REGISTRY[kind]
    assert kind in wording.RULE_LABELS
    assert kind in wording.RULE_HINTS
    assert all(field.name in wording.FIELD_LABELS for field in rule.fields)
    assert all(choice in wording.CHOICE_LABELS for field in rule.fields for choice in field.choices)
    sentence = wording.rule_sentence(kind, {field.name: field.default or "x" for field in rule.fields})
    assert "%" not in sentence
    assert kind not in sentence
