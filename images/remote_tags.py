"""Which copies are behind their tag: what registries say of tags, asked for by digest, once for the whole fleet.

Only registries that are entered on the Registries page are asked, Docker Hub too, and only about tags of copies that
came from a registry: an image that was built here is no registry's business.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django.utils import timezone

from images.accounts.prefixes import host_of, longest
from images.accounts.registries import login_of, outcome_write, spellings
from images.claims import claimed
from images.engine.registry_api import WHOLE_REGISTRY, RegistryApi, open_registry
from images.errors import UserError
from images.jobs.life import wake
from images.live import progress
from images.models import Copy, Reference, Registry, RemoteTag
from images.references import InvalidReferenceError, parse

logger = logging.getLogger(__name__)

NEVER = datetime(1971, 1, 1, tzinfo=UTC)
"""Not asked yet: due before all that were."""
WISHED = datetime(1970, 1, 1, tzinfo=UTC)
"""A person waits for the answer: due first of all."""
TAGS_PER_ROUND = 20
ROUND_SECONDS = 600.0  # longer than a round of slow answers
PAUSE_SECONDS = 0.1  # between two questions: a registry should not notice
REST_AFTER_FAILURE = timedelta(hours=1)
GATHER_EVERY_SECONDS = 300.0  # reads the tagged references of the whole fleet: a second for 200,000
BATCH = 500


def full_name(name: str) -> str:
    """ "redis:7" -> "docker.io/library/redis:7"; "" for what is no reference or has no tag."""
    try:
        parsed = parse(name)
    except InvalidReferenceError:
        return ""
    return f"{parsed.registry}/{parsed.path}:{parsed.tag}" if parsed.tag and not parsed.digest else ""


# What is shown


@dataclass(frozen=True)
class Remote:
    """What is known of the tags of one copy. `newer` are the references a pull would bring something new for."""

    newer: Sequence[str] = ()
    current: Sequence[str] = ()
    failed: Sequence[RemoteTag] = ()
    is_waiting: bool = False  # some tag has not been asked for yet
    checked_at: datetime | None = None


def mark_newer(copies: Sequence[Copy]) -> None:
    """Sets `remote` on each copy, whose references are prefetched. One query however many there are."""
    names = {
        reference.name: full_name(reference.name)
        for copy in copies
        for reference in copy.references.all()
        if reference.tag
    }
    known = {tag.name: tag for tag in RemoteTag.objects.filter(name__in=set(names.values()))}
    for copy in copies:
        copy.remote = _remote(copy, names, known)  # type: ignore[attr-defined]


def _remote(copy: Copy, names: dict[str, str], known: dict[str, RemoteTag]) -> Remote:
    digests: dict[str, set[str]] = defaultdict(set)
    for reference in copy.references.all():
        if reference.digest:
            digests[reference.repository].add(reference.digest)
    newer: list[str] = []
    current: list[str] = []
    failed: list[RemoteTag] = []
    asked: list[datetime] = []
    is_waiting = False
    for reference in copy.references.all():
        tag = known.get(names.get(reference.name, "")) if reference.tag else None
        if tag is None or not digests[reference.repository]:
            continue
        is_waiting |= tag.checked_at <= NEVER
        if tag.error_code:
            failed.append(tag)
        elif tag.digest and tag.checked_at >= copy.arrived_at:
            (current if tag.digest in digests[reference.repository] else newer).append(reference.name)
            asked.append(tag.checked_at)
    return Remote(newer, current, failed, is_waiting, min(asked, default=None))


def behind() -> Exists:
    """The condition on Copy: one of its tags points at something else in its registry.

    What the registry said before the copy came says nothing about it.
    """
    own = Reference.objects.filter(copy=OuterRef("copy"), repository=OuterRef("repository")).exclude(
        digest=""
    )
    name = OuterRef("name")
    # Engines leave Docker Hub's name out of references, and so do rows.
    spellings = [name, Concat(Value("docker.io/"), name), Concat(Value("docker.io/library/"), name)]
    said = RemoteTag.objects.filter(name__in=spellings, checked_at__gte=OuterRef("copy__arrived_at"))
    said = said.exclude(digest="")
    held = own.filter(digest=OuterRef("said"))
    tagged = Reference.objects.filter(copy=OuterRef("pk")).exclude(tag="").filter(Exists(own))
    tagged = tagged.annotate(said=Subquery(said.values("digest")[:1])).filter(said__isnull=False)
    return Exists(tagged.exclude(Exists(held)))


def behind_write(names: Collection[str] | None = None) -> None:
    """Keeps `Copy.is_behind` true: for the copies with these tags (full names) and those marked now, or for all.

    The condition costs some microseconds a copy; the fleet list has not the time to ask it of every one.
    """
    marked = set(Copy.objects.filter(is_behind=True).values_list("pk", flat=True))
    if names is None:
        found = set(Copy.objects.filter(behind()).values_list("pk", flat=True))
    else:
        found = _behind_among(marked | _copies_with(names))
    _mark(found - marked, is_behind=True)
    _mark(marked - found, is_behind=False)


def _copies_with(names: Collection[str]) -> set[int]:
    """Looked up by repository, for which there is an index."""
    tags: dict[str, set[str]] = defaultdict(set)
    for name in names:
        repository, _, tag = name.rpartition(":")
        for spelling in spellings(repository):
            tags[spelling].add(tag)
    rows = Reference.objects.filter(repository__in=tags).exclude(tag="").order_by()
    found = rows.values_list("copy_id", "repository", "tag")
    return {copy_id for copy_id, repository, tag in found if tag in tags[repository]}


def _behind_among(keys: set[int]) -> set[int]:
    return {
        pk
        for batch in _batches(keys)
        for pk in Copy.objects.filter(behind(), pk__in=batch).values_list("pk", flat=True)
    }


def _mark(keys: set[int], *, is_behind: bool) -> None:
    for batch in _batches(keys):
        Copy.objects.filter(pk__in=batch).update(is_behind=is_behind)


def _batches(keys: set[int]) -> Iterator[list[int]]:
    ordered = sorted(keys)
    yield from (ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH))


# What is asked for


def tags_gather() -> int:
    """Makes the rows match the tags that hosts hold; gives how many are new. Reads every tagged reference once."""
    registries = list(Registry.objects.only("pk", "prefix"))
    wanted = dict(_wanted(registries))
    rows = {tag.name: tag for tag in RemoteTag.objects.all()}
    RemoteTag.objects.filter(pk__in=[tag.pk for name, tag in rows.items() if name not in wanted]).delete()
    new = [RemoteTag(name=name, checked_at=NEVER) for name in wanted if name not in rows]
    RemoteTag.objects.bulk_create(new, ignore_conflicts=True)
    # A copy that came after the registry was asked: what was said may be older than the copy.
    outrun = [rows[name].pk for name, came in wanted.items() if name in rows and came > rows[name].checked_at]
    RemoteTag.objects.filter(pk__in=outrun, checked_at__gt=NEVER).update(checked_at=NEVER)
    return len(new)


def _wanted(registries: Sequence[Registry]) -> Iterator[tuple[str, datetime]]:
    """The full name of each tag to ask for, with when its newest copy came."""
    if not registries:
        return
    hosts = {host_of(registry.prefix) for registry in registries}
    pulled = Reference.objects.filter(copy=OuterRef("copy"), repository=OuterRef("repository"))
    tagged = Reference.objects.filter(registry__in=hosts).exclude(tag="")
    tagged = tagged.filter(Exists(pulled.exclude(digest=""))).order_by()
    newest: dict[str, datetime] = {}
    for name, came in tagged.values_list("name").annotate(came=Max("copy__arrived_at")):
        full = full_name(name)
        if full and longest(registries, full.rpartition(":")[0]):
            newest[full] = max(came, newest.get(full, NEVER))
    yield from newest.items()


_gathered_at = 0.0


def tags_ask_due(now: datetime) -> int:
    """Wakes a worker for each registry with tags that were not asked for lately; gives how many.

    A registry that failed is left alone for an hour.
    """
    global _gathered_at
    if time.monotonic() - _gathered_at >= GATHER_EVERY_SECONDS:
        _gathered_at = time.monotonic()
        tags_gather()
        behind_write()
    rests = Q(checked_at__gt=now - REST_AFTER_FAILURE) & ~Q(error_code="")
    registries = list(Registry.objects.only("pk", "prefix"))
    awake = set(Registry.objects.exclude(rests).values_list("pk", flat=True))
    due = [each.pk for each in registries if each.pk in awake and _due(each, registries, now).exists()]
    return sum(wake("images.tasks.ask_registry", pk) for pk in due)


def _due(registry: Registry, others: Iterable[Registry], now: datetime) -> QuerySet[RemoteTag]:
    """The tags that are asked for with this account and are due, longest waiting first."""
    old, below = now - timedelta(hours=settings.REMOTE_TAG_HOURS), f"{registry.prefix}/"
    rows = RemoteTag.objects.filter(checked_at__lt=old, name__startswith=below)
    for other in others:
        if other.prefix.startswith(below):
            rows = rows.exclude(name__startswith=f"{other.prefix}/")
    return rows.order_by("checked_at", "name")


def registry_ask(registry_id: int) -> None:
    """Asks a registry for the next few tags; one round at a time."""
    with claimed(f"registry ask {registry_id}", ROUND_SECONDS) as is_mine:
        registry = Registry.objects.filter(pk=registry_id).first()
        if registry is not None and is_mine:
            _round(registry)


def _round(registry: Registry) -> None:
    others = Registry.objects.only("pk", "prefix")
    due = list(_due(registry, others, timezone.now())[:TAGS_PER_ROUND])
    if not due:
        return
    problem: UserError | None = None
    limit = None
    try:
        with open_registry(login_of(registry)) as api:
            try:
                api.sign_in()
                _ask_each(api, due)
            finally:
                limit = api.rate_limit
    except UserError as error:
        logger.warning("%s could not be asked for tags: %s", registry, error.code)
        problem = error
    except Exception as error:
        # The account rests then, as after any failure, instead of being asked again at once.
        logger.exception("%s could not be asked for tags", registry)
        problem = UserError("unexpected", raw=type(error).__name__)
    behind_write([tag.name for tag in due])
    outcome_write(registry, problem, limit)
    progress.publish("remote-tags", host_id=None)


def _ask_each(api: RegistryApi, due: Iterable[RemoteTag]) -> None:
    """Raises what goes for the whole registry; what goes for one tag is written beside it."""
    for tag in due:
        # Whoever moves the clock asks: two workers do not ask for the same tag.
        before, now = tag.checked_at, timezone.now()
        if not RemoteTag.objects.filter(pk=tag.pk, checked_at=before).update(checked_at=now):
            continue
        try:
            _ask(api, tag)
        except UserError as error:
            if error.code in WHOLE_REGISTRY:
                RemoteTag.objects.filter(pk=tag.pk, checked_at=now).update(checked_at=before)
                raise
            values = {"error_code": error.code, "error_values": error.values, "digest": ""}
            RemoteTag.objects.filter(pk=tag.pk).update(**values)
        time.sleep(PAUSE_SECONDS)


def _ask(api: RegistryApi, tag: RemoteTag) -> None:
    repository, _, name = tag.name.rpartition(":")
    digest = api.digest(repository.partition("/")[2], name)
    RemoteTag.objects.filter(pk=tag.pk).update(digest=digest, error_code="", error_values={})


def tag_told(name: str, digest: str) -> None:
    """A pull or a push has just told what a tag points at. Nothing where the tag is not asked for anyway."""
    if full := full_name(name):
        values = {"digest": digest, "error_code": "", "error_values": {}, "checked_at": timezone.now()}
        if RemoteTag.objects.filter(name=full).update(**values):
            behind_write([full])


def tags_ask_now(copies: Iterable[Copy]) -> bool:
    """Has a worker ask for the tags of these copies next; whether any of them can be asked for."""
    registries = list(Registry.objects.only("pk", "prefix"))
    names: list[str] = []
    asked: set[int] = set()
    for copy in copies:
        for full in askable(copy):
            if registry := longest(registries, full.rpartition(":")[0]):
                names.append(full)
                asked.add(registry.pk)
    rows = [RemoteTag(name=name, checked_at=WISHED) for name in set(names)]
    RemoteTag.objects.bulk_create(rows, ignore_conflicts=True)
    RemoteTag.objects.filter(name__in=names).update(checked_at=WISHED)
    for pk in asked:
        wake("images.tasks.ask_registry", pk)
    return bool(asked)


def askable(copy: Copy) -> list[str]:
    """The full names of its tags in repositories it was pulled from or pushed to."""
    references = list(copy.references.all())
    remote = {reference.repository for reference in references if reference.digest}
    names = (full_name(each.name) for each in references if each.tag and each.repository in remote)
    return [name for name in names if name]


@dataclass(frozen=True)
class Overview:
    """What an image's page says of its tags: `newer` with the hosts that are behind, by reference."""

    newer: dict[str, list[Copy]]
    current: list[str]
    failed: list[RemoteTag]
    is_waiting: bool
    checked_at: datetime | None
    is_askable: bool  # at least one tag is of a registry that is entered
    is_remote: bool  # it has tags that came from a registry or went to one


def tags_overview(copies: Sequence[Copy]) -> Overview:
    """Also sets `remote` on each copy. Two queries."""
    mark_newer(copies)
    remotes: list[Remote] = [copy.remote for copy in copies]  # type: ignore[attr-defined]
    newer: dict[str, list[Copy]] = defaultdict(list)
    for copy, remote in zip(copies, remotes, strict=True):
        for name in remote.newer:
            newer[name].append(copy)
    registries = list(Registry.objects.only("pk", "prefix"))
    names = {name for copy in copies for name in askable(copy)}
    times = [remote.checked_at for remote in remotes if remote.checked_at]
    return Overview(
        newer=dict(sorted(newer.items())),
        current=sorted({name for remote in remotes for name in remote.current} - set(newer)),
        failed=list({tag.pk: tag for remote in remotes for tag in remote.failed}.values()),
        is_waiting=any(remote.is_waiting for remote in remotes),
        checked_at=min(times, default=None),
        is_askable=any(longest(registries, name.rpartition(":")[0]) for name in names),
        is_remote=bool(names),
    )
