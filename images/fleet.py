"""The list of every copy on every host: its filters, order, pages and groups. Never waits for an engine.

Made for 200,000 copies, so nothing here walks through all of them when it can stop early: counts end at
`SHOWN_LIMIT`, an order is one of the indexes, and references and containers are read for one page only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from itertools import product
from string import hexdigits
from typing import Any

from django.db import connection
from django.db.models import (
    BigIntegerField,
    CharField,
    Count,
    DateTimeField,
    Exists,
    F,
    Field,
    Func,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Sum,
)
from django.db.models.expressions import RawSQL
from django.utils import timezone

from images.models import Container, Copy, Host, Image, Pin, Reference, User
from images.reference_filter import images_labelled, images_told, references_matching
from images.remote_tags import mark_newer
from images.search_index import SEARCH_TABLE

PAGE_SIZE = 50
COUNT_LIMIT = 10_000
"""So many copies are selected, or removed, at once."""
SHOWN_LIMIT = 1_000
"""More matches are said as "more than": counting on would cost more than the page itself."""
RARE = 3_000
"""Up to so many matches are looked up first and then sorted; more are met soon enough on a walk in order."""
INDEXED_LENGTH = 3
"""A trigram index knows no shorter words."""

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


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """What the address of the list asks for. Sizes in bytes, ages in days."""

    q: str = ""
    host: int | None = None
    group: int | None = None
    image: int | None = None
    repository: str = ""
    registry: str = ""
    reference: str = ""
    label: str = ""
    before: datetime | None = None
    since: datetime | None = None
    use: str = ""
    latest: bool | None = None
    older: int | None = None
    newer: int | None = None
    larger: int | None = None
    smaller: int | None = None
    idle: int | None = None
    intermediate: bool = False
    behind: bool = False
    digests: bool = False
    by: str = ""
    sort: str = "arrived"
    is_descending: bool = True
    page: int = 1

    @property
    def words(self) -> list[str]:
        return self.q.lower().split()

    @property
    def is_short_search(self) -> bool:
        """Whether the words are looked for only where names, tags and IDs begin."""
        return bool(self.words) and all(len(word) < INDEXED_LENGTH and word.isascii() for word in self.words)

    @property
    def is_filtered(self) -> bool:
        """Whether anything narrows the list down; the order and the page do not."""
        kept = {"sort", "is_descending", "page", "by", "intermediate", "digests"}
        return any(getattr(self, f.name) != f.default for f in fields(self) if f.name not in kept)


def fleet_copies(user: User, query: FleetQuery) -> QuerySet[Copy]:
    """The one queryset behind the list, the selection, the export and the removal of all that match."""
    copies = _by_place(Copy.objects.visible_to(user), query)
    copies = _by_use(copies, query)
    copies = _by_measure(copies, query)
    if query.registry:
        copies = _by_reference(copies, Reference.objects.filter(registry=query.registry))
    if query.repository:
        copies = _by_reference(copies, Reference.objects.filter(repository=query.repository))
    if query.reference:
        copies = _by_reference(copies, references_matching(query.reference))
    if query.label:
        copies = _by_label(copies, query.label)
    return _by_words(copies, query.words)


def _by_place(copies: QuerySet[Copy], query: FleetQuery) -> QuerySet[Copy]:
    if query.host is not None:
        copies = copies.filter(host=query.host)
    if query.group is not None:
        members = Host.objects.filter(groups=query.group).values_list("pk", flat=True)
        copies = copies.filter(host_id__in=list(members))
    if query.image is not None:
        copies = copies.filter(image=query.image)
    return copies


def _by_use(copies: QuerySet[Copy], query: FleetQuery) -> QuerySet[Copy]:
    if not query.intermediate:
        copies = copies.filter(is_intermediate=False)
    if query.latest is not None:
        copies = copies.filter(is_latest=query.latest)
    if query.behind:
        copies = copies.filter(is_behind=True)
    conditions = {
        "used": Q(container_count__gt=0),
        "unused": Q(container_count=0),
        "dangling": Q(is_dangling=True),
        "tagged": Q(is_dangling=False),
    }
    return copies.filter(conditions[query.use]) if query.use else copies


def _by_measure(copies: QuerySet[Copy], query: FleetQuery) -> QuerySet[Copy]:
    now = timezone.now()
    if query.older is not None:
        copies = _measured(copies, built_at__lt=_days_before(now, query.older))
    if query.newer is not None:
        copies = _measured(copies, built_at__gte=_days_before(now, query.newer))
    if query.before is not None:
        copies = _measured(copies, built_at__lt=query.before)
    if query.since is not None:
        copies = _measured(copies, built_at__gt=query.since)
    if query.larger is not None:
        copies = _measured(copies, size_bytes__gt=query.larger)
    if query.smaller is not None:
        copies = _measured(copies, size_bytes__lt=query.smaller)
    if query.idle is not None:
        copies = copies.filter(Q(last_used_at=None) | Q(last_used_at__lt=_days_before(now, query.idle)))
    return copies


_FIELDS: dict[str, type[Field[Any, Any]]] = {"built_at": DateTimeField, "size_bytes": BigIntegerField}


def _measured(copies: QuerySet[Copy], **condition: Any) -> QuerySet[Copy]:
    """Rare ones are looked up first. SQLite's planner knows no distribution: it takes half the fleet for rare,
    and then fetches it row by row; the plus sign keeps its index out of the way."""
    if Copy.objects.filter(**condition).order_by()[: RARE + 1].count() <= RARE:
        return copies.filter(pk__in=Copy.objects.filter(**condition).order_by().values("pk"))
    if connection.vendor != "sqlite":
        return copies.filter(**condition)
    [(name, value)] = condition.items()
    column, _, lookup = name.partition("__")
    walked = Func(F(column), template="+%(expressions)s", output_field=_FIELDS[column]())
    return copies.alias(**{f"walked_{column}": walked}).filter(**{f"walked_{column}__{lookup}": value})


def _days_before(now: Any, days: int) -> Any:
    # The calendar ends somewhere; a longer age than 100 years means "ever".
    return now - timedelta(days=min(days, 36_500))


def _by_reference(copies: QuerySet[Copy], references: QuerySet[Reference]) -> QuerySet[Copy]:
    """Copies with any of these references. Few are looked up first, many are met on the way."""
    references = references.order_by()
    if references[: RARE + 1].count() <= RARE:
        return copies.filter(pk__in=references.values("copy_id"))
    return copies.filter(Exists(references.filter(copy=OuterRef("pk"))))


def _by_label(copies: QuerySet[Copy], label: str) -> QuerySet[Copy]:
    """The text that the search looks through holds labels as key=value: it narrows down what is looked at."""
    text = (label if "=" in label else f"{label}=").lower()
    return _by_image(_by_words(copies, [text]), images_labelled(label))


def _by_image(copies: QuerySet[Copy], images: QuerySet[Image]) -> QuerySet[Copy]:
    return copies.filter(image__in=images.values("pk"))


def _by_words(copies: QuerySet[Copy], words: Sequence[str]) -> QuerySet[Copy]:
    """Every word must occur. Short words alone match the beginning of a repository, a tag or an ID."""
    long = [word for word in words if len(word) >= INDEXED_LENGTH]
    if words and not long:
        for word in words:
            # Names and IDs are ASCII: any other word, such as most of Chinese, can only be part of a label.
            copies = (
                _beginning(copies, word)
                if word.isascii()
                else _by_image(copies, images_told(_spellings(word)))
            )
        return copies
    if long and connection.vendor == "sqlite":
        copies = _by_index(copies, long)
        words = [word for word in words if word not in long]
    for word in words:
        copies = copies.filter(search_text__contains=word)
    return copies


def _beginning(copies: QuerySet[Copy], word: str) -> QuerySet[Copy]:
    """Rare ones are looked up first, as in `_measured`: SQLite would fetch and sort a quarter of the fleet for "gh"."""
    begins = _begins(word)
    if connection.vendor != "sqlite":
        return copies.filter(begins)
    if Copy.objects.filter(begins).order_by()[: RARE + 1].count() <= RARE:
        return copies.filter(pk__in=Copy.objects.filter(begins).order_by().values("pk"))
    walked = {
        f"walked_{column}": Func(F(column), template="+%(expressions)s", output_field=CharField())
        for column in ("repository", "tag", "engine_id")
    }
    return copies.alias(**walked).filter(_begins(word, "walked_"))


def _begins(word: str, prefix: str = "") -> Q:
    """Tags may have capitals, so each spelling is a beginning of its own: no index knows both."""
    begins = Q()
    for spelling in _spellings(word):
        begins |= _between(f"{prefix}repository", spelling) | _between(f"{prefix}tag", spelling)
    if all(sign in hexdigits for sign in word):
        begins |= _between(f"{prefix}engine_id", f"sha256:{word}")
    return begins


def _spellings(word: str) -> set[str]:
    return {"".join(letters) for letters in product(*({sign, sign.upper()} for sign in word))}


def _between(column: str, begin: str) -> Q:
    if connection.vendor == "sqlite":
        # LIKE uses no index here; a range does.
        return Q(**{f"{column}__gte": begin, f"{column}__lt": begin + "\U0010ffff"})
    return Q(**{f"{column}__startswith": begin})


def _by_index(copies: QuerySet[Copy], words: Sequence[str]) -> QuerySet[Copy]:
    """SQLite's planner knows nothing of a virtual table: rare matches are looked up, frequent ones met."""
    quoted = ('"' + word.replace('"', '""') + '"' for word in words)
    match = " AND ".join(quoted)
    sql = f"SELECT rowid FROM {SEARCH_TABLE} WHERE search_text MATCH %s"  # noqa: S608 - a constant name
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM ({sql} LIMIT {RARE + 1})", [match])  # noqa: S608
        count = cursor.fetchone()[0]
    if count <= RARE:
        return copies.filter(pk__in=RawSQL(sql, [match]))  # noqa: S611 - the words are a parameter
    for word in words:
        copies = copies.filter(search_text__contains=word)
    return copies


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
    hosts = Prefetch("host", Host.objects.only("name", "is_estimate", "is_enabled"))
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


# Removing and selecting


def copies_chosen(user: User, ids: Sequence[int], query: FleetQuery | None) -> QuerySet[Copy]:
    """The copies of a selection: all that match the query when there is one, else these ids. Only visible ones."""
    if query is not None:
        return fleet_copies(user, query)
    return Copy.objects.visible_to(user).filter(pk__in=ids)
