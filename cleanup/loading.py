"""Loads what the planner is told about a host: a fixed number of queries whatever its size."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from cleanup.facts import CopyFacts, HostFacts, Values
from images.inventory.holdings import host_holdings
from images.models import Container, Copy, Host, HostState, Image, Job, JobItem, Pin, Reference

FRESH = timedelta(minutes=30)  # three syncs may fail; then what is in use is not known any more
# Jobs that need no image to stay.
INDIFFERENT_KINDS = ("sync", "remove", "cleanup")


def host_warning(host: Host, now: datetime) -> str:
    """Why nothing may be removed from the host as far as is known; a code, "" when all is well."""
    if not host.is_enabled:
        return "host_disabled"
    if host.state == HostState.OFFLINE:
        return "host_offline"
    if host.synced_at is None or host.state != HostState.ONLINE:
        return "host_never_synced"
    if host.synced_at < now - FRESH and not host.is_watched(now):
        return "inventory_old"
    return ""


def host_facts(host: Host, now: datetime) -> HostFacts:
    """The host as the planner sees it."""
    return HostFacts(
        copies=tuple(_copies(host, now)),
        holdings=host_holdings(host),
        use_known_since=host.use_known_since if host.is_use_known(now) else None,
    )


def _copies(host: Host, now: datetime) -> Iterable[CopyFacts]:
    rows = list(
        Copy.objects.filter(host=host)
        .order_by("pk")
        .values_list(
            "pk", "engine_id", "parent_engine_id", "image_id", "repository", "tag", "size_bytes",
            "arrived_at", "built_at", "last_used_at", "is_intermediate", "container_count",
        )
    )  # fmt: skip
    keys = {row[1]: row[0] for row in rows}
    references = _references(host)
    containers = _containers(host)
    labels = dict(Image.objects.filter(copies__host=host).exclude(labels={}).values_list("pk", "labels"))
    pins, wanted = active_pins(host, now), wanted_by(host)
    names_wanted = wanted.keys()
    for (
        pk,
        engine_id,
        parent,
        image,
        repository,
        tag,
        size,
        arrived,
        built,
        used,
        intermediate,
        count,
    ) in rows:
        own = references.get(pk, [])
        hit = next((name for name in (engine_id, *(entry[0] for entry in own)) if name in names_wanted), None)
        yield CopyFacts(
            key=pk,
            engine_id=engine_id,
            name=f"{repository}:{tag}" if repository and tag else engine_id.removeprefix("sha256:")[:12],
            arrived_at=arrived,
            tags=tuple((repo, name) for _, repo, name in own if name),
            references=tuple(entry[0] for entry in own),
            labels=labels.get(image) or {},
            built_at=built,
            last_used_at=used,
            size_bytes=size,
            parent=keys.get(parent),
            is_intermediate=intermediate,
            # A use that only the counter knows still counts.
            containers=tuple(containers.get(pk) or ("?",) * min(count, 1)),
            pin=pins.get(image),
            wanted_by=wanted[hit] if hit else None,
        )


def _references(host: Host) -> dict[int, list[tuple[str, str, str]]]:
    found: defaultdict[int, list[tuple[str, str, str]]] = defaultdict(list)
    rows = Reference.objects.filter(host=host).order_by("name")
    for copy, name, repository, tag in rows.values_list("copy_id", "name", "repository", "tag"):
        found[copy].append((name, repository, tag))
    return found


def _containers(host: Host) -> dict[int, list[str]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    rows = Container.objects.filter(host=host, copy__isnull=False).order_by("name")
    for copy, name, container_id in rows.values_list("copy_id", "name", "container_id"):
        found[copy].append(name or container_id[:12])
    return found


def active_pins(host: Host, now: datetime) -> dict[int, Values]:
    """The pins that hold on the host, by image."""
    pins = Pin.objects.active(now).filter(Q(host=host) | Q(host=None)).order_by("pk")
    return {
        image: {"reason": reason, "until": ends_at.isoformat() if ends_at else ""}
        for image, reason, ends_at in pins.values_list("image_id", "reason", "ends_at")
    }


def wanted_by(host: Host) -> dict[str, Values]:
    """Names and engine IDs that queued and running jobs speak of, with the job; of copies from here as well."""
    jobs = Job.objects.at(host.pk).open().exclude(kind__in=INDIFFERENT_KINDS)
    found: dict[str, Values] = {}
    for pk, kind, parameters in jobs.values_list("pk", "kind", "parameters"):
        found |= {name: {"job": pk, "kind": kind} for name in _texts(parameters)}
    items = JobItem.objects.filter(job__in=jobs).values_list("job_id", "job__kind", "name", "engine_id")
    for job, kind, name, engine_id in items:
        found |= {text: {"job": job, "kind": kind} for text in (name, engine_id) if text}
    return found


def _texts(value: Any) -> Iterable[str]:
    """Every text in a job's parameters; a name without a tag means `latest`, as it does to an engine."""
    if isinstance(value, str):
        yield value
        if ":" not in value.rpartition("/")[2] and "@" not in value:
            yield f"{value}:latest"
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
