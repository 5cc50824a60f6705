"""The event stream of an engine, typed. Names that Podman spells differently are translated here."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from images.engine.client import CONNECT_SECONDS, Engine
from images.engine.snapshots import EngineEvent
from images.engine.stream import json_lines

_SAME = {
    ("container", "died"): "die",
    ("container", "remove"): "destroy",
    ("image", "remove"): "delete",
    ("image", "pull-error"): "",
    ("image", "loadfromarchive"): "load",
    ("image", "build"): "tag",
}

_BARE_ID = re.compile(r"[0-9a-f]{64}")

IMAGE_ACTIONS = frozenset({"pull", "tag", "untag", "delete", "load", "import", "create", "push"})
CONTAINER_ACTIONS = frozenset(
    {"create", "start", "die", "destroy", "rename", "pause", "unpause", "stop", "kill"}
)


def open_events(engine: Engine, *, since: datetime | None = None) -> Iterator[EngineEvent]:
    """Subscribes at once and gives events for ever; ends when the connection does.

    With `since` the engine first repeats what it remembers: 256 events at most, nothing across its restart.
    """
    api = engine.api
    params = {"since": _stamp(since) if since else None, "filters": '{"type":["container","image"]}'}
    # No read timeout: a quiet engine says nothing for days. Whoever reads pings over another connection.
    response = api._get(api._url("/events"), params=params, stream=True, timeout=(CONNECT_SECONDS, None))
    api._raise_for_status(response)
    return (_event(line, engine.skew) for line in json_lines(response))


def _stamp(moment: datetime) -> str:
    return f"{moment.timestamp():.6f}"


def _event(line: Mapping[str, Any], skew: timedelta = timedelta(0)) -> EngineEvent:
    """`at` is told by our clock; the key keeps the engine's own time."""
    actor = line.get("Actor") or {}
    kind, action = line.get("Type") or "", line.get("Action") or line.get("status") or ""
    nanoseconds = line.get("timeNano") or (line.get("time") or 0) * 10**9
    actor_id = actor.get("ID") or line.get("id") or ""
    return EngineEvent(
        kind=kind,
        # "exec_create: sh -c ..." and "health_status: healthy" carry more behind the colon.
        action=_SAME.get((kind, action), action).partition(":")[0],
        # Podman leaves the algorithm out, and refuses to look up such an ID once the image is gone.
        actor_id=f"sha256:{actor_id}" if kind == "image" and _BARE_ID.fullmatch(actor_id) else actor_id,
        attributes=actor.get("Attributes") or {},
        at=datetime.fromtimestamp(nanoseconds / 10**9, tz=UTC) - skew if nanoseconds else None,
        key=f"{nanoseconds}:{kind}:{action}:{actor_id}"[:300],
    )


def is_of_interest(event: EngineEvent) -> bool:
    """Whether the event can change what Drydock knows: health checks alone make three others a minute."""
    return event.action in (IMAGE_ACTIONS if event.kind == "image" else CONTAINER_ACTIONS)
