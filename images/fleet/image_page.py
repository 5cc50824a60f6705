"""What an image's page shows: its copies, configuration, history, layers and who shares them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from images import access
from images.models import Copy, Image, ImageLayer, Permission, Pin, StoreKind, User
from images.references import content_document
from images.secrets import masked, masked_text

NAMED = 4
"""So many of the images that share a layer are named."""
BAR_WIDTH = 1000


@dataclass(frozen=True)
class LayerBox:
    """A layer with its place in the bar; `x` and `width` in BAR_WIDTH-ths."""

    position: int
    chain_id: str
    size_bytes: int
    created_by: str
    share_count: int
    shared_with: Sequence[Copy]
    x: float
    width: float


@dataclass(frozen=True)
class LayerStack:
    """The layers as one kind of store counts them."""

    label: str
    boxes: Sequence[LayerBox]
    total_bytes: int
    shared_bytes: int


def image_copies(user: User, image: Image) -> list[Copy]:
    copies = Copy.objects.visible_to(user).filter(image=image).select_related("host").defer("search_text")
    return list(copies.prefetch_related("references", "containers").order_by("host__name", "id"))


def image_pins(user: User, image: Image) -> QuerySet[Pin]:
    pins = Pin.objects.visible_to(user).filter(image=image).active(timezone.now())
    return pins.select_related("host", "created_by")


def may_see_secrets(user: User, copies: Sequence[Copy]) -> bool:
    """Who may push the image may read all that is in it anyway; who may only look may not."""
    return any(access.can(user, Permission.PUSH, copy.host_id) for copy in copies)


def may_now(user: User, copies: Sequence[Copy], permission: Permission) -> bool:
    """Whether the permission holds for a copy on a host that is on."""
    return any(copy.host.is_enabled and access.can(user, permission, copy.host_id) for copy in copies)


def layer_stacks(user: User, image: Image, copies: Sequence[Copy], *, reveal: bool) -> list[LayerStack]:
    """One stack for each kind of store among the visible hosts, bottom layer first."""
    rows = list(ImageLayer.objects.filter(image=image).select_related("layer").order_by("position"))
    sharing = _sharing(user, image, [row.layer_id for row in rows])
    kinds = {copy.host.store_kind or StoreKind.GRAPH for copy in copies} & {
        row.layer.store_kind for row in rows
    }
    kinds = kinds or {row.layer.store_kind for row in rows}
    return [
        _stack(kind, [row for row in rows if row.layer.store_kind == kind], sharing, reveal=reveal)
        for kind in sorted(kinds)
    ]


def _stack(
    kind: str, rows: list[ImageLayer], sharing: dict[int, tuple[int, list[Copy]]], *, reveal: bool
) -> LayerStack:
    total = sum(row.layer.size_bytes for row in rows)
    boxes, x = [], 0.0
    for row in rows:
        layer = row.layer
        count, others = sharing.get(layer.pk, (0, []))
        width = BAR_WIDTH * layer.size_bytes / total if total else 0
        text = layer.created_by if reveal else masked_text(layer.created_by)
        boxes.append(LayerBox(row.position, layer.chain_id, layer.size_bytes, text, count, others, x, width))
        x += width
    shared = sum(box.size_bytes for box in boxes if box.share_count)
    return LayerStack(str(StoreKind(kind).label), boxes, total, shared)


def _sharing(user: User, image: Image, layer_ids: list[int]) -> dict[int, tuple[int, list[Copy]]]:
    """For each layer how many other images have it, and a few of them; only images the user may see."""
    visible = Copy.objects.visible_to(user)
    others = ImageLayer.objects.filter(layer__in=layer_ids).exclude(image=image)
    others = others.filter(Exists(visible.filter(image=OuterRef("image"))))
    counts = dict(others.order_by().values_list("layer_id").annotate(n=Count("pk")))
    numbered = others.annotate(n=Window(RowNumber(), partition_by=F("layer"), order_by=F("image").desc()))
    named = list(numbered.filter(n__lte=NAMED).values_list("layer_id", "image_id"))
    copies = visible.filter(image__in={image_id for _, image_id in named}).order_by(
        "repository", "tag", "-id"
    )
    by_image = {copy.image_id: copy for copy in copies.only("image_id", "repository", "tag", "engine_id")}
    return {
        layer_id: (count, [by_image[i] for at, i in named if at == layer_id and i in by_image])
        for layer_id, count in counts.items()
    }


def configuration(image: Image, *, reveal: bool) -> list[tuple[str, list[str]]]:
    """Label and lines of all that the image's builder set."""
    config = image.config if reveal else masked(image.config)
    health = config.get("Healthcheck") or {}
    parts = [
        (_("Entry point"), _command(config.get("Entrypoint"))),
        (_("Command"), _command(config.get("Cmd"))),
        (_("Environment"), list(config.get("Env") or [])),
        (_("Ports"), sorted(config.get("ExposedPorts") or {})),
        (_("Volumes"), sorted(config.get("Volumes") or {})),
        (_("User"), _line(config.get("User"))),
        (_("Working directory"), _line(config.get("WorkingDir"))),
        (_("Health check"), _command(health.get("Test"))),
        (_("Stop signal"), _line(config.get("StopSignal"))),
        (_("Labels"), [f"{key}={value}" for key, value in sorted((config.get("Labels") or {}).items())]),
    ]
    return [(label, lines) for label, lines in parts if lines]


def _command(words: Any) -> list[str]:
    if not words:
        return []
    return [words if isinstance(words, str) else " ".join(str(word) for word in words)]


def _line(text: Any) -> list[str]:
    return [str(text)] if text else []


def history(image: Image, *, reveal: bool) -> list[dict[str, Any]]:
    """The steps, newest last, as they were recorded; `at` is when, None where nobody wrote it down."""
    steps = list(image.history) if reveal else [masked(step) for step in image.history]
    return [step | {"at": _written_at(step)} for step in steps]


def _written_at(step: dict[str, Any]) -> datetime | None:
    """Builders that leave times out write the year 1 or the beginning of 1970."""
    found = parse_datetime(step.get("created_at") or "")
    return found if found and found.year > 1970 else None


def history_document(image: Image) -> list[dict[str, Any]]:
    """The steps as `docker history --format json` tells them: the newest first, whole commands, bytes."""
    return [
        {
            "CreatedAt": step.get("created_at") or "", "CreatedBy": step.get("created_by") or "",
            "Size": step.get("bytes") or 0, "Comment": step.get("comment") or "",
            "EmptyLayer": not step.get("makes_layer", True),
        }
        for step in reversed([masked(step) for step in image.history])
    ]  # fmt: skip


def inspect_document(user: User, image: Image) -> dict[str, Any]:
    """The content's document, and of each visible copy what `docker image inspect` on its host says of names.

    Stripped and masked here too: rows that were stored by an older Drydock hold the whole document.
    """
    document: dict[str, Any] = masked(content_document(image.inspect))
    copies = Copy.objects.visible_to(user).filter(image=image).select_related("host").defer("search_text")
    ordered = copies.prefetch_related("references").order_by("host__name", "id")
    return document | {"Copies": [_copy_document(copy) for copy in ordered]}


def _copy_document(copy: Copy) -> dict[str, Any]:
    names = list(copy.references.all())
    return {
        "Host": copy.host.name, "Id": copy.engine_id, "Parent": copy.parent_engine_id,
        "RepoTags": [name.name for name in names if name.tag],
        "RepoDigests": [name.name for name in names if name.digest],
        "Size": copy.size_bytes,
    }  # fmt: skip


def has_hidden(image: Image) -> bool:
    return bool(masked(image.config) != image.config or masked(image.history) != image.history)
