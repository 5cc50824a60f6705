"""Decides what goes from one host and why everything else stays. Pure; the order of rules never matters.

A copy has ONE reason to stay, the first of: pinned, in use, wanted by a job, too young, a keep rule (in the
order of the registry), the base of an image that stays, an untagged parent that must stay, use not known, not
selected.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cleanup.facts import CopyFacts, HostFacts, Values
from cleanup.rules import DELETE, KEEP, REGISTRY, Rule, Unknown
from images.layers import Freed

_ORDER = {kind: place for place, kind in enumerate(REGISTRY)}


@dataclass(frozen=True, slots=True)
class Reason:
    """A code for wording.py and the values in its sentence."""

    code: str
    values: Values


@dataclass(frozen=True, slots=True)
class Chosen:
    """A copy that goes. `frees_bytes` is its part of the bytes freed, at most."""

    copy: CopyFacts
    reason: Reason
    frees_bytes: int
    is_parent: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    copy: CopyFacts
    reason: Reason


@dataclass(frozen=True, slots=True)
class HostDecision:
    """Items in order of removal, children first; survivors by name."""

    items: tuple[Chosen, ...]
    survivors: tuple[Kept, ...]
    freed: Freed
    takes_all: bool = False  # the rules alone select every image


def plan_host(
    facts: HostFacts, rules: Sequence[Rule], now: datetime, *, minimum_age: timedelta = timedelta(0)
) -> HostDecision:
    """What the rules remove from this host, as it is told in `facts`."""
    # Whatever order they came in, they are asked in the registry's: the reason given is always the same.
    ordered = sorted(rules, key=lambda rule: (_ORDER[rule.kind], repr(rule)))
    choice = _Choice(facts, ordered, now, minimum_age)
    return choice.decide()


class _Choice:
    def __init__(
        self, facts: HostFacts, rules: Iterable[Rule], now: datetime, minimum_age: timedelta
    ) -> None:
        rules = list(rules)
        self._facts, self._now, self._minimum_age = facts, now, minimum_age
        self._delete = [rule for rule in rules if rule.effect == DELETE]
        self._keep = [rule for rule in rules if rule.effect == KEEP]
        self._copies = {copy.key: copy for copy in facts.copies}
        self._children: dict[int, list[CopyFacts]] = {}
        for copy in facts.copies:
            if copy.parent in self._copies:
                self._children.setdefault(copy.parent, []).append(copy)

    def decide(self) -> HostDecision:
        stays: dict[int, Reason] = {}
        selected: dict[int, Reason] = {}
        unsure: dict[int, Reason] = {}
        for copy in self._facts.copies:
            if protection := self._protection(copy):
                stays[copy.key] = protection
            if not copy.is_intermediate:
                self._select(copy, selected, unsure)
        going = {key for key in selected if key not in stays}
        order = self._settle(going, stays)
        freed = self._facts.holdings.freed(going)
        items = tuple(self._chosen(key, selected, freed) for key in order)
        gone = set(order)
        kept = tuple(self._kept(copy, stays, unsure) for copy in self._facts.copies if copy.key not in gone)
        return HostDecision(
            items=items,
            survivors=tuple(sorted(kept, key=lambda entry: (entry.copy.name, entry.copy.key))),
            freed=freed,
            takes_all=self._takes_all(selected),
        )

    def _takes_all(self, selected: dict[int, Reason]) -> bool:
        candidates = [copy for copy in self._facts.copies if not copy.is_intermediate]
        return len(candidates) > 1 and len(selected) == len(candidates)

    def _select(self, copy: CopyFacts, selected: dict[int, Reason], unsure: dict[int, Reason]) -> None:
        for rule in self._delete:
            try:
                values = rule.matches(copy, self._facts, self._now)
            except Unknown as unknown:
                unsure.setdefault(copy.key, Reason(unknown.code, unknown.values))
                continue
            if values is not None:
                selected[copy.key] = Reason(rule.kind, values)
                return

    def _protection(self, copy: CopyFacts) -> Reason | None:
        return self._guard(copy) or self._keeping(copy)

    def _guard(self, copy: CopyFacts) -> Reason | None:
        if copy.pin is not None:
            return Reason("pinned", copy.pin)
        if copy.containers:
            return Reason("in_use", {"container": copy.containers[0], "count": len(copy.containers)})
        if copy.wanted_by is not None:
            return Reason("wanted", copy.wanted_by)
        age = self._now - copy.arrived_at
        if age < self._minimum_age:
            minimum = int(self._minimum_age.total_seconds() // 3600)
            return Reason(
                "too_young", {"hours": max(0, int(age.total_seconds() // 3600)), "minimum": minimum}
            )
        return None

    def _keeping(self, copy: CopyFacts) -> Reason | None:
        for rule in self._keep:
            try:
                values = rule.matches(copy, self._facts, self._now)
            except Unknown as unknown:
                return Reason(unknown.code, unknown.values)
            if values is not None:
                return Reason(rule.kind, values)
        return None

    def _settle(self, going: set[int], stays: dict[int, Reason]) -> list[int]:
        """Takes back what can not go for the sake of its family, until nothing changes; the order of removal.

        Each round only takes from `going`, so it ends.
        """
        while True:
            order = self._facts.holdings.closure(going)
            closed = set(order)
            back = self._bases(going, closed) | self._under_kept_parents(closed - going, stays)
            back = {key: reason for key, reason in back.items() if key in going}
            if not back:
                return order
            stays.update(back)
            going.difference_update(back)

    def _bases(self, going: set[int], closed: set[int]) -> dict[int, Reason]:
        """Copies that go although an image built on them stays: the engine would refuse."""
        return {
            key: Reason("base", {"child": child.name})
            for key in going
            if (child := next((c for c in self._children.get(key, ()) if c.key not in closed), None))
        }

    def _under_kept_parents(self, parents: set[int], stays: dict[int, Reason]) -> dict[int, Reason]:
        """Children that would take along an untagged parent which must stay."""
        return {
            child.key: Reason("base_kept", {"parent": self._copies[parent].name})
            for parent in parents
            if parent in stays
            for child in self._descendants(parent)
        }

    def _descendants(self, key: int) -> Iterable[CopyFacts]:
        for child in self._children.get(key, ()):
            yield child
            yield from self._descendants(child.key)

    def _chosen(self, key: int, selected: dict[int, Reason], freed: Freed) -> Chosen:
        copy = self._copies[key]
        is_parent = key in freed.parents
        reason = Reason("parent", {}) if is_parent else selected[key]
        return Chosen(copy, reason, freed.by_key.get(key, 0), is_parent)

    def _kept(self, copy: CopyFacts, stays: dict[int, Reason], unsure: dict[int, Reason]) -> Kept:
        reason = stays.get(copy.key) or self._base_of(copy) or unsure.get(copy.key)
        return Kept(copy, reason or Reason("not_selected", {}))

    def _base_of(self, copy: CopyFacts) -> Reason | None:
        child = next(iter(self._children.get(copy.key, ())), None)
        return Reason("base", {"child": child.name}) if child and copy.is_intermediate else None
