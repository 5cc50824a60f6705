"""Which copies the list is of: what its address asks for, as one queryset. Never waits for an engine.

Made for 200,000 copies: conditions that few of them meet are looked up first, others met on a walk in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import product
from string import hexdigits
from typing import Any

from django.db import connection
from django.db.models import (
    BigIntegerField,
    CharField,
    DateTimeField,
    Exists,
    F,
    Field,
    Func,
    OuterRef,
    Q,
    QuerySet,
)
from django.db.models.expressions import RawSQL
from django.utils import timezone

from images.fleet.reference_filter import images_labelled, images_told, references_matching
from images.fleet.search_index import SEARCH_TABLE
from images.models import Copy, Host, Image, Reference, User

RARE = 3_000
"""Up to so many matches are looked up first and then sorted; more are met soon enough on a walk in order."""
INDEXED_LENGTH = 3
"""A trigram index knows no shorter words."""


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
