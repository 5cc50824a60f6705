"""Which engine a host is: two hosts may be one engine, and one address may come to answer with another."""

from django.db.models import Q, QuerySet

from images.engine import read
from images.engine.client import Engine
from images.errors import UserError
from images.models import Host


def hosts_like(host: Host) -> QuerySet[Host]:
    """Other hosts that are probably the same engine; a reason to warn and never one to refuse."""
    found = hosts_at(address=host.address, engine_id=host.engine_id, root_directory=host.root_directory)
    return found.exclude(pk=host.pk)


def hosts_at(*, address: str, engine_id: str = "", root_directory: str = "") -> QuerySet[Host]:
    """Hosts at the same address, or with the same engine ID that keep their images in the same place.

    Two engines on one machine may report one ID, but they never share the directory of their images.
    """
    same = Q(address=address)
    if engine_id:
        same |= Q(engine_id=engine_id, root_directory=root_directory)
    return Host.objects.filter(same)


def engine_check(host: Host, engine: Engine, mark: str) -> None:
    """Raises UserError engine_changed unless this is the engine that `mark` was noted for."""
    info = read.info(engine)
    now = Host(
        address=engine.connection.address,
        engine_kind=info.engine_kind,
        engine_id=info.engine_id,
        root_directory=info.root_directory,
    )
    if not mark or now.engine_mark != mark:
        raise UserError("engine_changed", host=host.name)
