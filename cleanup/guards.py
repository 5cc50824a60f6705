"""The guards, asked again right before each batch of a run. Whatever can not be told keeps the image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cleanup.facts import Values
from cleanup.loading import active_pins, wanted_by
from cleanup.models import Item
from cleanup.rules import REGISTRY
from images.engine import read
from images.engine.client import Engine
from images.engine.snapshots import ContainerSummary
from images.inventory.copies import full_name
from images.models import Copy, Host, StoreKind

Stops = dict[int, tuple[str, Values]]
"""Item -> the code and values of what holds it back."""


@dataclass(frozen=True)
class _Now:
    """A copy as the inventory knows it at this moment."""

    image_id: int
    arrived_at: datetime
    last_used_at: datetime | None


class Guards:
    """The guards of one run on one host."""

    def __init__(
        self,
        host: Host,
        items: Sequence[Item],
        *,
        made_at: datetime,
        minimum_age: timedelta,
        keep_needs_use: bool = False,
    ) -> None:
        """`keep_needs_use`: a keep rule of the plan goes by last use, so every item depends on knowing it."""
        self._host, self._made_at, self._minimum_age = host, made_at, minimum_age
        self._keep_needs_use = keep_needs_use
        self._parents = [item for item in items if item.is_parent]
        ids = {item.engine_id: item for item in items}
        rows = Copy.objects.filter(host=host, engine_id__in=ids).values_list("engine_id", "parent_engine_id")
        self.parent_of: dict[str, str] = {child: parent for child, parent in rows if parent in ids}

    def depth(self, item: Item) -> int:
        """How many items of the plan it is built on: the deepest go first."""
        depth, engine_id = 0, item.engine_id
        while engine_id in self.parent_of:
            depth, engine_id = depth + 1, self.parent_of[engine_id]
        return depth

    def stops(self, engine: Engine, batch: Sequence[Item], now: datetime) -> Stops:
        """What holds items of this batch back: one container list, and a few queries.

        Raises UserError host_* when the engine does not answer: then nothing of the batch may go.
        """
        self._host.refresh_from_db()
        known = self._known({item.engine_id for item in (*batch, *self._parents)})
        users = _users(engine, self._host)
        pins, wanted = active_pins(self._host, now), wanted_by(self._host)
        is_use_known = self._is_use_known(now)

        def stop(item: Item) -> tuple[str, Values] | None:
            if item.engine_id not in known:
                return _unknown(item, engine)
            if not is_use_known and self._goes_by_use(item):
                return "use_lost", {}
            return _protected(item, known, pins, wanted) or self._aged(item, known, now)

        found = {item.pk: reason for item in batch if (reason := _used(item, users) or stop(item))}
        # An untagged parent goes with its last child, unasked: so its guards hold for its children.
        kept_parents = {parent.engine_id: parent for parent in self._parents if stop(parent)}
        for item in batch if kept_parents else ():
            parent = next((kept_parents[above] for above in self._above(item) if above in kept_parents), None)
            if parent and item.pk not in found:
                found[item.pk] = ("base_kept", {"parent": parent.name})
        return found

    def _is_use_known(self, now: datetime) -> bool:
        """Whether every use since the plan was made would have been seen."""
        since = self._host.use_known_since
        return self._host.is_use_known(now) and since is not None and since <= self._made_at

    def _goes_by_use(self, item: Item) -> bool:
        rule = REGISTRY.get(item.rule_kind)
        # An untagged parent goes with its children, whose own rules are asked.
        return self._keep_needs_use or bool(rule and rule.needs_use)

    def _known(self, engine_ids: Iterable[str]) -> dict[str, _Now]:
        rows = Copy.objects.filter(host=self._host, engine_id__in=list(engine_ids))
        fields = ("engine_id", "image_id", "arrived_at", "last_used_at")
        return {engine_id: _Now(*values) for engine_id, *values in rows.values_list(*fields)}

    def _above(self, item: Item) -> Iterable[str]:
        engine_id = item.engine_id
        while engine_id in self.parent_of:
            engine_id = self.parent_of[engine_id]
            yield engine_id

    def _aged(self, item: Item, known: Mapping[str, _Now], now: datetime) -> tuple[str, Values] | None:
        """Used or come again since the plan was made: then the plan's reason need not hold any more."""
        copy = known.get(item.engine_id)
        if copy is None:
            return None
        if copy.last_used_at and copy.last_used_at > self._made_at:
            return "used_since", {}
        age = now - copy.arrived_at
        if age < self._minimum_age:
            hours, minimum = (int(span.total_seconds() // 3600) for span in (age, self._minimum_age))
            return "too_young", {"hours": max(0, hours), "minimum": minimum}
        return None


def _unknown(item: Item, engine: Engine) -> tuple[str, Values] | None:
    """Pins and ages hang on the inventory's row: an image that is there without one is not to be judged."""
    return None if read.find_image(engine, item.engine_id) is None else ("not_in_inventory", {})


def _protected(
    item: Item, known: Mapping[str, _Now], pins: Mapping[int, Values], wanted: Mapping[str, Values]
) -> tuple[str, Values] | None:
    copy = known.get(item.engine_id)
    if copy and copy.image_id in pins:
        return "pinned", pins[copy.image_id]
    hit = next((name for name in (item.engine_id, *item.references) if name in wanted), None)
    return ("wanted", wanted[hit]) if hit else None


def _users(engine: Engine, host: Host) -> dict[str, list[str]]:
    """The names of the containers of each image, by engine ID and by the name their creator wrote."""
    users: dict[str, list[str]] = {}
    for container in read.list_containers(engine):
        name = container.name or container.container_id[:12]
        for key in _keys(container, host):
            users.setdefault(key, []).append(name)
    return users


def _keys(container: ContainerSummary, host: Host) -> list[str]:
    """What the container's image may be called here.

    The containerd store may give a container's image by its manifest and list it by its index, and an engine
    may leave the ID out: then every image of that name counts as used.
    """
    by_name = host.store_kind == StoreKind.CONTAINERD or not container.image_engine_id
    names = [container.image_engine_id, full_name(container.image_name) if by_name else ""]
    return [name for name in names if name]


def _used(item: Item, users: Mapping[str, list[str]]) -> tuple[str, Values] | None:
    names = next((users[key] for key in (item.engine_id, *item.references) if key in users), None)
    return ("in_use", {"container": names[0], "count": len(names)}) if names else None
