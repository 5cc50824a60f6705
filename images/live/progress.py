"""Live events to Redis. They only say what changed; the truth is in the database, so none is needed."""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest

logger = logging.getLogger(__name__)

STREAM = "drydock:events"
KEEP_EVENTS = 20_000  # about ten minutes of a very busy fleet
KEEP_SECONDS = 3600
EVERYBODY = "0"
OVERLAP_SECONDS = 3
PAUSE_SECONDS = 5.0  # after a failure nothing is sent for so long: a job must not wait for a dead Redis

_client: redis.Redis | None = None
_silent_until = 0.0


def client() -> redis.Redis:
    """The connection of this process; short timeouts, because nobody may wait for an event to be sent."""
    global _client
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, decode_responses=True
        )
    return _client


def publish(*topics: str, host_id: int | Sequence[int] | None, data: dict[str, Any] | None = None) -> None:
    """Tells who watches one of the topics. `host_id` says who may see it; None means everyone signed in.

    Of several hosts, who sees one of them hears of it; of none, only who sees every host.

    Never raises: a job must not fail because nobody could be told about it.
    """
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    event: dict[Any, Any] = {
        "topics": " ".join(topics), "host": _hosts(host_id), "data": json.dumps(data or {})
    }  # fmt: skip
    try:
        pipe = client().pipeline(transaction=False)
        pipe.xadd(STREAM, event, maxlen=KEEP_EVENTS, approximate=True)
        pipe.expire(STREAM, KEEP_SECONDS)
        pipe.execute()
    except redis.RedisError as error:
        _silent_until = time.monotonic() + PAUSE_SECONDS
        logger.warning("Live events are paused: %s", error)


def _hosts(host_id: int | Sequence[int] | None) -> str:
    if host_id is None:
        return EVERYBODY
    ids = [host_id] if isinstance(host_id, int) else sorted(set(host_id))
    return " ".join(str(each) for each in ids)


def live_position(request: HttpRequest) -> dict[str, str]:
    """For templates: where in the stream a page that is rendered now begins to listen.

    Positions are Redis's clock in milliseconds. A little earlier than now, so that neither what changed while the
    page was made nor clocks that differ lose an event; hearing one twice does no harm.
    """
    return {"live_position": f"{int((time.time() - OVERLAP_SECONDS) * 1000)}-0"}
