"""`docker push`: one of an image's names, with its layers, to the registry that the name speaks of."""

import contextlib
import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.accounts.registries import credentials_of, registry_for
from images.engine import read
from images.engine.transfer import Layers, push
from images.errors import UserError
from images.inventory import picture
from images.jobs.attempts import attempted
from images.jobs.context import JobContext
from images.jobs.life import job_start
from images.jobs.operations import operation
from images.models import Copy, Job, Permission, Registry, StoreKind, User
from images.references import parse
from images.remote_tags import tag_told

SLOW_BYTES_PER_SECOND = 100_000
DEADLINE_SECONDS = 6 * 3600


def push_start(
    *, by: User, copies: Iterable[Copy], reference: str, batch: uuid.UUID | None = None
) -> list[Job]:
    """One job for each copy, all of `batch` or a new one. The caller has checked the permission on every host.

    `reference` with its tag, as the engines write it. Raises InvalidReferenceError.
    """
    parsed, batch = parse(reference), batch or uuid.uuid4()
    parameters = {"reference": reference, "repository": parsed.repository, "tag": parsed.tag}
    return [
        job_start(
            kind="push",
            host=copy.host,
            by=by,
            parameters=parameters | {"engine_id": copy.engine_id},
            batch=batch,
            subject=reference,
        )
        for copy in copies
    ]


@operation(
    "push", label=_("Push"), permission=Permission.PUSH, deadline_seconds=DEADLINE_SECONDS, repeatable=True,
    limit="most_transfers",
)  # fmt: skip
def carry_out(context: JobContext) -> dict[str, Any]:
    """Pushes what was meant: a name that was moved to another image meanwhile is left alone."""
    parameters, engine, host = context.job.parameters, context.engine, context.host
    reference = parameters["reference"]
    registry = registry_for(parameters["repository"])
    context.result["account"] = registry.name if registry else ""
    named = read.find_image(engine, reference)
    if named is None:
        raise UserError("image_gone")
    if named.engine_id != parameters["engine_id"]:
        raise UserError("reference_moved", subject=reference, host=host.name)
    layers = attempted(context, lambda: _push_once(context, registry), context.log)
    # The digest under which the registry has it belongs to the image from now on.
    picture.images_refresh(host, [reference], engine)
    if layers.digest:
        tag_told(reference, layers.digest)
    image = Copy.objects.filter(host=host, engine_id=named.engine_id).values_list("image_id", flat=True)
    return {"digest": layers.digest, "references": [reference], "image": image.first()}


def _patience(context: JobContext, layers: Layers) -> float:
    """Podman says nothing at all while it uploads: it gets the time that a slow line would take."""
    if context.host.engine_kind != "podman":
        return layers.patience()
    sizes = Copy.objects.filter(host=context.host, engine_id=context.job.parameters["engine_id"])
    return layers.patience() + sum(sizes.values_list("size_bytes", flat=True)) / SLOW_BYTES_PER_SECOND


def _push_once(context: JobContext, registry: Registry | None) -> Layers:
    parameters = context.job.parameters
    layers = Layers(is_queueing=context.host.store_kind != StoreKind.CONTAINERD)
    context.draw(lambda: {"layers": layers.as_json()})
    lines = push(
        context.engine,
        parameters["repository"],
        tag=parameters["tag"],
        credentials=credentials_of(registry),
        subject=parameters["reference"],
        host=context.host.name,
        registry=parse(parameters["repository"]).registry,
        patience=partial(_patience, context, layers),
    )
    with contextlib.closing(lines):
        for line in lines:
            if not layers.take(line) and line.text:
                context.log(f"{line.layer}: {line.text}" if line.layer else line.text)
            context.progress(layers.done_bytes, layers.total_bytes, "bytes")
    return layers
