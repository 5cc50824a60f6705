"""`docker save`: images of one host as an archive, streamed to the browser of who asked for it."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.engine import archive, quiet
from images.errors import UserError
from images.jobs.context import JobContext
from images.jobs.life import job_start
from images.jobs.operations import operation
from images.models import Copy, Job, Permission, User
from images.transfers import archives
from images.transfers.moving import (
    BEGIN_SECONDS,
    DEADLINE_SECONDS,
    Moving,
    archive_bytes,
    check_movable,
    check_unmoved,
    file_name,
    names_of,
    subject_of,
)
from images.transfers.relay import Sender, attended, await_attention, regrouped, worker_end


def save_start(*, by: User, copies: Sequence[Copy], gzip: bool = False) -> Job:
    """One job for one archive. The caller has checked the permission to push on the host.

    Raises UserError when the copies are on several hosts, or one of them is there only in part.
    """
    check_movable(copies)
    if len({copy.host_id for copy in copies}) > 1:
        raise UserError("save_one_host")
    parameters = {
        "names": list(dict.fromkeys(name for copy in copies for name in names_of(copy))),
        "images": [{"id": copy.engine_id, "names": names_of(copy)} for copy in copies],
        "file": file_name(copies, is_gzip=gzip),
        "gzip": gzip,
        "about_bytes": archive_bytes(copies),
    }
    return job_start(
        kind="save", host=copies[0].host, by=by, parameters=parameters, subject=subject_of(copies)
    )


@operation(
    "save", label=_("Save"), permission=Permission.PUSH, deadline_seconds=DEADLINE_SECONDS,
    limit="most_transfers", can_retry=False,
)  # fmt: skip
def carry_out(context: JobContext) -> dict[str, Any]:
    """Waits for the browser, then lets the engine's stream through. Ends when the browser has all of it."""
    parameters, engine = context.job.parameters, context.engine
    with worker_end(Sender(context.job.pk)) as relay:
        relay.wipe()
        moving = Moving(context, "waiting", parameters["about_bytes"], file=parameters["file"], is_about=True)
        await_attention(relay, context.check, BEGIN_SECONDS)
        relay.check = attended(relay, context.check)
        # The engine goes by name, so this comes last: the browser may have taken its time.
        for image in parameters["images"]:
            if moved := check_unmoved(engine, image["id"], image["names"]):
                raise UserError("reference_moved", subject=moved, host=context.host.name)
        moving.phase("saving")
        with quiet.Watch(engine) as watch:
            pieces = archive.save(engine, parameters["names"], host=context.host.name)
            _send(relay, moving.counted(pieces, watch.note), is_gzip=parameters["gzip"])
        relay.finish()
        relay.until_taken()
        moving.all_moved()
    return {"bytes": moving.done_bytes, "sent_bytes": relay.moved_bytes, "references": parameters["names"]}


def _send(relay: Sender, pieces: Iterable[bytes], *, is_gzip: bool) -> None:
    for chunk in regrouped(archives.gzipped(pieces) if is_gzip else pieces):
        relay.send(chunk)
