"""Makes a host's rows equal to what its engine says: copies with their references, and containers."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from django.db.models import Count, Q

from images.engine.snapshots import ContainerSummary, ImageSummary
from images.inventory.contents import Known
from images.models import Container, Copy, Host, Pin, Reference, StoreKind
from images.references import InvalidReferenceError, Parsed, parse

_DERIVED = (
    "image_id", "parent_engine_id", "repository", "tag", "search_text", "is_dangling", "is_latest",
    "size_bytes", "content_bytes", "built_at",
)  # fmt: skip
_WRITTEN = [name.removesuffix("_id") if name == "image_id" else name for name in _DERIVED]


def copies_write(
    host: Host, summaries: Sequence[ImageSummary], known: Mapping[str, Known], now: datetime,
    arrived_at: datetime | None = None,
) -> int:  # fmt: skip
    """Adds or changes the copies of these summaries; gives how many were not as they should be.

    `known` holds the image of every new copy, and of those whose content may have changed.
    """
    wanted = [summary.engine_id for summary in summaries]
    rows = Copy.objects.filter(host=host, engine_id__in=wanted).prefetch_related("references")
    existing = {copy.engine_id: copy for copy in rows}
    new, changed = [], []
    contents = {copy.pk: copy.image_id for copy in existing.values()}
    for summary in summaries:
        copy = existing.get(summary.engine_id)
        if copy is None:
            came = arrived_at or now
            copy = Copy(host=host, engine_id=summary.engine_id, first_seen_at=now, arrived_at=came)
            new.append(_derive(copy, summary, known[summary.engine_id], host.store_kind))
        elif _differs(copy, summary, known.get(summary.engine_id), host.store_kind):
            changed.append(copy)
        copy.last_seen_at = now
    Copy.objects.bulk_create(new)
    Copy.objects.bulk_update(changed, [*_WRITTEN, "last_seen_at"], batch_size=50)
    for copy in changed:
        if copy.image_id != contents[copy.pk]:
            _pins_carry(host, contents[copy.pk], copy.image_id)
    names = {summary.engine_id: summary.references for summary in summaries}
    _write_references(host, {copy: names[copy.engine_id] for copy in [*new, *changed]}, fresh=new)
    return len(new) + len(changed)


def _pins_carry(host: Host, before: int, after: int) -> None:
    """A copy whose content became known in full, or gained a platform, is another image now: its pins go along."""
    has = set(Pin.objects.filter(image=after).values_list("host_id", "reason"))
    pins = Pin.objects.filter(Q(host=host) | Q(host=None), image=before)
    Pin.objects.bulk_create(
        Pin(
            image_id=after,
            host_id=pin.host_id,
            reason=pin.reason,
            created_by_id=pin.created_by_id,
            ends_at=pin.ends_at,
        )
        for pin in pins
        if (pin.host_id, pin.reason) not in has
    )


def _differs(copy: Copy, summary: ImageSummary, known: Known | None, store_kind: str) -> bool:
    """Brings the row up to date; whether that changed anything."""
    before = [getattr(copy, name) for name in _DERIVED]
    names = {reference.name for reference in copy.references.all()}
    _derive(copy, summary, known, store_kind)
    return [getattr(copy, name) for name in _DERIVED] != before or names != set(summary.references)


def _derive(copy: Copy, summary: ImageSummary, known: Known | None, store_kind: str) -> Copy:
    parsed = [parsed_reference(name) for name in summary.references]
    tags = sorted((p for p in parsed if p.tag), key=lambda p: (p.tag == "latest", p.name))
    first = tags[0] if tags else parsed[0] if parsed else None
    copy.repository, copy.tag = (first.repository, first.tag) if first else ("", "")
    copy.is_dangling, copy.is_latest = not tags, any(p.tag == "latest" for p in tags)
    copy.parent_engine_id = summary.parent_engine_id
    copy.search_text = search_text(summary)
    if known is not None:
        copy.image_id, copy.built_at = known.image_id, known.built_at
        copy.size_bytes = known.layer_bytes or summary.size_bytes
        copy.content_bytes = _content_bytes(summary, known) if store_kind == StoreKind.CONTAINERD else None
    return copy


def _content_bytes(summary: ImageSummary, known: Known) -> int:
    """The compressed blobs: told by inspect; the list tells them and the unpacked layers as one sum."""
    if summary.content_bytes is not None:
        return summary.content_bytes
    return max(0, summary.size_bytes - known.layer_bytes)


def parsed_reference(name: str) -> Parsed:
    """An engine may hold names that distribution's grammar refuses; they are taken apart by eye."""
    try:
        return parse(name)
    except InvalidReferenceError:
        bare, _, digest = name.partition("@")
        head, colon, tail = bare.rpartition(":")
        is_tag = colon and "/" not in tail
        return Parsed(
            name[:450], "", (head if is_tag else bare)[:255], tail[:128] if is_tag else "", digest[:100]
        )


def search_text(summary: ImageSummary) -> str:
    """What the keyword search looks through, in lower case; labels as key=value."""
    labels = (f"{key}={value}" for key, value in sorted(summary.labels.items()))
    return "\n".join([*sorted(summary.references), summary.engine_id, *labels]).lower()


def _write_references(host: Host, names: Mapping[Copy, Iterable[str]], *, fresh: Collection[Copy]) -> None:
    new, gone = [], []
    fresh_ids = {copy.pk for copy in fresh}
    for copy, wanted in names.items():
        held = (
            {}
            if copy.pk in fresh_ids
            else {reference.name: reference.pk for reference in copy.references.all()}
        )
        gone += [pk for name, pk in held.items() if name not in set(wanted)]
        new += [_reference(host, copy, name) for name in wanted if name not in held]
    Reference.objects.filter(pk__in=gone).delete()
    Reference.objects.bulk_create(new, ignore_conflicts=True)


def _reference(host: Host, copy: Copy, name: str) -> Reference:
    p = parsed_reference(name)
    return Reference(
        copy=copy,
        host=host,
        name=name[:450],
        registry=p.registry,
        repository=p.repository,
        tag=p.tag,
        digest=p.digest,
    )


def intermediates_mark(host: Host) -> None:
    """An untagged copy with children is a parent of a classic build; without them it is dangling."""
    rows = list(
        Copy.objects.filter(host=host).values_list(
            "pk", "engine_id", "parent_engine_id", "is_dangling", "is_intermediate"
        )
    )
    parents = {parent for _, _, parent, _, _ in rows if parent}
    for value in (True, False):
        wrong = [
            pk
            for pk, own, _, dangling, marked in rows
            if marked != value and (dangling and own in parents) == value
        ]
        if wrong:
            Copy.objects.filter(pk__in=wrong).update(is_intermediate=value)


def containers_write(
    host: Host, summaries: Sequence[ContainerSummary], now: datetime, *, gone: Collection[str] = ()
) -> bool:
    """Adds or changes these containers and forgets those that are `gone`; whether anything changed."""
    rows = Container.objects.filter(host=host, container_id__in=[s.container_id for s in summaries])
    existing = {row.container_id: row for row in rows}
    copies = _copies_by_name(host, summaries)
    new, changed = [], []
    for summary in summaries:
        row = existing.get(summary.container_id) or Container(host=host, container_id=summary.container_id)
        before = (row.copy_id, row.image_id, row.name, row.state, row.image_engine_id)
        _fill(row, summary, copies)
        if row._state.adding:
            new.append(row)
        elif before != (row.copy_id, row.image_id, row.name, row.state, row.image_engine_id):
            changed.append(row)
    Container.objects.bulk_create(new, ignore_conflicts=True)
    fields = ["copy", "image", "name", "state", "image_engine_id", "image_name", "created_at"]
    Container.objects.bulk_update(changed, fields, batch_size=100)
    removed = _containers_forget(host, gone, now)
    return bool(new or changed or removed)


def _fill(row: Container, summary: ContainerSummary, copies: Mapping[str, tuple[int, int]]) -> None:
    row.name, row.state, row.created_at = summary.name[:255], summary.state[:20], summary.created_at
    row.image_engine_id, row.image_name = summary.image_engine_id[:100], summary.image_name[:450]
    found = copies.get(summary.image_engine_id) or copies.get(full_name(summary.image_name))
    row.copy_id = found[0] if found else None
    if found:
        # Only ever set: the content stays known after the image was removed by force.
        row.image_id = found[1]


def full_name(name: str) -> str:
    """A name as a person writes it, with the tag the engine takes when none is given."""
    bare = name.rpartition("/")[2]
    return name if not name or ":" in bare or "@" in bare else f"{name}:latest"


def _copies_by_name(host: Host, summaries: Sequence[ContainerSummary]) -> dict[str, tuple[int, int]]:
    """The copies that containers name, by engine ID and by reference.

    The containerd store may name a container's image by its manifest and list it by its index: then the
    container's own name for it decides.
    """
    ids = {summary.image_engine_id for summary in summaries}
    found: dict[str, tuple[int, int]] = {}
    for engine_id, pk, image_id in Copy.objects.filter(host=host, engine_id__in=ids).values_list(
        "engine_id", "pk", "image_id"
    ):
        found[engine_id] = (pk, image_id)
    lost = {full_name(s.image_name) for s in summaries if s.image_engine_id not in found and s.image_name}
    if lost and host.store_kind == StoreKind.CONTAINERD:
        references = Reference.objects.filter(host=host, name__in=lost)
        for name, pk, image_id in references.values_list("name", "copy_id", "copy__image_id"):
            found.setdefault(name, (pk, image_id))
    return found


def _containers_forget(host: Host, gone: Collection[str], now: datetime) -> int:
    """A container that is gone used its image until now, as far as anybody can tell."""
    if not gone:
        return 0
    rows = Container.objects.filter(host=host, container_id__in=gone)
    copies_used(Copy.objects.filter(containers__in=rows).values_list("pk", flat=True), now)
    return rows.delete()[0]


def copies_used(pks: Iterable[int], at: datetime) -> None:
    """Notes that a container used these copies at a moment; an older moment changes nothing."""
    older = Q(last_used_at=None) | Q(last_used_at__lt=at)
    Copy.objects.filter(older, pk__in=list(pks)).update(last_used_at=at)


def container_counts_write(host: Host, now: datetime) -> bool:
    """Counts the containers of every copy; what has one is used now.

    Whether a copy is in use now that was not, or the other way round.
    """
    rows = Container.objects.filter(host=host, copy__isnull=False).order_by()
    counts = dict(rows.values_list("copy").annotate(Count("pk")))
    shown = dict(Copy.objects.filter(host=host, container_count__gt=0).values_list("pk", "container_count"))
    wrong: defaultdict[int, list[int]] = defaultdict(list)
    for pk in counts.keys() | shown.keys():
        if counts.get(pk, 0) != shown.get(pk, 0):
            wrong[counts.get(pk, 0)].append(pk)
    for count, pks in wrong.items():
        Copy.objects.filter(pk__in=pks).update(container_count=count)
    copies_used(counts, now)
    return counts.keys() != shown.keys()
