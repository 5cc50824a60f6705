"""`docker tag`: a further name for an image that a host holds."""

import uuid
from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.accounts.registries import spellings
from images.engine import read
from images.engine.tags import tag as engine_tag
from images.errors import UserError
from images.inventory import picture
from images.jobs.context import JobContext
from images.jobs.life import job_start
from images.jobs.operations import operation
from images.models import Copy, Host, Job, Permission, Reference, User
from images.references import parse


def tag_start(*, by: User, copies: Iterable[Copy], reference: str, take_over: bool = False) -> list[Job]:
    """One job for each copy, all of one batch. The caller has checked the permission to tag on every host.

    Without a tag it is `latest`. With `take_over` it is taken from the image that has it now; one that has it by then
    and not now keeps it.
    Raises InvalidReferenceError.
    """
    repository, tag = tag_parts(reference)
    name, batch = f"{repository}:{tag}", uuid.uuid4()
    parameters = {"reference": name, "repository": repository, "tag": tag}
    return [
        job_start(
            kind="tag",
            host=copy.host,
            by=by,
            parameters=parameters
            | {"engine_id": copy.engine_id, "take_from": _holders(copy, name) if take_over else []},
            batch=batch,
            subject=name,
        )
        for copy in copies
    ]


def _holders(copy: Copy, reference: str) -> list[str]:
    """Whom the name is taken from knowingly; from anybody who has it later it is not."""
    others = {other.engine_id for other in tag_holders([copy.host], reference)} - {copy.engine_id}
    return sorted(others)


def tag_parts(reference: str) -> tuple[str, str]:
    """The repository as written, and the tag."""
    parsed = parse(reference)
    return parsed.repository, parsed.tag or "latest"


def tag_holders(hosts: Iterable[Host], reference: str) -> list[Copy]:
    """The copies on these hosts that have this name now."""
    repository, tag = tag_parts(reference)
    named = Reference.objects.filter(host__in=hosts, tag=tag, repository__in=spellings(repository))
    copies = Copy.objects.filter(references__in=named).select_related("host")
    return list(copies.distinct().order_by("host__name", "pk"))


@operation(
    "tag", label=_("Tag"), permission=Permission.TAG, queue="quick", deadline_seconds=120, repeatable=True
)
def carry_out(context: JobContext) -> dict[str, Any]:
    """Tags, and says which image had the name before."""
    parameters, engine, host = context.job.parameters, context.engine, context.host
    reference, engine_id = parameters["reference"], parameters["engine_id"]
    before = read.find_image(engine, reference)
    if before and before.engine_id not in {engine_id, *parameters.get("take_from", ())}:
        raise UserError("tag_taken", subject=reference, host=host.name)
    engine_tag(engine, engine_id, parameters["repository"], parameters["tag"], host=host.name)
    picture.images_refresh(host, [engine_id, reference], engine)
    picture.recount(host)
    image = Copy.objects.filter(host=host, engine_id=engine_id).values_list("image_id", flat=True).first()
    return {
        "references": [reference],
        "image": image,
        "engine_id": engine_id,
        "replaced": before.engine_id if before and before.engine_id != engine_id else "",
        "was_here": bool(before and before.engine_id == engine_id),
    }
