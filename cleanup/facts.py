"""What the planner is told about a host and its copies. Pure: plain values, no rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cleanup.versions import VersionKey, version_key
from images.layers import Holdings

Values = dict[str, str | int]
"""The numbers and names in a sentence; wording.py makes the sentence."""


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """One copy. Times are aware; `last_used_at` is None when no use of it was ever seen."""

    key: int
    engine_id: str
    name: str
    arrived_at: datetime
    tags: tuple[tuple[str, str], ...] = ()  # (repository, tag)
    references: tuple[str, ...] = ()  # every reference as the engine writes it, digests included
    labels: Mapping[str, str] = field(default_factory=dict)
    built_at: datetime | None = None
    last_used_at: datetime | None = None
    size_bytes: int = 0
    parent: int | None = None
    is_intermediate: bool = False
    containers: tuple[str, ...] = ()  # names of those that use it, in any state
    pin: Values | None = None  # the pin that holds here: its reason and end
    wanted_by: Values | None = None  # the job that needs it


@dataclass(frozen=True)
class HostFacts:
    """One host. `use_known_since` is None when last use can not be relied on now."""

    copies: tuple[CopyFacts, ...]
    holdings: Holdings
    use_known_since: datetime | None = None

    @cached_property
    def places(self) -> "Places":
        return Places(self.copies)

    def possibly_used_at(self, copy: CopyFacts) -> datetime | None:
        """When a use may have gone unseen: the end of the time nobody watched, or None when all was seen.

        Only a copy that was there before the watching began can have been used unseen.
        """
        since = self.use_known_since
        if since is None or copy.arrived_at >= since or (copy.last_used_at and copy.last_used_at >= since):
            return None
        return since


class Places:
    """Where each copy stands in its repositories, newest first, counted from 1.

    A repository is one row of versions and one row of the other tags ("latest", "main"): what is no version
    sorts by date among its like. A copy counts once in a row however many of its tags are there.
    """

    def __init__(self, copies: tuple[CopyFacts, ...]) -> None:
        self._copies = [copy for copy in copies if copy.tags]
        self._orders: dict[str, dict[int, dict[str, int]]] = {}

    def of(self, copy: CopyFacts, order: str) -> dict[str, int]:
        """repository -> the best place of the copy there; `order` is "version" or "date"."""
        if order not in self._orders:
            self._orders[order] = self._ranked(by_version=order == "version")
        return self._orders[order].get(copy.key, {})

    def _ranked(self, *, by_version: bool) -> dict[int, dict[str, int]]:
        rows: dict[tuple[str, bool], dict[int, tuple[VersionKey | None, CopyFacts]]] = {}
        for copy in self._copies:
            for repository, tag in copy.tags:
                version = version_key(tag) if by_version else None
                row = rows.setdefault((repository, version is not None), {})
                known = row.get(copy.key)
                if known is None or (version and known[0] and version > known[0]):
                    row[copy.key] = (version, copy)
        places: dict[int, dict[str, int]] = {}
        for (repository, _), row in rows.items():
            for place, (_version, copy) in enumerate(
                sorted(row.values(), key=_newest_first, reverse=True), 1
            ):
                best = places.setdefault(copy.key, {})
                best[repository] = min(place, best.get(repository, place))
        return places


def _newest_first(entry: tuple[VersionKey | None, CopyFacts]) -> tuple[VersionKey, datetime, datetime, str]:
    version, copy = entry
    return version or ((), 0, 0), copy.built_at or copy.arrived_at, copy.arrived_at, copy.engine_id
