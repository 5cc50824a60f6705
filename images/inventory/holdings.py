"""Loads what `layers.py` computes with: the copies of a host, their layers, and who holds them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from images.layers import Freed, Holding, Holdings
from images.models import Container, Copy, Host, ImageLayer, Reference, StoreKind


def host_holdings(host: Host) -> Holdings:
    """Everything one host holds, in four queries whatever its size. Keys are the pks of copies."""
    kind = host.store_kind or StoreKind.GRAPH
    sizes: dict[int, int] = {}
    stacks: defaultdict[int, list[int]] = defaultdict(list)
    held_here = Copy.objects.filter(host=host).values("image_id")
    rows = ImageLayer.objects.filter(image__in=held_here, layer__store_kind=kind)
    for image_id, layer_id, size_bytes in rows.order_by("image_id", "position").values_list(
        "image_id", "layer_id", "layer__size_bytes"
    ):
        stacks[image_id].append(layer_id)
        sizes[layer_id] = size_bytes
    held = _held_layers(host, kind)
    return Holdings(
        _holdings(host, stacks, has_blobs=kind == StoreKind.CONTAINERD),
        sizes | held,
        held=held.keys(),
        is_up_to=host.build_cache_holds_layers,
        is_estimate=host.engine_kind == "podman",
    )


def _held_layers(host: Host, kind: str) -> dict[int, int]:
    """Layers (with their bytes) that containers hold whose image was removed by force."""
    orphans = Container.objects.filter(host=host, copy=None, image__isnull=False).values("image_id")
    rows = ImageLayer.objects.filter(image__in=orphans, layer__store_kind=kind)
    return dict(rows.values_list("layer_id", "layer__size_bytes"))


def _holdings(host: Host, stacks: dict[int, list[int]], *, has_blobs: bool) -> Iterable[Holding]:
    copies = Copy.objects.filter(host=host).values_list(
        "pk", "image_id", "engine_id", "parent_engine_id", "is_dangling", "container_count", "content_bytes"
    )
    rows = list(copies)
    # A copy without a tag may still be referred to by a digest; the engine then keeps it when its child goes.
    by_digest = set(Reference.objects.filter(host=host, tag="").values_list("copy_id", flat=True))
    keys = {engine_id: pk for pk, _, engine_id, *_ in rows}
    for pk, image_id, _engine_id, parent_engine_id, is_dangling, container_count, content_bytes in rows:
        yield Holding(
            key=pk,
            layers=tuple(stacks.get(image_id, ())),
            parent=keys.get(parent_engine_id),
            is_tagged=not is_dangling or pk in by_digest,
            is_in_use=container_count > 0,
            extra_bytes=content_bytes if has_blobs else 0,
        )


def freed_by_host(copy_ids: Iterable[int]) -> dict[Host, Freed]:
    """What removing these copies would free on each of their hosts; those in use stay and free nothing."""
    selected: defaultdict[int, list[int]] = defaultdict(list)
    for pk, host_id in Copy.objects.filter(pk__in=list(copy_ids)).values_list("pk", "host_id"):
        selected[host_id].append(pk)
    hosts = Host.objects.filter(pk__in=selected)
    return {host: _freed(host_holdings(host), selected[host.pk]) for host in hosts}


def _freed(holdings: Holdings, keys: list[int]) -> Freed:
    freed = holdings.freed(going := holdings.removable(keys))
    return replace(freed, blockers=freed.blockers | {key: () for key in keys if key not in set(going)})
