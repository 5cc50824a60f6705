"""What saving, loading and copying images have in common: names, sizes, and what their pages draw."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Sum

from images.engine import read
from images.engine.archive import Loaded
from images.engine.client import Engine
from images.engine.transfer import Layers, Line
from images.errors import UserError
from images.inventory import picture
from images.jobs.context import JobContext
from images.models import Copy, Host, Layer, StoreKind

MOST_COPIES = 200  # in one archive; more are better moved in several
DEADLINE_SECONDS = 12 * 3600
BEGIN_SECONDS = 120  # the browser has to come within this time, or the worker does something else


def names_of(copy: Copy) -> list[str]:
    """What `docker save` is asked for: every tag, so that all come along; the ID where there is none."""
    tags = [reference.name for reference in copy.references.all() if reference.tag]
    return tags or [copy.engine_id]


def check_unmoved(engine: Engine, engine_id: str, names: Iterable[str]) -> str:
    """The first of an image's names that is another image's by now; "" when none is.

    Archives are made by name: hours may lie between the click and the turn of a job.
    """
    for name in names:
        found = read.find_image(engine, name)
        if found and found.engine_id != engine_id:
            return name
    return ""


def check_movable(copies: Sequence[Copy]) -> None:
    """Raises UserError for what can not become an archive."""
    if not copies:
        raise UserError("transfer_empty")
    if len(copies) > MOST_COPIES:
        raise UserError("transfer_too_many", most=MOST_COPIES)
    for copy in copies:
        # Engines with the containerd store write a tiny broken archive then, and call it a success.
        if copy.image.is_partial:
            raise UserError("image_partial", subject=copy.name, host=copy.host)


def archive_bytes(copies: Sequence[Copy]) -> int:
    """About how large their archive is: layers once each; the compressed blobs where the store keeps those."""
    if not copies:
        return 0
    host = copies[0].host
    if host.store_kind == StoreKind.CONTAINERD:
        return sum(copy.content_bytes or copy.size_bytes for copy in copies)
    layers = Layer.objects.filter(
        store_kind=host.store_kind, image_layers__image__in=[copy.image_id for copy in copies]
    )
    found = layers.order_by().values("pk", "size_bytes").distinct().aggregate(total=Sum("size_bytes"))
    return int(found["total"] or 0) or sum(copy.size_bytes for copy in copies)


def subject_of(copies: Sequence[Copy]) -> str:
    """ "shop/api:2.1" or "shop/api:2.1 + 3"."""
    first = names_of(copies[0])[0]
    name = copies[0].short_id if first.startswith("sha256:") else first
    return f"{name} + {len(copies) - 1}" if len(copies) > 1 else name


def file_name(copies: Sequence[Copy], *, is_gzip: bool) -> str:
    """What the browser is to call the archive; plain characters only, because it goes into a header."""
    text = subject_of(copies) if len(copies) == 1 else f"{len(copies)}-images-{copies[0].host.name}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "images"
    return f"{plain[:120]}.tar{'.gz' if is_gzip else ''}"


class Moving:
    """How far a transfer is: bytes for the bar, and the phase for the page."""

    def __init__(self, context: JobContext, phase: str, total_bytes: int, **about: Any) -> None:
        self.context, self.total_bytes, self.done_bytes = context, total_bytes, 0
        self._drawn = {"phase": phase} | about
        self._layers = Layers()
        context.draw(lambda: {"transfer": self._drawn, "layers": self._layers.as_json()})
        context.progress(0, total_bytes, "bytes")

    def phase(self, name: str) -> None:
        self._drawn = self._drawn | {"phase": name}
        self._tell()

    def counted(self, pieces: Iterable[bytes], note: Callable[[], None] = lambda: None) -> Iterable[bytes]:
        """The same pieces; each is counted as it passes."""
        for piece in pieces:
            self.done_bytes += len(piece)
            note()
            # A total that was only estimated must not say that all is done while more comes.
            self.context.progress(
                self.done_bytes, max(self.total_bytes, self.done_bytes + 1) if self.total_bytes else 0,
                "bytes",
            )  # fmt: skip
            yield piece

    def all_moved(self) -> None:
        self.total_bytes = self.done_bytes
        self._tell()

    def unpacks(self, line: Loaded) -> None:
        """What the engine says of a layer that it unpacks: that may take as long as the way did."""
        if self._layers.take(Line(line.layer, line.text, line.done_bytes, line.total_bytes)):
            self._tell()

    def unpacked(self) -> None:
        self._layers.ended()
        self._tell()

    def _tell(self) -> None:
        self.context.progress(self.done_bytes, max(self.total_bytes, self.done_bytes), "bytes")


def held_names(engine: Engine) -> dict[str, str]:
    """The engine ID behind every tag on the host."""
    return {
        name: image.engine_id
        for image in read.list_images(engine)
        for name in image.references
        if "@" not in name
    }


def moved_names(engine: Engine, before: Mapping[str, str]) -> dict[str, str]:
    """The names that were taken from other images since, each with the engine ID it belonged to."""
    now = held_names(engine)
    return {name: old for name, old in before.items() if now.get(name, old) != old}


def came(host: Host, engine: Engine, names: Sequence[str]) -> dict[str, Any]:
    """Brings the host's rows up to date with what an engine says it has loaded; what the result shows of it."""
    picture.images_refresh(host, names, engine, again=host.store_kind == StoreKind.CONTAINERD)
    picture.recount(host)
    ids = [name for name in names if name.startswith("sha256:")]
    rows = Copy.objects.filter(host=host)
    found = (rows.filter(references__name__in=names) | rows.filter(engine_id__in=ids)).distinct()
    loaded = [
        {"image": copy.image_id, "name": copy.name} for copy in found.order_by("repository", "tag")[:100]
    ]
    return {"references": list(names), "loaded": loaded}
