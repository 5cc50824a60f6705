"""The rules a policy is made of: what each selects or keeps, and the fields a form asks for. Pure.

A new rule is one dataclass here with the decorator, and its words in wording.py.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from cleanup.facts import CopyFacts, HostFacts, Values
from cleanup.patterns import MAX_LENGTH, Pattern, PatternError, PatternTooSlow

DELETE, KEEP = "delete", "keep"
MAX_DAYS = 3650
MAX_COUNT = 10_000


@dataclass(frozen=True)
class Field:
    """One thing a rule asks for. Its label and those of its choices are in wording.py."""

    name: str
    type: str  # "integer", "text", "label" or "choice"
    default: int | str
    minimum: int = 0
    maximum: int = 0
    max_length: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a field: a code for wording.py, and the values in its sentence."""

    code: str
    values: Values = dataclasses.field(default_factory=dict)


class Unknown(Exception):
    """The rule can not tell: a delete rule then selects nothing, a keep rule keeps."""

    def __init__(self, code: str, values: Values | None = None) -> None:
        super().__init__(code)
        self.code, self.values = code, values or {}


@dataclass(frozen=True)
class Rule:
    """The base of all rules; a subclass has the parameters as its dataclass fields, named as in `fields`."""

    kind: ClassVar[str]
    effect: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]] = ()
    needs_use: ClassVar[bool] = False

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        """The values of the sentence that says why, None when it does not apply. Raises Unknown."""
        raise NotImplementedError

    @property
    def takes_all(self) -> bool:
        """Whether it would select every image there is, as far as its parameters tell."""
        return False

    @property
    def parameters(self) -> dict[str, int | str]:
        return {field.name: getattr(self, field.name) for field in self.fields}


REGISTRY: dict[str, type[Rule]] = {}


def register(rule: type[Rule]) -> type[Rule]:
    REGISTRY[rule.kind] = rule
    return rule


def kinds(effect: str) -> list[str]:
    """The kinds of delete or of keep rules, in the order pages list them."""
    return [kind for kind, rule in REGISTRY.items() if rule.effect == effect]


def rule_errors(kind: str, parameters: Mapping[str, Any]) -> dict[str, FieldError]:
    """What is wrong with a rule's parameters, by field; "" stands for the rule as a whole."""
    if kind not in REGISTRY:
        return {"": FieldError("unknown_rule", {"kind": kind})}
    rule = REGISTRY[kind]
    errors = {
        field.name: error
        for field in rule.fields
        if (error := _field_error(field, parameters.get(field.name)))
    }
    if not errors and "pattern" in parameters:
        try:
            Pattern(str(parameters["pattern"]), str(parameters.get("syntax", "glob"))).try_out()
        except PatternError as error:
            errors["pattern"] = FieldError(error.code, {"detail": error.detail})
    return errors


def _field_error(field: Field, value: Any) -> FieldError | None:
    if value is None or value == "":
        return FieldError("required")
    if field.type == "integer":
        return _integer_error(field, value)
    if field.type == "choice":
        return None if value in field.choices else FieldError("bad_choice", {"value": str(value)})
    if len(str(value)) > field.max_length:
        return FieldError("too_long", {"detail": str(field.max_length)})
    if field.type == "label" and not str(value).partition("=")[0].strip():
        return FieldError("label_key")
    return None if str(value).strip() else FieldError("required")


def _integer_error(field: Field, value: Any) -> FieldError | None:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return FieldError("not_a_number")
    if not field.minimum <= number <= field.maximum:
        return FieldError("out_of_range", {"minimum": field.minimum, "maximum": field.maximum})
    return None


def make_rule(kind: str, parameters: Mapping[str, Any]) -> Rule:
    """The rule, its numbers made numbers. Raises ValueError when `rule_errors` has something to say.

    Patterns that were fine when the rule was saved are not tried out again.
    """
    rule = REGISTRY.get(kind)
    if rule is None:
        raise ValueError(f"No rule of the kind {kind!r}")
    errors = {field.name for field in rule.fields if _field_error(field, parameters.get(field.name))}
    if errors:
        raise ValueError(f"The rule {kind} lacks {', '.join(sorted(errors))}")
    return rule(**{field.name: _typed(field, parameters[field.name]) for field in rule.fields})


def _typed(field: Field, value: Any) -> int | str:
    return int(value) if field.type == "integer" else str(value).strip()


def _days(default: int) -> Field:
    return Field("days", "integer", default, minimum=1, maximum=MAX_DAYS)


def _age_days(moment: datetime, now: datetime) -> int:
    return max(0, (now - moment).days)


# Delete rules


@register
@dataclass(frozen=True)
class Dangling(Rule):
    """No tag. The untagged parents of classic builds do not count: they go with their children."""

    kind: ClassVar[str] = "dangling"
    effect: ClassVar[str] = DELETE

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        return None if copy.tags else {}


@register
@dataclass(frozen=True)
class Unused(Rule):
    """No container of any state uses it now: what `docker image prune -a` removes."""

    kind: ClassVar[str] = "unused"
    effect: ClassVar[str] = DELETE

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        return None if copy.containers else {}

    @property
    def takes_all(self) -> bool:
        return True


@register
@dataclass(frozen=True)
class UnusedFor(Rule):
    """Last use, else arrival on the host, is so many days ago."""

    days: int
    kind: ClassVar[str] = "unused_for"
    effect: ClassVar[str] = DELETE
    fields: ClassVar[tuple[Field, ...]] = (_days(30),)
    needs_use: ClassVar[bool] = True

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        seen = copy.last_used_at or copy.arrived_at
        cutoff = now - timedelta(days=self.days)
        if seen > cutoff:
            return None
        if host.use_known_since is None:
            raise Unknown("use_unknown", {"days": self.days})
        perhaps = host.possibly_used_at(copy)
        if perhaps and perhaps > cutoff:
            raise Unknown("use_unknown", {"days": self.days, "known_since": perhaps.isoformat()})
        event = "used" if copy.last_used_at else "arrived"
        return {"days": self.days, "ago": _age_days(seen, now), "event": event}


@register
@dataclass(frozen=True)
class OlderThan(Rule):
    """Built so many days ago. An image without a build date is not selected."""

    days: int
    kind: ClassVar[str] = "older_than"
    effect: ClassVar[str] = DELETE
    fields: ClassVar[tuple[Field, ...]] = (_days(90),)

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        if copy.built_at is None or copy.built_at > now - timedelta(days=self.days):
            return None
        return {"days": self.days, "ago": _age_days(copy.built_at, now)}


_COUNT = Field("count", "integer", 5, minimum=1, maximum=MAX_COUNT)
_ORDER = Field("order", "choice", "version", choices=("version", "date"))


@register
@dataclass(frozen=True)
class BeyondNewest(Rule):
    """Not among the newest of any repository it has a tag in."""

    count: int
    order: str
    kind: ClassVar[str] = "beyond_newest"
    effect: ClassVar[str] = DELETE
    fields: ClassVar[tuple[Field, ...]] = (_COUNT, _ORDER)

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        places = host.places.of(copy, self.order)
        if not places or min(places.values()) <= self.count:
            return None
        repository, place = min(places.items(), key=lambda entry: (entry[1], entry[0]))
        return {"count": self.count, "order": self.order, "repository": repository, "place": place}


_TAGS = (
    "latest",
    "0",
    "7.4",
    "1.27.0-alpine",
    "v2.0.0-rc.1",
    "x",
    "A_b",
    "main-20260601",
    "sha-3f2a9c1",
    "a" * 64,
)
_REPOSITORIES = (
    "redis",
    "shop/api",
    "x/y/z_0",
    "registry.example.com:5000/ci/web",
    "docker.io/library/a-b.c",
)
_OF_EVERY_MAKE = {
    "tag": _TAGS,
    "repository": _REPOSITORIES,
    "reference": [f"{repository}:{tag}" for repository in _REPOSITORIES for tag in _TAGS],
}
_PATTERN = Field("pattern", "text", "", max_length=MAX_LENGTH)
_SYNTAX = Field("syntax", "choice", "glob", choices=("glob", "regex"))


@dataclass(frozen=True)
class _PatternRule(Rule):
    pattern: str
    syntax: str
    target: str

    @cached_property
    def _matcher(self) -> Pattern:
        return Pattern(self.pattern, self.syntax)

    def _hits(self, copy: CopyFacts) -> list[tuple[str, bool]]:
        """Each reference of the copy, and whether the pattern matches it."""
        try:
            return [(name, self._matcher.matches(text)) for name, text in self._texts(copy)]
        except PatternTooSlow as slow:
            raise Unknown("slow_pattern", {"pattern": self.pattern}) from slow

    def _texts(self, copy: CopyFacts) -> list[tuple[str, str]]:
        if self.target == "repository":
            repositories = {repository for repository, _ in copy.tags}
            repositories |= {name.partition("@")[0] for name in copy.references if "@" in name}
            return [(repository, repository) for repository in sorted(repositories)]
        names = [(f"{repository}:{tag}", tag) for repository, tag in copy.tags]
        return names if self.target == "tag" else [(name, name) for name, _ in names]

    @property
    def takes_all(self) -> bool:
        """As far as names of every make tell: what matches all of them was hardly meant to leave anything out."""
        return self._matcher.matches_all(_OF_EVERY_MAKE[self.target])


@register
@dataclass(frozen=True)
class TagPattern(_PatternRule):
    """All its tags match; one that does not saves the image."""

    kind: ClassVar[str] = "tag_pattern"
    effect: ClassVar[str] = DELETE
    fields: ClassVar[tuple[Field, ...]] = (
        _PATTERN, _SYNTAX, Field("target", "choice", "tag", choices=("tag", "reference")),
    )  # fmt: skip

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        hits = self._hits(copy)
        if not hits or not all(hit for _, hit in hits) or _has_other_digest(copy):
            return None
        return {"pattern": self.pattern, "target": self.target, "name": hits[0][0], "tags": len(hits)}


def _has_other_digest(copy: CopyFacts) -> bool:
    """A digest of a repository without a tag is a reference of its own, which no pattern of tags can match."""
    tagged = {repository for repository, _ in copy.tags}
    return any(name.partition("@")[0] not in tagged for name in copy.references if "@" in name)


# Keep rules


@register
@dataclass(frozen=True)
class KeepNewest(Rule):
    """Among the newest of any repository it has a tag in."""

    count: int
    order: str
    kind: ClassVar[str] = "keep_newest"
    effect: ClassVar[str] = KEEP
    fields: ClassVar[tuple[Field, ...]] = (_COUNT, _ORDER)

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        places = host.places.of(copy, self.order)
        repository, place = min(places.items(), key=lambda entry: (entry[1], entry[0]), default=("", 0))
        if not place or place > self.count:
            return None
        return {"count": self.count, "order": self.order, "repository": repository, "place": place}


@register
@dataclass(frozen=True)
class KeepPattern(_PatternRule):
    """Any of its references matches."""

    kind: ClassVar[str] = "keep_pattern"
    effect: ClassVar[str] = KEEP
    fields: ClassVar[tuple[Field, ...]] = (
        _PATTERN, _SYNTAX, Field("target", "choice", "tag", choices=("tag", "repository", "reference")),
    )  # fmt: skip

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        name = next((name for name, hit in self._hits(copy) if hit), None)
        return None if name is None else {"pattern": self.pattern, "target": self.target, "name": name}


@register
@dataclass(frozen=True)
class KeepLabel(Rule):
    """Has the label: `key`, or `key=value`."""

    label: str
    kind: ClassVar[str] = "keep_label"
    effect: ClassVar[str] = KEEP
    fields: ClassVar[tuple[Field, ...]] = (Field("label", "label", "", max_length=200),)

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        key, has_value, value = self.label.partition("=")
        if key not in copy.labels or (has_value and copy.labels[key] != value):
            return None
        return {"label": self.label, "value": copy.labels[key]}


@register
@dataclass(frozen=True)
class UsedWithin(Rule):
    """A container used it in the last so many days, or may have used it unseen."""

    days: int
    kind: ClassVar[str] = "used_within"
    effect: ClassVar[str] = KEEP
    fields: ClassVar[tuple[Field, ...]] = (_days(14),)
    needs_use: ClassVar[bool] = True

    def matches(self, copy: CopyFacts, host: HostFacts, now: datetime) -> Values | None:
        cutoff = now - timedelta(days=self.days)
        if copy.last_used_at and copy.last_used_at > cutoff:
            return {"days": self.days, "ago": _age_days(copy.last_used_at, now)}
        if host.use_known_since is None:
            raise Unknown("use_unknown", {"days": self.days})
        perhaps = host.possibly_used_at(copy)
        if perhaps and perhaps > cutoff:
            raise Unknown("use_unknown", {"days": self.days, "known_since": perhaps.isoformat()})
        return None
