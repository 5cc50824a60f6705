"""The list of every copy on every host: its order, pages and groups. Never waits for an engine.

Made for 200,000 copies, so nothing here walks through all of them when it can stop early: counts end at
`SHOWN_LIMIT`, an order is one of the indexes, and references and containers are read for one page only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Prefetch, QuerySet, Sum
from django.utils import timezone

from images.fleet.query import FleetQuery, fleet_copies
from images.models import Container, Copy, Host, Pin, Reference, User
from images.remote_tags import mark_newer

PAGE_SIZE = 50
SHOWN_LIMIT = 1_000
"""More matches are said as "more than": counting on would cost more than the page itself."""

SORTS: dict[str, tuple[str, ...]] = {
    "name": ("repository", "tag"),
    "id": ("engine_id",),
    "host": (),
    "size": ("size_bytes",),
    "own": ("own_bytes",),
    "built": ("built_at",),
    "arrived": ("arrived_at",),
    "used": ("last_used_at",),
    "containers": ("container_count",),
    "count": (),  # of groups only
}
NULLABLE = {"built_at", "last_used_at"}


# Pages


@dataclass(frozen=True)
class FleetPage:
    """One page of copies. `total` ends at SHOWN_LIMIT unless it is known without counting."""

    rows: Sequence[Copy]
    number: int
    total: int
    is_more: bool = False  # there are more than `total`

    @property
    def first(self) -> int:
        return (self.number - 1) * PAGE_SIZE + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def has_next(self) -> bool:
        return self.is_more or self.last < self.total

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.has_next else None


def fleet_page(user: User, query: FleetQuery) -> FleetPage:
    """The rows of one page with what they show; a page beyond the end is the last one."""
    copies = fleet_copies(user, query)
    total, is_more = _total(user, query, copies)
    last_page = max(1, -(-total // PAGE_SIZE))
    number = min(query.page, last_page)
    start = (number - 1) * PAGE_SIZE
    ids = _ids_by_host(user, query, copies, start) if query.sort == "host" else _ids(query, copies, start)
    return FleetPage(rows_of(ids), number, total, is_more)


def _total(user: User, query: FleetQuery, copies: QuerySet[Copy]) -> tuple[int, bool]:
    """How many match, and whether it is more than that: as many are counted as it takes to turn the page."""
    limit = max(SHOWN_LIMIT, query.page * PAGE_SIZE)
    count = copies.order_by()[: limit + 1].count()
    if count <= limit:
        return count, False
    if not query.is_filtered and not query.intermediate:
        known = Host.objects.visible_to(user).aggregate(sum=Sum("image_count"))["sum"] or 0
        return max(known, limit), known < count
    return limit, True


def ordered(query: FleetQuery, copies: QuerySet[Copy]) -> QuerySet[Copy]:
    if query.sort == "host":
        return copies.order_by("-host__name" if query.is_descending else "host__name", *_WITHIN_HOST)
    columns = (*(SORTS[query.sort] or SORTS["name"]), "id")
    return copies.order_by(*(_direction(column, query.is_descending) for column in columns))


_WITHIN_HOST = ("repository", "tag", "id")


def _direction(column: str, is_descending: bool) -> Any:
    """ "Never" counts as the oldest on both databases."""
    if column in NULLABLE and connection.vendor != "sqlite":
        return F(column).desc(nulls_last=True) if is_descending else F(column).asc(nulls_first=True)
    return F(column).desc() if is_descending else F(column).asc()


def _ids(query: FleetQuery, copies: QuerySet[Copy], start: int) -> list[int]:
    return list(ordered(query, copies).values_list("pk", flat=True)[start : start + PAGE_SIZE])


def _ids_by_host(user: User, query: FleetQuery, copies: QuerySet[Copy], start: int) -> list[int]:
    """By the host's name, without sorting all copies by a joined column: only those of the page's own hosts."""
    if query.is_filtered or query.intermediate:
        counts = dict(copies.order_by().values_list("host_id").annotate(count=Count("pk")))
    else:
        hosts = Host.objects.visible_to(user).filter(image_count__gt=0)
        counts = dict(hosts.values_list("pk", "image_count"))  # counted already, at every change
    order = "-name" if query.is_descending else "name"
    shown, before, reached = [], 0, 0
    for host_id in Host.objects.filter(pk__in=counts).order_by(order).values_list("pk", flat=True):
        reached += counts[host_id]
        if reached <= start:
            before = reached
        elif reached - counts[host_id] < start + PAGE_SIZE:
            shown.append(host_id)
        else:
            break
    own = ordered(query, copies.filter(host__in=shown)).values_list("pk", flat=True)
    return list(own[start - before : start - before + PAGE_SIZE])


def rows_of(ids: Sequence[int]) -> list[Copy]:
    """These copies in this order, with host, references, containers, whether each is pinned or behind its tag."""
    references = Prefetch("references", Reference.objects.order_by("name"))
    containers = Prefetch(
        "containers", Container.objects.only("pk", "copy_id", "name", "container_id", "state")
    )
    # A whole host would bring its keys along, to be decrypted for each row.
    hosts = Prefetch("host", Host.objects.only("name", "is_estimate", "is_enabled", "state"))
    found = Copy.objects.filter(pk__in=ids).defer("search_text")
    copies = {copy.pk: copy for copy in found.prefetch_related(hosts, references, containers)}
    rows = [copies[pk] for pk in ids if pk in copies]
    pins = Pin.objects.active(timezone.now()).filter(image__in={row.image_id for row in rows})
    pinned = set(pins.values_list("image_id", "host_id"))
    for row in rows:
        row.is_pinned = bool({(row.image_id, None), (row.image_id, row.host_id)} & pinned)  # type: ignore[attr-defined]
    mark_newer(rows)
    return rows


# Groups


@dataclass(frozen=True)
class FleetGroup:
    """The copies of one repository or of one image, as one row that unfolds."""

    key: str
    name: str
    copy_count: int
    container_count: int
    size_bytes: int
    own_bytes: int
    built_at: Any
    last_used_at: Any


@dataclass(frozen=True)
class FleetGroups:
    """One page of groups. They are not counted: that would read every copy once more."""

    rows: Sequence[FleetGroup] = field(default_factory=list)
    number: int = 1
    has_next: bool = False

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.has_next else None


_GROUP_SORTS = {
    "name": "key", "id": "key", "host": "key", "size": "size_bytes", "own": "own_bytes", "built": "built_at",
    "arrived": "copy_count", "used": "last_used_at", "containers": "used_by", "count": "copy_count",
}  # fmt: skip


def fleet_groups(user: User, query: FleetQuery) -> FleetGroups:
    """One row for each repository or image among the copies that match."""
    column = "repository" if query.by == "repository" else "image_id"
    groups = (
        fleet_copies(user, query)
        .filter(id__gt=0)  # names the indexes that were made for this
        .order_by()
        .values(key=F(column))
        .annotate(
            copy_count=Count("*"),  # not "pk", which PostgreSQL would fetch from the table
            used_by=Sum("container_count"),
            size_bytes=Max("size_bytes"),
            own_bytes=Sum("own_bytes"),
            built_at=Max("built_at"),
            last_used_at=Max("last_used_at"),
        )
    )
    sort = _GROUP_SORTS[query.sort]
    groups = groups.order_by(_group_direction(sort, query.is_descending), _group_direction("key", False))
    start = (query.page - 1) * PAGE_SIZE
    rows: list[Any] = list(groups[start : start + PAGE_SIZE + 1])
    names = _group_names(user, query, [row["key"] for row in rows])
    shown = [_group(row, names) for row in rows[:PAGE_SIZE]]
    return FleetGroups(shown, query.page, has_next=len(rows) > PAGE_SIZE)


def _group_direction(column: str, is_descending: bool) -> Any:
    return F(column).desc(nulls_last=True) if is_descending else F(column).asc(nulls_first=True)


def _group(row: dict[str, Any], names: dict[Any, str]) -> FleetGroup:
    key = row.pop("key")
    return FleetGroup(key=str(key), name=names.get(key, str(key)), container_count=row.pop("used_by"), **row)


def _group_names(user: User, query: FleetQuery, keys: list[Any]) -> dict[Any, str]:
    """An image is named after one of its copies that the user may see."""
    if query.by == "repository":
        return {key: key for key in keys}
    copies = Copy.objects.visible_to(user).filter(image__in=keys).order_by("repository", "tag", "-id")
    # Of thousands one is made an object for each image: the last, as those without a name come first.
    chosen = dict(copies.values_list("image_id", "pk"))
    named = Copy.objects.filter(pk__in=chosen.values()).only("image_id", "repository", "tag", "engine_id")
    return {copy.image_id: copy.name for copy in named}
