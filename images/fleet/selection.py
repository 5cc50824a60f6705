"""What a selection of copies comes to: bytes freed on each host, and what would free nothing, and why."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from django.db.models import QuerySet
from django.utils import timezone

from images import access
from images.fleet.query import FleetQuery, fleet_copies
from images.inventory.holdings import freed_by_host
from images.layers import Freed
from images.models import Container, Copy, Host, HostState, Permission, Pin, Reference, User

NAMED = 5
"""So many of a kind are named; the rest is a number."""

COUNT_LIMIT = 10_000
"""So many copies are selected, or removed, at once."""


@dataclass(frozen=True)
class HostShare:
    """One host's part of a selection."""

    host: Host
    copy_count: int
    freed: Freed


@dataclass(frozen=True)
class FreesNothing:
    """A copy that frees nothing, because `others` use the same layers; a container may hold them too."""

    copy: Copy
    others: tuple[Copy, ...]
    more_count: int = 0


@dataclass(frozen=True)
class Refused:
    """A copy that the removal leaves out."""

    copy: Copy
    containers: tuple[Container, ...] = ()
    pin: Pin | None = None


class Selection:
    """Copies that somebody chose; everything is computed once, when it is asked for."""

    def __init__(
        self, user: User, copies: Sequence[Copy], *, is_all: bool = False, is_cut: bool = False
    ) -> None:
        self.user = user
        self.copies = copies
        self.is_all = is_all
        self.is_cut = is_cut  # more match than one removal takes

    @property
    def count(self) -> int:
        return len(self.copies)

    @cached_property
    def ids(self) -> list[int]:
        return [copy.pk for copy in self.copies]

    @cached_property
    def engine_ids(self) -> str:
        return "\n".join(dict.fromkeys(copy.short_id for copy in self.copies))

    @cached_property
    def shares(self) -> list[HostShare]:
        """Host by host, the largest first."""
        counts: dict[int, int] = {}
        for copy in self.copies:
            counts[copy.host_id] = counts.get(copy.host_id, 0) + 1
        freed = freed_by_host(self.ids).items()
        shares = [HostShare(host, counts[host.pk], each) for host, each in freed]
        return sorted(shares, key=lambda share: (-share.freed.high, share.host.name))

    @property
    def freed_bytes(self) -> int:
        return sum(share.freed.high for share in self.shares)

    @property
    def is_exact(self) -> bool:
        return not self.freed_bytes or all(share.freed.is_exact for share in self.shares)

    @cached_property
    def parent_count(self) -> int:
        """Untagged parents that go along with their last child."""
        return sum(len(share.freed.parents) for share in self.shares)

    @cached_property
    def nothing(self) -> list[FreesNothing]:
        """The first few that free nothing, each with the copies that hold their layers."""
        chosen = {copy.pk: copy for copy in self.copies}
        pairs = [(pk, others) for share in self.shares for pk, others in share.freed.blockers.items()]
        shown = [(pk, others) for pk, others in pairs if pk in chosen][:NAMED]
        wanted = {other for _, others in shown for other in others[:NAMED]}
        names = Copy.objects.filter(pk__in=wanted).defer("search_text").in_bulk()
        return [
            FreesNothing(
                chosen[pk], tuple(names[o] for o in others[:NAMED] if o in names), max(0, len(others) - NAMED)
            )
            for pk, others in shown
        ]

    @property
    def nothing_more(self) -> int:
        return self.nothing_count - len(self.nothing)

    @cached_property
    def nothing_count(self) -> int:
        return sum(len(share.freed.blockers) for share in self.shares)

    # What a removal would leave out

    @cached_property
    def forbidden(self) -> list[Copy]:
        """Copies on hosts where the user may not remove images."""
        return [copy for copy in self.copies if not access.can(self.user, Permission.REMOVE, copy.host_id)]

    @cached_property
    def offline(self) -> list[Host]:
        """Hosts that did not answer when they were last asked."""
        hosts = {copy.host.pk: copy.host for copy in self.copies}
        return [host for host in hosts.values() if host.is_enabled and host.state == HostState.OFFLINE]

    @cached_property
    def switched_off(self) -> list[Copy]:
        """Copies on hosts to which no command is sent."""
        return [copy for copy in self.copies if not copy.host.is_enabled]

    @property
    def may_remove(self) -> bool:
        """Whether there is a copy to remove which is on a host that is on."""
        return self._may(Permission.REMOVE)

    @property
    def may_push(self) -> bool:
        return self._may(Permission.PUSH)

    @property
    def may_pull(self) -> bool:
        return self._may(Permission.PULL)

    def _may(self, permission: Permission) -> bool:
        return any(
            copy.host.is_enabled and access.can(self.user, permission, copy.host_id) for copy in self.copies
        )

    @cached_property
    def pinned(self) -> list[Refused]:
        pins = Pin.objects.active(timezone.now()).filter(image__in={copy.image_id for copy in self.copies})
        holding: dict[tuple[int, int | None], Pin] = {(pin.image_id, pin.host_id): pin for pin in pins}
        found = [
            (copy, holding.get((copy.image_id, copy.host_id)) or holding.get((copy.image_id, None)))
            for copy in self.copies
        ]
        return [Refused(copy, pin=pin) for copy, pin in found if pin is not None]

    @cached_property
    def in_use(self) -> list[Refused]:
        """Copies that containers of any state use; an engine refuses to remove them without force."""
        used = {copy.pk: copy for copy in self.copies if copy.container_count}
        containers: dict[int, list[Container]] = {}
        for container in Container.objects.filter(copy__in=used):
            if container.copy_id is not None:
                containers.setdefault(container.copy_id, []).append(container)
        return [Refused(copy, containers=tuple(containers.get(pk, ()))) for pk, copy in used.items()]

    @cached_property
    def referenced(self) -> list[tuple[Copy, list[str]]]:
        """Copies that go with more than one tag, with the names of all."""
        names: dict[int, list[str]] = {}
        tags = Reference.objects.filter(copy__in=self.ids).exclude(tag="").order_by("name")
        for copy_id, name in tags.values_list("copy_id", "name"):
            names.setdefault(copy_id, []).append(name)
        return [(copy, names[copy.pk]) for copy in self.copies if len(names.get(copy.pk, ())) > 1]

    @cached_property
    def free_to_go(self) -> "Selection":
        """Without what stays whoever asks: pinned copies, and those on hosts that are switched off."""
        out = {copy.pk for copy in (*self.switched_off, *(refused.copy for refused in self.pinned))}
        return self._without(out) if out else self

    def removable(self, *, force: bool) -> "Selection":
        """What a removal would try: allowed, on a host that is on, not pinned, not in use.

        With force those in use by stopped containers as well.
        """
        out = {copy.pk for copy in (*self.forbidden, *self.switched_off)}
        out |= {refused.copy.pk for refused in self.pinned}
        held = [refused for refused in self.in_use if not force or any(map(_is_running, refused.containers))]
        out |= {refused.copy.pk for refused in held}
        return self._without(out)

    def _without(self, out: Set[int]) -> "Selection":
        return Selection(self.user, [copy for copy in self.copies if copy.pk not in out], is_all=self.is_all)


def _is_running(container: Container) -> bool:
    return container.state in ("running", "paused", "restarting")


def selection_of(user: User, ids: Sequence[int], query: FleetQuery | None) -> Selection:
    """The visible ones among these ids, or all that match the query; COUNT_LIMIT at most."""
    copies = _chosen(user, ids[:COUNT_LIMIT], query).select_related("host").defer("search_text")
    found = list(copies.order_by("host_id", "repository", "tag", "id")[: COUNT_LIMIT + 1])
    return Selection(user, found[:COUNT_LIMIT], is_all=query is not None, is_cut=len(found) > COUNT_LIMIT)


def _chosen(user: User, ids: Sequence[int], query: FleetQuery | None) -> QuerySet[Copy]:
    """The copies of a selection: all that match the query when there is one, else these ids. Only visible ones."""
    if query is not None:
        return fleet_copies(user, query)
    return Copy.objects.visible_to(user).filter(pk__in=ids)
