"""Images from one host straight to others: one engine's save stream is the other's load, through the worker."""

import contextlib
import logging
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _
from docker.errors import APIError

from images import access
from images.commands.load import names_loaded
from images.engine import archive, quiet, read
from images.engine.client import Connection, Engine, translated
from images.engine.failures import refused
from images.errors import UserError
from images.hosts.budget import budget_check, earlier_bring, lacking_bytes, over_budget
from images.jobs.context import JobContext
from images.jobs.life import ENGINE_SECONDS, job_start
from images.jobs.operations import operation
from images.models import Copy, Host, HostState, Job, Permission, User
from images.references import content_key
from images.transfers.moving import (
    DEADLINE_SECONDS,
    Moving,
    archive_bytes,
    came,
    check_movable,
    check_unmoved,
    held_names,
    moved_names,
    names_of,
    subject_of,
)

logger = logging.getLogger(__name__)


def copy_start(
    *, by: User, copies: Sequence[Copy], hosts: Iterable[Host], above_budget: bool = False
) -> list[Job]:
    """One job for each target host (and for each source, when the copies are on several).

    A job fails where the target's image budget does not suffice, unless `above_budget`. An image that several of
    the copies are of goes once. The caller has checked the permission to push on the
    sources and to pull on the targets. Raises UserError when there is nothing to copy or nowhere to copy it.
    """
    check_movable(copies)
    batch, wanted = uuid.uuid4(), _by_source(copies)
    pairs = [(source, target) for target in hosts for source in wanted if source != target]
    if not pairs:
        raise UserError("copy_nowhere")
    return [
        job_start(
            kind="copy", host=target, source=source, by=by, batch=batch, subject=subject_of(wanted[source]),
            parameters=_parameters(source, wanted[source]) | {"above_budget": above_budget},
        )
        for source, target in pairs
    ]  # fmt: skip


def _by_source(copies: Sequence[Copy]) -> dict[Host, list[Copy]]:
    """Each image from one host only, and from one that answers where there is a choice."""
    chosen: dict[tuple[int, tuple[str, ...]], Copy] = {}
    for copy in sorted(copies, key=lambda copy: (copy.host.state != HostState.ONLINE, copy.pk)):
        chosen.setdefault((copy.image_id, tuple(names_of(copy))), copy)
    found: dict[Host, list[Copy]] = {}
    for copy in chosen.values():
        found.setdefault(copy.host, []).append(copy)
    return found


def _parameters(source: Host, copies: Sequence[Copy]) -> dict[str, Any]:
    """The source by its id alone: who sees the target's jobs need not see that host, nor know of it."""
    return {
        "source": source.pk,
        "images": [{"id": copy.engine_id, "names": names_of(copy), "name": copy.name} for copy in copies],
        "about_bytes": archive_bytes(copies),
    }


@operation(
    "copy", label=_("Copy"), permission=Permission.PULL, deadline_seconds=DEADLINE_SECONDS,
    repeatable=True, limit="most_transfers",
)  # fmt: skip
def carry_out(context: JobContext) -> dict[str, Any]:
    """Copies what the target does not have; what it has only gets the names that it lacks."""
    parameters, target, host = context.job.parameters, context.engine, context.host
    source_host = Host.objects.filter(pk=parameters["source"]).first()
    if source_host is None or not source_host.is_enabled:
        raise UserError("copy_no_source")
    moving = Moving(context, "comparing", parameters["about_bytes"], is_about=True)
    before = held_names(target)
    with _said_of_whom(source_host, host):
        source = context.other_engine(source_host)
        missing, here, tagged = _compared(context, source, target)
        if missing and not parameters.get("above_budget"):
            lacking = lacking_bytes(source_host, [image["id"] for image in parameters["images"]], host)
            host.refresh_from_db(fields=["total_bytes"])
            budget_check(host, lacking + earlier_bring(context.job), context.job.subject)
        moved = _moved(context, source, target, missing, moving, source_host) if missing else []
    moving.all_moved()
    result = came(host, target, list(dict.fromkeys([*tagged, *moved, *here])))
    result |= {
        "bytes": moving.done_bytes,
        "here": here,
        "tagged": tagged,
        "moved": moved_names(target, before),
    }
    return result | over_budget(host)


def _compared(context: JobContext, source: Engine, target: Engine) -> tuple[list[str], list[str], list[str]]:
    """The names that must be copied, those that name the same there already, and those that were only added."""
    missing, here, tagged = [], [], []
    for image in context.job.parameters["images"]:
        context.check()
        engine_id = _same_there(context.host, source, target, image["id"])
        names = [name for name in image["names"] if not name.startswith("sha256:")]
        if engine_id is None:
            if moved := check_unmoved(source, image["id"], image["names"]):
                raise UserError("copy_source_gone", subject=moved)
            missing += image["names"]
            continue
        for name in names:
            found = read.find_image(target, name)
            if found and found.engine_id == engine_id:
                here.append(name)
            else:
                _tag(target, engine_id, name, context.host)
                tagged.append(name)
        if not names:
            here.append(engine_id)
        context.log(f"{image['name']}: already on {context.host.name}")
    return missing, here, tagged


def _same_there(host: Host, source: Engine, target: Engine, engine_id: str) -> str | None:
    """The target's ID of the same content, asked of both engines; None when it has none."""
    try:
        key = content_key(read.content(source, engine_id).inspect)
    except APIError as error:
        raise UserError("copy_source_gone", subject=engine_id[:19], raw=str(error)[:500]) from error
    known = Copy.objects.filter(host=host, image__content_key=key).values_list("engine_id", flat=True)
    candidates: Collection[str] = [engine_id, *known]
    for candidate in dict.fromkeys(candidates):
        if read.find_image(target, candidate) is None:
            continue
        if content_key(read.content(target, candidate).inspect) == key:
            return candidate
    return None


def _tag(target: Engine, engine_id: str, name: str, host: Host) -> None:
    try:
        archive.tag(target, engine_id, name)
    except APIError as error:
        raise refused(error, subject=name, host=host.name) from error


def _moved(
    context: JobContext, source: Engine, target: Engine, names: Sequence[str], moving: Moving, source_host: Host
) -> list[str]:  # fmt: skip
    """Lets the stream through; what the target says it has loaded."""
    moving.phase("sending")
    to_target = translated(Connection.of(context.host), ENGINE_SECONDS)
    with quiet.Watch(source, target) as watch, to_target:
        pieces = moving.counted(_from_source(source, names, source_host), watch.note)
        lines = archive.load(target, _then_unpacking(pieces, moving), host=context.host.name)
        return names_loaded(moving, lines, watch)


def _from_source(source: Engine, names: Sequence[str], host: Host) -> Iterator[bytes]:
    """A fault of the source surfaces in the target's request, and must not be taken for one of the target."""
    try:
        with translated(Connection.of(host), ENGINE_SECONDS):
            yield from archive.save(source, names)
    except UserError as error:
        if error.code != "disk_full":
            raise
        # Its name is for those who may see that host.
        logger.warning("%s, the source of a copy, has no room for an archive: %s", host, error.raw)
        raise UserError("copy_source_full") from error


def _then_unpacking(pieces: Iterable[bytes], moving: Moving) -> Iterator[bytes]:
    yield from pieces
    moving.all_moved()
    moving.phase("unpacking")


@contextlib.contextmanager
def _said_of_whom(source: Host, target: Host) -> Iterator[None]:
    """A fault of a connection says which of the two hosts it is; anything else passes."""
    try:
        with translated(Connection.of(target), ENGINE_SECONDS):
            yield
    except UserError as error:
        if not error.code.startswith("host_"):
            raise
        own_names = {source.address, urlsplit(source.address).netloc}
        if own_names & {error.values.get("address", "?"), error.values.get("host", "?")}:
            # Its name and address are for those who may see that host.
            logger.warning("%s, the source of a copy to %s, failed: %s %s", source, target, error, error.raw)
            raise UserError("copy_source_lost") from error
        raw = "\n".join(filter(None, (str(error), error.raw)))[:2000]
        raise UserError("copy_target_lost", host=target.name, raw=raw) from error


def copy_again(by: User, job: Job) -> Job:
    """Copies once more. Raises UserError copy_no_source when the person may not take content off the source."""
    source = Host.objects.filter(pk=job.parameters.get("source")).first()
    if source is None or not source.is_enabled or not access.can(by, Permission.PUSH, source):
        raise UserError("copy_no_source")
    return job_start(
        kind="copy",
        host=job.host,
        source=source,
        by=by,
        parameters=job.parameters,
        subject=job.subject,
        retry_of=job,
    )
