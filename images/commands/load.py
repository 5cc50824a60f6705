"""`docker load`: one archive from the browser into one host or several at once."""

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.engine import archive, quiet
from images.engine.archive import Loaded
from images.hosts.budget import budget_check, over_budget
from images.jobs.context import JobContext
from images.jobs.life import job_start
from images.jobs.operations import operation
from images.models import Host, Job, Permission, User
from images.transfers import archives
from images.transfers.moving import BEGIN_SECONDS, DEADLINE_SECONDS, Moving, came, held_names, moved_names
from images.transfers.relay import Receiver, attended, await_attention, worker_end


def load_start(
    *, by: User, hosts: Iterable[Host], file: str, size_bytes: int, above_budget: bool = False
) -> list[Job]:
    """One job per host, all of one batch, which wait for the upload. The caller has checked the permissions.

    `file` and `size_bytes` are what the browser says of its file; the page shows them, and an archive that is larger
    than all a host's images may take is refused unless `above_budget`: UserError image_over_budget.
    """
    hosts, batch = list(hosts), uuid.uuid4()
    for host in hosts:
        if not above_budget and size_bytes > (host.image_budget_bytes or size_bytes):
            budget_check(host, size_bytes, file[:200])
    parameters = {"file": file[:200], "size_bytes": size_bytes}
    return [
        job_start(kind="load", host=host, by=by, parameters=parameters, batch=batch, subject=file[:200])
        for host in hosts
    ]


@operation(
    "load", label=_("Load"), permission=Permission.PULL, deadline_seconds=DEADLINE_SECONDS,
    limit="most_transfers", can_retry=False,
)  # fmt: skip
def carry_out(context: JobContext) -> dict[str, Any]:
    """Takes the upload from the relay and feeds the engine; what it loaded is in the result."""
    parameters, engine, host = context.job.parameters, context.engine, context.host
    moving = Moving(context, "waiting", parameters["size_bytes"], file=parameters["file"])
    before = held_names(engine)
    with worker_end(Receiver(context.job.pk)) as relay, quiet.Watch(engine) as watch:
        await_attention(relay, context.check, BEGIN_SECONDS)
        relay.check = attended(relay, context.check)
        pieces = _until_end(relay, moving, watch)
        lines = archive.load(engine, archives.opened(pieces), host=host.name)
        names = names_loaded(moving, lines, watch)
        for _piece in pieces:  # an engine may be content before the padding at the archive's end
            pass
    told = {"bytes": moving.done_bytes, "moved": moved_names(engine, before)}
    return told | came(host, engine, names) | over_budget(host)


def _until_end(relay: Receiver, moving: Moving, watch: quiet.Watch) -> Iterator[bytes]:
    for number, piece in enumerate(moving.counted(relay, watch.note)):
        if not number:
            moving.phase("sending")
        yield piece
    relay.confirm()
    moving.all_moved()
    moving.phase("unpacking")


def names_loaded(moving: Moving, lines: Iterable[Loaded], watch: quiet.Watch) -> list[str]:
    """Follows what the engine says while it unpacks; the references and IDs that it loaded."""
    names: list[str] = []
    for line in lines:
        watch.note()
        moving.context.check()
        moving.unpacks(line)
        names += line.names
        if line.text and not line.layer:
            moving.context.log(line.text)
    moving.unpacked()
    return list(dict.fromkeys(names))
