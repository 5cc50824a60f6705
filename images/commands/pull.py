"""`docker pull`: by tag, by digest, or every tag of a repository."""

import contextlib
import uuid
from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.accounts.registries import credentials_of, registry_for, spellings
from images.engine import read
from images.engine.transfer import Layers, pull
from images.errors import UserError
from images.hosts.budget import budget_check, earlier_bring, over_budget
from images.inventory import picture
from images.jobs.attempts import attempted
from images.jobs.context import JobContext
from images.jobs.life import job_start
from images.jobs.operations import operation
from images.models import Copy, Host, Job, Permission, User
from images.references import parse
from images.remote_tags import tag_told

DEADLINE_SECONDS = 6 * 3600


def pull_start(
    *,
    by: User,
    hosts: Iterable[Host],
    reference: str,
    platform: str = "",
    all_tags: bool = False,
    above_budget: bool = False,
    batch: uuid.UUID | None = None,
) -> list[Job]:
    """One job per host, all of `batch` or a new one. The caller has checked the permission to pull on every host.

    Without a tag or digest it is `latest`, unless every tag is wanted. It stops where the host's image budget does
    not suffice, unless `above_budget`. Raises InvalidReferenceError.
    """
    parsed = parse(reference)
    tag = "" if all_tags else parsed.digest or parsed.tag or "latest"
    name = parsed.repository if all_tags else joined(parsed.repository, tag)
    parameters: dict[str, Any] = {
        "repository": parsed.repository, "tag": tag, "platform": platform, "reference": name,
        "above_budget": above_budget,
    }  # fmt: skip
    batch = batch or uuid.uuid4()
    return [
        job_start(kind="pull", host=host, by=by, parameters=parameters, batch=batch, subject=name)
        for host in hosts
    ]


def joined(repository: str, tag: str) -> str:
    """`repository:tag`, or `repository@digest` where the tag is one."""
    return f"{repository}@{tag}" if tag.startswith("sha256:") else f"{repository}:{tag}"


@operation(
    "pull", label=_("Pull"), permission=Permission.PULL, deadline_seconds=DEADLINE_SECONDS, repeatable=True,
    limit="most_transfers",
)  # fmt: skip
def carry_out(context: JobContext) -> dict[str, Any]:
    """Pulls, and says which image the reference names now and which one it named before."""
    parameters, engine, host = context.job.parameters, context.engine, context.host
    registry = registry_for(parameters["repository"])
    context.result["account"] = registry.name if registry else ""
    if parse(parameters["repository"]).registry == "docker.io" and host.registry_mirrors:
        # Engines ask a mirror about Docker Hub's images first; which one answered they do not tell.
        context.result["mirrors"] = host.registry_mirrors
    if not parameters["tag"] and host.engine_kind == "podman":
        # Its service (5.8) pulls `latest` instead, and calls that a success.
        raise UserError("all_tags_unsupported", host=host.name)
    before = _held(context)
    layers = attempted(context, lambda: _pull_once(context, registry), context.log)
    now = _held(context)
    if parameters["tag"] and not layers.digest:
        found = read.find_image(engine, parameters["reference"])
        layers.digest = read.digest_here(found, spellings(parameters["repository"]))
    names = [parameters["reference"]]
    if not parameters["tag"]:
        names = [joined(parameters["repository"], tag) for tag in layers.tags]
    picture.images_refresh(host, names, engine, again=host.store_kind == "containerd")
    picture.recount(host)
    if parameters["tag"] and layers.digest:
        tag_told(parameters["reference"], layers.digest)
    came = _what_came(host, before, {name: now[name] for name in names if name in now})
    return {"digest": layers.digest, "references": names} | came | over_budget(host)


def _held(context: JobContext) -> dict[str, str]:
    """The engine ID behind each name that the pull may move, by the name as it was asked for.

    Engines write it otherwise: "docker.io/library/redis:7" is Docker's "redis:7", and with Podman it is vice versa.
    """
    parameters, engine = context.job.parameters, context.engine
    if parameters["tag"]:
        found = read.find_image(engine, parameters["reference"])
        return {parameters["reference"]: found.engine_id} if found else {}
    held: dict[str, str] = {}
    below = tuple(f"{spelling}:" for spelling in spellings(parameters["repository"]))
    for image in read.list_images(engine):
        for name in image.references:
            if name.startswith(below):
                held[joined(parameters["repository"], name.rpartition(":")[2])] = image.engine_id
    return held


def _pull_once(context: JobContext, registry: Any) -> Layers:
    parameters, layers, checked = context.job.parameters, Layers(), 0
    context.draw(lambda: {"layers": layers.as_json()})
    lines = pull(
        context.engine,
        parameters["repository"],
        tag=parameters["tag"],
        platform=parameters["platform"],
        credentials=credentials_of(registry),
        subject=parameters["reference"],
        host=context.host.name,
        registry=parse(parameters["repository"]).registry,
        patience=layers.patience,
    )
    with contextlib.closing(lines):
        for line in lines:
            if not layers.take(line) and line.text:
                context.log(f"{line.layer}: {line.text}" if line.layer else line.text)
            context.progress(layers.done_bytes, layers.total_bytes, "bytes")
            if layers.total_bytes > checked:
                checked = layers.total_bytes
                _check_budget(context, checked)
    layers.ended()
    return layers


def _check_budget(context: JobContext, coming_bytes: int) -> None:
    """Ends the pull as soon as what comes is known to be too much: an engine tells a layer's size when it begins."""
    host = context.host
    if host.image_budget_bytes and not context.job.parameters.get("above_budget"):
        host.refresh_from_db(fields=["total_bytes"])
        coming_bytes += earlier_bring(context.job)
        budget_check(host, coming_bytes, context.job.parameters["reference"])


def _what_came(host: Host, before: dict[str, str], now: dict[str, str]) -> dict[str, Any]:
    """The image, where it is one, and what the names belonged to before, where that was another."""
    moved = {name: before[name] for name, there in now.items() if before.get(name, there) != there}
    told: dict[str, Any] = {"replaced": next(iter(moved.values()), "")} if len(now) == 1 else {"moved": moved}
    if len(set(now.values())) == 1:
        [engine_id] = set(now.values())
        image = Copy.objects.filter(host=host, engine_id=engine_id).values_list("image_id", flat=True).first()
        told |= {"image": image, "engine_id": engine_id, "was_here": set(before.values()) == {engine_id}}
    return told
