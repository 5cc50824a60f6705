"""The planner: order never matters, keep rules and guards always win, bytes are those of the set."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cleanup import rules, wording
from cleanup.facts import CopyFacts, HostFacts
from cleanup.planner import HostDecision, plan_host
from cleanup.rules import Rule, make_rule
from images.layers import Holding, Holdings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DANGLING = make_rule("dangling", {})
BEYOND_ONE = make_rule("beyond_newest", {"count": 1, "order": "version"})
ALL_TAGS = make_rule("tag_pattern", {"pattern": "*", "syntax": "glob", "target": "tag"})


def copy(key: int, *tags: str, **fields: Any) -> CopyFacts:
    pairs = tuple((tag.rpartition(":")[0], tag.rpartition(":")[2]) for tag in tags)
    defaults: dict[str, Any] = {
        "engine_id": f"sha256:{key:064x}",
        "name": tags[0] if tags else f"<{key}>",
        "arrived_at": NOW - 100 * DAY,
    }
    return CopyFacts(key=key, tags=pairs, references=tags, **(defaults | fields))


def host(*copies: CopyFacts, layers: dict[int, tuple[int, ...]] | None = None, **fields: Any) -> HostFacts:
    """Every copy has a layer of its own, of 100 bytes and its key, unless `layers` says otherwise."""
    stacks = {c.key: (layers or {}).get(c.key, (c.key,)) for c in copies}
    sizes = {layer: 100 + layer for stack in stacks.values() for layer in stack}
    holdings = Holdings(
        [
            Holding(
                c.key, stacks[c.key], parent=c.parent, is_tagged=bool(c.tags), is_in_use=bool(c.containers)
            )
            for c in copies
        ],
        sizes,
    )
    return HostFacts(copies=copies, holdings=holdings, **({"use_known_since": NOW - 365 * DAY} | fields))


def decided(facts: HostFacts, *chosen: Rule, **options: Any) -> HostDecision:
    return plan_host(facts, chosen, NOW, **options)


def gone(decision: HostDecision) -> list[str]:
    return [item.copy.name for item in decision.items]


def kept(decision: HostDecision) -> dict[str, str]:
    return {entry.copy.name: entry.reason.code for entry in decision.survivors}


def test_every_copy_is_either_an_item_or_a_survivor_with_one_reason() -> None:
    facts = host(copy(1), copy(2, "app:1"), copy(3, "app:2"))
    decision = decided(facts, DANGLING, BEYOND_ONE)
    assert gone(decision) == ["<1>", "app:1"]
    assert kept(decision) == {"app:2": "not_selected"}
    assert [item.reason.code for item in decision.items] == ["dangling", "beyond_newest"]


def test_guards_win_over_keep_rules_as_the_reason_given() -> None:
    keep = make_rule("keep_pattern", {"pattern": "*", "syntax": "glob", "target": "tag"})
    facts = host(
        copy(1, "a:1", pin={"reason": "Audit"}, containers=("web",)),
        copy(2, "b:1", containers=("web",), wanted_by={"job": 7}),
        copy(3, "c:1", wanted_by={"job": 7}, arrived_at=NOW),
        copy(4, "d:1", arrived_at=NOW),
        copy(5, "e:1"),
    )
    decision = decided(facts, ALL_TAGS, keep, minimum_age=DAY)
    assert kept(decision) == {
        "a:1": "pinned", "b:1": "in_use", "c:1": "wanted", "d:1": "too_young", "e:1": "keep_pattern",
    }  # fmt: skip


def test_unknown_use_blocks_only_the_rules_about_use() -> None:
    facts = host(copy(1), copy(2, "app:1"), copy(3, "app:2"), use_known_since=None)
    unused = make_rule("unused_for", {"days": 30})
    decision = decided(facts, unused, DANGLING)
    assert gone(decision) == ["<1>"]
    assert kept(decision) == {"app:1": "use_unknown", "app:2": "use_unknown"}
    assert gone(decided(facts, unused, DANGLING, BEYOND_ONE)) == ["<1>", "app:1"]


def test_keep_rule_that_can_not_tell_keeps() -> None:
    facts = host(copy(1), use_known_since=None)
    decision = decided(facts, DANGLING, make_rule("used_within", {"days": 7}))
    assert kept(decision) == {"<1>": "use_unknown"}


def family(**child_fields: Any) -> HostFacts:
    """A grandparent and a parent without tags, and a tagged child."""
    return host(
        copy(1, is_intermediate=True),
        copy(2, parent=1, is_intermediate=True),
        copy(3, "app:1", parent=2, **child_fields),
        copy(4, "app:2"),
        layers={1: (10,), 2: (10, 20), 3: (10, 20, 30), 4: (40,)},
    )


def test_untagged_parents_are_items_after_their_children() -> None:
    decision = decided(family(), BEYOND_ONE)
    assert gone(decision) == ["app:1", "<2>", "<1>"]
    assert [item.is_parent for item in decision.items] == [False, True, True]
    assert [item.reason.code for item in decision.items] == ["beyond_newest", "parent", "parent"]
    assert decision.freed.high == sum(item.frees_bytes for item in decision.items) == 110 + 120 + 130


def test_parents_of_what_stays_are_bases() -> None:
    decision = decided(family(containers=("web",)), BEYOND_ONE, DANGLING)
    assert gone(decision) == []
    assert kept(decision) == {"<1>": "base", "<2>": "base", "app:1": "in_use", "app:2": "not_selected"}


def test_tagged_base_of_what_stays_is_kept_and_goes_when_all_go() -> None:
    copies = (copy(1, "base:1"), copy(2, "base:2"), copy(3, "app:1", parent=1, containers=("web",)))
    decision = decided(host(*copies), ALL_TAGS)
    assert gone(decision) == ["base:2"]
    assert decision.survivors[1].reason.values == {"child": "app:1"}
    free = (copies[0], copies[1], copy(3, "app:1", parent=1))
    assert gone(decided(host(*free), ALL_TAGS)) == ["app:1", "base:1", "base:2"]


def test_parent_that_must_stay_keeps_the_children_that_would_take_it_along() -> None:
    facts = host(
        copy(1, is_intermediate=True, pin={"reason": "Audit"}), copy(2, "app:1", parent=1), copy(3, "app:2"),
    )  # fmt: skip
    decision = decided(facts, BEYOND_ONE)
    assert gone(decision) == []
    assert kept(decision)["app:1"] == "base_kept"


def test_rules_that_select_everything_are_noticed() -> None:
    facts = host(copy(1, "a:1"), copy(2, "b:1", containers=("web",)))
    assert decided(facts, ALL_TAGS).takes_all
    assert not decided(facts, BEYOND_ONE).takes_all


def test_shared_layers_are_freed_with_the_last_that_uses_them() -> None:
    facts = host(copy(1), copy(2), copy(3, "app:1"), layers={1: (5, 6), 2: (5, 7), 3: (8, 9)})
    decision = decided(facts, DANGLING)
    assert [item.frees_bytes for item in decision.items] == [106, 105 + 107]
    assert decision.freed.low == decision.freed.high == 105 + 106 + 107


def test_every_reason_has_words() -> None:
    codes = {
        *rules.REGISTRY, "parent", "pinned", "in_use", "wanted", "too_young", "base", "base_kept",
        "use_unknown", "slow_pattern", "not_selected",
    }  # fmt: skip
    assert codes <= wording.REASON_LABELS.keys()
    assert {code.partition(":")[0] for code in wording.REASONS} >= codes


# Whatever the host holds

RULES: list[Rule] = [
    DANGLING,
    BEYOND_ONE,
    ALL_TAGS,
    make_rule("beyond_newest", {"count": 2, "order": "date"}),
    make_rule("unused_for", {"days": 30}),
    make_rule("older_than", {"days": 30}),
    make_rule("tag_pattern", {"pattern": "[12]*", "syntax": "glob", "target": "tag"}),
    make_rule("keep_newest", {"count": 1, "order": "version"}),
    make_rule("keep_pattern", {"pattern": "a", "syntax": "glob", "target": "repository"}),
    make_rule("keep_label", {"label": "keep"}),
    make_rule("used_within", {"days": 7}),
]
moments = st.integers(0, 60).map(lambda days: NOW - days * DAY)
tags = st.sets(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["1", "1.1", "2-rc1", "latest"])), max_size=3
)


@st.composite
def copies_of_a_host(draw: st.DrawFn) -> tuple[CopyFacts, ...]:
    found: list[CopyFacts] = []
    for key in range(1, draw(st.integers(1, 8)) + 1):
        parent = draw(st.none() | st.sampled_from([c.key for c in found])) if found else None
        names = sorted(f"{repository}:{tag}" for repository, tag in draw(tags))
        found.append(
            copy(
                key, *names, parent=parent, arrived_at=draw(moments), built_at=draw(st.none() | moments),
                last_used_at=draw(st.none() | moments), labels=draw(st.sampled_from([{}, {"keep": "1"}])),
                containers=draw(st.sampled_from([(), (), ("web",)])),
                pin=draw(st.sampled_from([None, None, {"reason": "x"}])),
                wanted_by=draw(st.sampled_from([None, None, {"job": 1}])),
            )
        )  # fmt: skip
    bases = {c.parent for c in found}
    return tuple(
        CopyFacts(
            **{name: getattr(c, name) for name in CopyFacts.__slots__}
            | {"is_intermediate": c.key in bases and not c.tags}
        )
        for c in found
    )


@st.composite
def hosts(draw: st.DrawFn) -> HostFacts:
    copies = draw(copies_of_a_host())
    layers = {c.key: tuple(sorted(draw(st.sets(st.integers(1, 6), min_size=1)))) for c in copies}
    return host(*copies, layers=layers, use_known_since=draw(st.none() | moments))


chosen_rules = st.lists(st.sampled_from(RULES), unique=True, max_size=6)


@settings(max_examples=150, deadline=None)
@given(hosts(), chosen_rules, st.randoms())
def test_order_of_rules_never_matters(facts: HostFacts, chosen: list[Rule], random: Any) -> None:
    shuffled = random.sample(chosen, len(chosen))
    one, other = (plan_host(facts, order, NOW, minimum_age=DAY) for order in (chosen, shuffled))
    assert one == other


@settings(max_examples=150, deadline=None)
@given(hosts(), chosen_rules)
def test_keep_rules_and_guards_always_win(facts: HostFacts, chosen: list[Rule]) -> None:
    decision = plan_host(facts, chosen, NOW, minimum_age=5 * DAY)
    for item in decision.items:
        assert item.copy.pin is None
        assert item.copy.wanted_by is None
        assert not item.copy.containers
        assert NOW - item.copy.arrived_at >= 5 * DAY
        for rule in chosen:
            if rule.effect == rules.KEEP:
                assert rule.matches(item.copy, facts, NOW) is None


@settings(max_examples=150, deadline=None)
@given(hosts(), chosen_rules)
def test_plan_is_closed_and_its_bytes_are_those_of_the_set(facts: HostFacts, chosen: list[Rule]) -> None:
    decision = plan_host(facts, chosen, NOW)
    going = [item.copy.key for item in decision.items]
    assert len(going) + len(decision.survivors) == len(facts.copies)
    assert facts.holdings.closure(going) == going or set(facts.holdings.closure(going)) == set(going)
    assert decision.freed.high == facts.holdings.freed(going).high
    assert sum(item.frees_bytes for item in decision.items) == decision.freed.high
    for position, item in enumerate(decision.items):
        children = [c.key for c in facts.copies if c.parent == item.copy.key]
        assert all(child in going[:position] for child in children), "children before parents"


@settings(max_examples=100, deadline=None)
@given(hosts(), chosen_rules, st.sampled_from([rule for rule in RULES if rule.effect == rules.KEEP]))
def test_keep_rule_more_never_removes_more(facts: HostFacts, chosen: list[Rule], more: Rule) -> None:
    before = {item.copy.key for item in plan_host(facts, chosen, NOW).items}
    assert {item.copy.key for item in plan_host(facts, [*chosen, more], NOW).items} <= before


@settings(max_examples=100, deadline=None)
@given(hosts(), st.lists(st.sampled_from([rule for rule in RULES if rule.effect == rules.KEEP]), unique=True))
def test_keep_rules_alone_delete_nothing(facts: HostFacts, chosen: list[Rule]) -> None:
    assert not plan_host(facts, chosen, NOW).items
