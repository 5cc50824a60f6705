"""Stores what images are made of: config, history, layers. By content, so once for all hosts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum

from images.engine.read import moment
from images.engine.snapshots import ImageContent
from images.inventory.bulk import image_layers_add
from images.layers import chain_ids, layer_sizes, layer_steps, settled_sizes
from images.models import Copy, Image, ImageLayer, Layer, StoreKind
from images.references import content_document, content_key


@dataclass(frozen=True, slots=True)
class Known:
    """What a copy needs to know of its image. `layer_bytes` is 0 where the layers are not known."""

    image_id: int
    built_at: datetime | None
    layer_bytes: int


def contents_known(engine_ids: Sequence[str], store_kind: str) -> dict[str, Known]:
    """Images that some host of this store kind holds under the same ID.

    On graph drivers the ID is the digest of the config, so it names the content. On the containerd store it
    may name an index, of which each host holds other platforms: nothing is known until it is inspected.
    """
    if store_kind == StoreKind.CONTAINERD:
        return {}
    copies = Copy.objects.filter(
        engine_id__in=engine_ids, host__store_kind=store_kind, image__is_partial=False
    )
    found = dict(copies.order_by().values_list("engine_id", "image_id"))
    known = images_known(set(found.values()), store_kind)
    return {engine_id: known[image_id] for engine_id, image_id in found.items()}


def images_known(image_ids: set[int], store_kind: str) -> dict[int, Known]:
    sums = ImageLayer.objects.filter(image_id__in=image_ids, layer__store_kind=store_kind).order_by()
    sizes = dict(
        sums.values("image_id").annotate(total=Sum("layer__size_bytes")).values_list("image_id", "total")
    )
    rows = Image.objects.filter(pk__in=image_ids).values_list("pk", "built_at")
    return {pk: Known(pk, built_at, sizes.get(pk, 0)) for pk, built_at in rows}


def contents_store(contents: Sequence[ImageContent], store_kind: str) -> dict[str, Known]:
    """Writes what is new, in a fixed number of queries; safe when two hosts do it at once."""
    keys = {content.engine_id: content_key(content.inspect) for content in contents}
    by_key = {keys[content.engine_id]: content for content in contents}
    images = _store_images(by_key)
    sizes = _store_layers({images[key]: content for key, content in by_key.items()}, store_kind)
    return {
        engine_id: Known(images[key], moment(by_key[key].inspect.get("Created")), sizes[images[key]])
        for engine_id, key in keys.items()
    }


def _store_images(by_key: dict[str, ImageContent]) -> dict[str, int]:
    existing = _image_ids(by_key)
    new = [_image(key, content) for key, content in by_key.items() if key not in existing]
    if new:
        Image.objects.bulk_create(new, ignore_conflicts=True, batch_size=100)
        existing |= _image_ids(image.content_key for image in new)
    return existing


def _image_ids(keys: Any) -> dict[str, int]:
    return dict(Image.objects.filter(content_key__in=list(keys)).values_list("content_key", "pk"))


def _image(key: str, content: ImageContent) -> Image:
    inspect = content.inspect
    config = inspect.get("Config") or {}
    return Image(
        content_key=key,
        built_at=moment(inspect.get("Created")),
        architecture=inspect.get("Architecture") or "",
        operating_system=inspect.get("Os") or "",
        variant=inspect.get("Variant") or "",
        author=(inspect.get("Author") or "")[:500],
        labels=config.get("Labels") or {},
        config=config,
        history=_history(content),
        inspect=content_document(inspect),
        is_partial=not inspect.get("RootFS"),
    )


def _steps(content: ImageContent) -> list[dict[str, Any]]:
    return [
        {"created_by": s.created_by, "created_at": s.created_at, "bytes": s.size_bytes, "comment": s.comment}
        for s in content.history
    ]


def _history(content: ImageContent) -> list[dict[str, Any]]:
    steps = _steps(content)
    makers = set(layer_steps(len(content.diff_ids), steps))
    return [step | {"makes_layer": index in makers} for index, step in enumerate(steps)]


def _store_layers(contents: dict[int, ImageContent], store_kind: str) -> dict[int, int]:
    """Gives the bytes of each image. A layer's size is the one it was first stored with."""
    stacks = {image_id: _layers(content, store_kind) for image_id, content in contents.items()}
    layers = [layer for stack in stacks.values() for layer in stack]
    stored = _stored_layers({layer.chain_id for layer in layers}, store_kind)
    told = {layer.chain_id: layer.size_bytes for layer in layers if layer.created_by}
    _settle(stacks.values(), told | {chain: size for chain, (_, size) in stored.items()})
    by_chain = {layer.chain_id: layer for layer in layers} | {
        layer.chain_id: layer for layer in layers if layer.created_by
    }
    if new := [layer for chain, layer in by_chain.items() if chain not in stored]:
        Layer.objects.bulk_create(new, ignore_conflicts=True)
        stored |= _stored_layers([layer.chain_id for layer in new], store_kind)
    rows = ImageLayer.objects.filter(image_id__in=stacks, layer__store_kind=store_kind).order_by()
    done = set(rows.values_list("image_id", flat=True).distinct())
    image_layers_add(
        [
            (image_id, stored[layer.chain_id][0], position)
            for image_id, stack in stacks.items()
            if image_id not in done
            for position, layer in enumerate(stack)
        ]
    )
    return {image_id: sum(stored[layer.chain_id][1] for layer in stack) for image_id, stack in stacks.items()}


def _settle(stacks: Iterable[list[Layer]], known: Mapping[str, int]) -> None:
    """An image without history has only a total: its shared layers have the sizes that others tell."""
    for stack in stacks:
        if any(not layer.created_by for layer in stack):
            sizes = [layer.size_bytes for layer in stack]
            told = [layer.size_bytes if layer.created_by else known.get(layer.chain_id) for layer in stack]
            for layer, size in zip(stack, settled_sizes(sizes, told), strict=True):
                layer.size_bytes = size


def _stored_layers(chains: Any, store_kind: str) -> dict[str, tuple[int, int]]:
    rows = Layer.objects.filter(chain_id__in=list(chains), store_kind=store_kind)
    return {chain: (pk, size) for chain, pk, size in rows.values_list("chain_id", "pk", "size_bytes")}


def _layers(content: ImageContent, store_kind: str) -> list[Layer]:
    diff_ids, steps = content.diff_ids, _steps(content)
    makers = layer_steps(len(diff_ids), steps)
    sizes = layer_sizes(diff_ids, steps, content.inspect.get("Size") or 0)
    return [
        Layer(
            chain_id=chain,
            store_kind=store_kind,
            diff_id=diff_id,
            size_bytes=size,
            created_by=steps[maker]["created_by"] if maker is not None else "",
        )
        for chain, diff_id, size, maker in zip(chain_ids(diff_ids), diff_ids, sizes, makers, strict=True)
    ]
