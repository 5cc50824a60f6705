"""The fleet list as CSV, JSON or bare IDs, streamed: memory stays flat however many copies match."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from images.fleet.listing import ordered
from images.fleet.query import FleetQuery, fleet_copies
from images.models import Copy, User

_CHUNK = 2000

COLUMNS = (
    "host", "repository", "tag", "engine_id", "references", "size_bytes", "own_bytes", "containers", "dangling",
    "intermediate", "built_at", "arrived_at", "last_used_at",
)  # fmt: skip


@dataclass(frozen=True)
class Export:
    """A format: how its lines are made, and what they are."""

    lines: Callable[[User, FleetQuery], Iterator[str]]
    content_type: str


def _copies(user: User, query: FleetQuery) -> Iterator[Copy]:
    copies = ordered(query, fleet_copies(user, query)).select_related("host").defer("search_text")
    return copies.prefetch_related("references").iterator(chunk_size=_CHUNK)


def _row(copy: Copy) -> dict[str, Any]:
    moments = {name: getattr(copy, name) for name in ("built_at", "arrived_at", "last_used_at")}
    return {
        "host": copy.host.name, "repository": copy.repository, "tag": copy.tag, "engine_id": copy.engine_id,
        "references": [reference.name for reference in copy.references.all()],
        "size_bytes": copy.size_bytes, "own_bytes": copy.own_bytes, "containers": copy.container_count,
        "dangling": copy.is_dangling, "intermediate": copy.is_intermediate,
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
    }  # fmt: skip


def _as_csv(user: User, query: FleetQuery) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    for copy in _copies(user, query):
        row = _row(copy)
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield _drained(buffer)
    yield _drained(buffer)


def _cell(value: Any) -> Any:
    """A spreadsheet runs what begins with one of these as a formula; a quote in front keeps it text."""
    if isinstance(value, list):
        value = " ".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _drained(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _as_json(user: User, query: FleetQuery) -> Iterator[str]:
    separator = "[\n"
    for copy in _copies(user, query):
        yield separator + json.dumps(_row(copy))
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _as_ids(user: User, query: FleetQuery) -> Iterator[str]:
    """As `docker images -q`: the short ID, once for each image on a host."""
    ids = ordered(query, fleet_copies(user, query)).values_list("engine_id", flat=True)
    for engine_id in ids.iterator(chunk_size=_CHUNK):
        yield engine_id.removeprefix("sha256:")[:12] + "\n"


FORMATS = {
    "csv": Export(_as_csv, "text/csv; charset=utf-8"),
    "json": Export(_as_json, "application/json"),
    "txt": Export(_as_ids, "text/plain; charset=utf-8"),
}
