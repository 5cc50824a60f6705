"""What a host's events change. An event says where to look; what is written is the engine's answer then."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from images.engine import read
from images.engine.client import Engine
from images.engine.events import is_of_interest
from images.engine.snapshots import ContainerSummary, EngineEvent
from images.inventory import picture
from images.inventory.copies import containers_write, copies_used, full_name
from images.inventory.picture import cache_refresh, images_refresh, recount, touched
from images.models import Container, Copy, Host, StoreKind
from images.references import DEFAULT_REGISTRY, InvalidReferenceError, parse

_ARRIVALS = frozenset({"pull", "load", "import", "tag", "create"})
_USES = frozenset({"create", "start", "die", "destroy"})


def events_apply(host: Host, events: Sequence[EngineEvent], engine: Engine) -> bool:
    """Brings the rows up to date after these events, oldest first.

    False when a container used an image that could not be told: then last use has a gap. Repeated and late
    events are harmless. Raises UserError host_* when the engine is lost meanwhile.
    """
    relevant = [event for event in events if is_of_interest(event)]
    images = [event for event in relevant if event.kind == "image" and event.action != "push"]
    containers = [event for event in relevant if event.kind == "container"]
    if images:
        _apply_images(host, images, engine)
    lost: list[EngineEvent] = []
    uses_changed = bool(containers) and _apply_containers(host, containers, engine, lost)
    if images or uses_changed:
        recount(host)
    # An image that went in the same moment needs no use to be known.
    gone = {event.actor_id for event in images if event.action in {"delete", "untag"}}
    return all(gone & set(_names(event.attributes.get("image", ""))) for event in lost)


# Docker makes up two words where a container is given no name.
_MADE_UP_NAME = re.compile(r"[a-z]+_[a-z]+\d?")


def _may_be_build_step(event: EngineEvent) -> bool:
    """A container of a classic build names its image by ID and has no name of its own.

    A person who starts a container like that looks the same, so the container is asked too while it lives.
    """
    image, name = event.attributes.get("image", ""), event.attributes.get("name", "")
    return len(image) == 71 and image.startswith("sha256:") and bool(_MADE_UP_NAME.fullmatch(name))


def _apply_images(host: Host, events: Sequence[EngineEvent], engine: Engine) -> None:
    names = {event.actor_id for event in events if event.actor_id}
    if not all(event.actor_id for event in events):
        names |= _unknown(host, engine)
    names |= {
        event.attributes["name"] for event in events if event.attributes.get("name") and _arrives(event)
    }
    arrived = [event.at for event in events if event.at and _arrives(event)]
    # An index of the containerd store may have gained another platform.
    may_grow = host.store_kind == StoreKind.CONTAINERD
    again = may_grow and any(event.action in {"pull", "load"} for event in events)
    images_refresh(host, names, engine, arrived_at=min(arrived, default=None), again=again)
    if arrived:
        cache_refresh(host, engine)


def _unknown(host: Host, engine: Engine) -> set[str]:
    """Images without a row: Podman 4 does not tell which ones a load has brought."""
    known = Copy.objects.filter(host=host).values_list("engine_id", flat=True)
    return {summary.engine_id for summary in read.list_images(engine)} - set(known)


def _arrives(event: EngineEvent) -> bool:
    return event.action in _ARRIVALS


def _apply_containers(
    host: Host, events: Sequence[EngineEvent], engine: Engine, lost: list[EngineEvent]
) -> bool:
    """Whether an image is used now that was not, or the other way round; `lost` gets uses of what is unknown."""
    destroyed = {event.actor_id for event in events if event.action == "destroy"}
    living = {event.actor_id for event in events} - destroyed
    found = {pk: read.find_container(engine, pk) for pk in living}
    steps = _build_steps(events, found)
    summaries = [summary for pk, summary in found.items() if summary and pk not in steps]
    gone = destroyed | {pk for pk, summary in found.items() if summary is None}
    _ensure_images(host, summaries, engine)
    with transaction.atomic():
        # In the order of every other writer: the host first, or two of them wait for each other for ever.
        picture.lock(host)
        lost += _note_use(host, [event for event in events if event.actor_id not in steps], summaries)
        containers_write(host, summaries, timezone.now(), gone=gone)
        return touched(host)


def _build_steps(events: Iterable[EngineEvent], found: Mapping[str, ContainerSummary | None]) -> set[str]:
    """Containers of classic builds; one that is gone already is taken for one if it looks like it."""
    candidates = {event.actor_id for event in events if _may_be_build_step(event)}
    alive = {pk: summary for pk, summary in found.items() if summary}
    return {pk for pk in candidates if pk not in alive or alive[pk].is_build_step}


def _ensure_images(host: Host, summaries: Iterable[ContainerSummary], engine: Engine) -> None:
    """A container on an image without a row: its own event is late, or it was made before we listened."""
    named = {summary.image_engine_id for summary in summaries if summary.image_engine_id}
    have = set(Copy.objects.filter(host=host, engine_id__in=named).values_list("engine_id", flat=True))
    known = set(
        Container.objects.filter(host=host, image_engine_id__in=named).values_list(
            "image_engine_id", flat=True
        )
    )
    if missing := named - have - known:
        images_refresh(host, missing, engine)


def _note_use(
    host: Host, events: Iterable[EngineEvent], summaries: Iterable[ContainerSummary]
) -> list[EngineEvent]:
    """The image of an event is resolved at once: tomorrow the same name may be another image.

    Gives the events of containers that are gone already and whose image nobody here goes by that name.
    """
    now, lost = timezone.now(), []
    ids = {summary.container_id: summary.image_engine_id for summary in summaries}
    for event in events:
        if event.action in _USES:
            copies = _copies_of(host, event, ids.get(event.actor_id, ""))
            copies_used(copies, _at(event, now))
            if not copies and event.actor_id not in ids:
                lost.append(event)
    return lost


def _at(event: EngineEvent, now: datetime) -> datetime:
    """An engine's clock may run ahead of ours."""
    return min(event.at, now) if event.at else now


def _copies_of(host: Host, event: EngineEvent, engine_id: str) -> list[int]:
    copies = Copy.objects.filter(host=host)
    found = list(copies.filter(engine_id=engine_id).values_list("pk", flat=True)) if engine_id else []
    if not found:
        found = list(copies.filter(containers__container_id=event.actor_id).values_list("pk", flat=True))
    name = event.attributes.get("image", "")
    if not found and name:
        by_id = copies.filter(engine_id__startswith=f"sha256:{name.removeprefix('sha256:')}")
        by_name = copies.filter(references__name__in=_names(name))
        found = list(by_name.values_list("pk", flat=True)) or list(by_id.values_list("pk", flat=True))
    return found


def _names(name: str) -> list[str]:
    """What the engine may list the image as that a container names so.

    "docker.io/library/redis:7" is "redis:7" on Docker and the other way round on Podman, and of "redis:7@sha256:..."
    the digest decides; the tag counts as well, for a use too many does no harm.
    """
    try:
        parsed = parse(name)
    except InvalidReferenceError:
        return [name, full_name(name)]
    short = parsed.path.removeprefix("library/") if parsed.registry == DEFAULT_REGISTRY else parsed.repository
    repositories = dict.fromkeys((parsed.repository, short, f"{parsed.registry}/{parsed.path}"))
    tag = parsed.tag or ("" if parsed.digest else "latest")
    tails = [f"@{parsed.digest}" if parsed.digest else "", f":{tag}" if tag else ""]
    return [name, *(f"{repository}{tail}" for repository in repositories for tail in tails if tail)]
