"""The stream of live events to browsers: a raw ASGI endpoint, for a Django view costs a thread per viewer.

Redis Stream -> one reader per process -> coalesced -> a bounded queue per viewer -> server-sent events. Every
event says only what changed. A viewer who misses some is told so ("reset") and fetches the page's parts anew.
"""

import asyncio
import contextlib
import json
import logging
import random
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qs

import redis
import redis.asyncio
from django.conf import settings

from images.live import progress
from images.live.asgi import Message, Receive, Send, session_key
from images.live.listeners import Listener, allowed_topics, listener_of, listeners_again

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0  # below the idle time-out of common proxies
RECHECK_SECONDS = 30.0  # how long somebody who lost a right may still hear of its hosts
RECHECK_STEP_SECONDS = 0.5  # viewers whose time has come are looked up together
BLOCK_SECONDS = 2.0  # redis-py gives up on a socket after 5 s
RETRY_SECONDS = 1.0  # between attempts at a Redis that is away
CANCEL_SECONDS = 0.5
QUEUE_LENGTH = 64  # batches a slow viewer may lag behind: 16 s at four batches a second
MOST_REPLAYED = 5000  # more than that and the page is quicker at fetching its parts again
MOST_TOPICS = 500

# Few threads, and few connections: each busy one also takes the interpreter from the loop that sends.
_database = ThreadPoolExecutor(max_workers=2, thread_name_prefix="events")

A = TypeVar("A")
R = TypeVar("R")


class Event:
    """What is known of one set of topics since the last batch; newer values replace older ones."""

    __slots__ = ("data", "frame", "hosts", "topics")

    def __init__(self, topics: str, hosts: str) -> None:
        self.topics = topics.split()
        # Who may see one of these hosts hears of it; None is for everybody.
        self.hosts = None if hosts == progress.EVERYBODY else frozenset(int(host) for host in hosts.split())
        self.data: dict[str, Any] = {}
        self.frame = b""

    def encode(self) -> bytes:
        if not self.frame:
            self.frame = f"data: {json.dumps({'topics': self.topics, 'data': self.data})}\n\n".encode()
        return self.frame


def coalesce(entries: Iterable[tuple[str, dict[str, str]]]) -> list[Event]:
    """One event for each set of topics, in order of first appearance; the last value of each name wins."""
    events: dict[tuple[str, str], Event] = {}
    for _, entry in entries:
        key = (entry.get("topics", ""), entry.get("host", ""))
        event = events.setdefault(key, Event(*key))
        event.data |= json.loads(entry.get("data", "{}"))
    return list(events.values())


class Viewer:
    """One open stream: whose it is, what it listens to, and what waits to be sent."""

    __slots__ = ("_waiting", "_wakeup", "check_at", "is_closed", "is_overrun", "listener", "topics")

    def __init__(self, topics: frozenset[str], listener: Listener) -> None:
        self.topics = topics
        self.listener = listener
        # Spread out, or a thousand viewers of a web process that restarted would all be looked up at once.
        self.check_at = time.monotonic() + RECHECK_SECONDS * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self.is_closed = self.is_overrun = False
        self._waiting: deque[bytes] = deque()
        self._wakeup = asyncio.Event()

    def may_see(self, event: Event) -> bool:
        scope = self.listener.scope
        return event.hosts is None or scope is None or not event.hosts.isdisjoint(scope)

    def put(self, chunk: bytes) -> None:
        if len(self._waiting) >= QUEUE_LENGTH:
            self._waiting.clear()
            self.is_overrun = True
        self._waiting.append(chunk)
        self._wakeup.set()

    def reset(self) -> None:
        self.is_overrun = True
        self._wakeup.set()

    def close(self) -> None:
        self.is_closed = True
        self._wakeup.set()

    async def take(self) -> bytes:
        """What is to be sent next; empty when the stream is to end or after a quiet while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._wakeup.wait()
        self._wakeup.clear()
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        if self.is_overrun:
            self.is_overrun = False
            return b"event: reset\ndata: {}\n\n" + chunk
        return chunk


class Hub:
    """Reads Redis for every viewer of this process. Belongs to the event loop it was made in."""

    def __init__(self) -> None:
        self.viewers: set[Viewer] = set()
        self.position = ""  # of the last event handed to the viewers
        self._by_topic: defaultdict[str, set[Viewer]] = defaultdict(set)
        # Any, because its annotations fit no answer of a stream.
        self._redis: Any = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            decode_responses=True,
            socket_timeout=BLOCK_SECONDS + 2,
            socket_connect_timeout=2,
        )
        self._replays = asyncio.Semaphore(8)
        self._is_connected = True
        self._next_batch_at = 0.0
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._recheck())]

    def add(self, viewer: Viewer) -> None:
        self.viewers.add(viewer)
        for topic in viewer.topics:
            self._by_topic[topic].add(viewer)

    def remove(self, viewer: Viewer) -> None:
        self.viewers.discard(viewer)
        for topic in viewer.topics:
            self._by_topic[topic].discard(viewer)
            if not self._by_topic[topic]:
                del self._by_topic[topic]

    async def close(self) -> None:
        for viewer in self.viewers:
            viewer.close()
        waiting = set(self._tasks)
        while waiting:
            # Before Python 3.12 wait_for, by which redis-py sends, loses a cancel that meets its own end.
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=CANCEL_SECONDS)
        await self._redis.aclose()

    async def _recheck(self) -> None:
        """Follows what each viewer may see; ends the streams of who signed out or was switched off."""
        while True:
            await asyncio.sleep(min(RECHECK_STEP_SECONDS, RECHECK_SECONDS))
            now = time.monotonic()
            due = [viewer for viewer in self.viewers if viewer.check_at <= now]
            try:
                found = await _in_thread(listeners_again, [viewer.listener for viewer in due]) if due else []
            except Exception:
                # Fails closed: the browsers connect again and are asked who they are.
                logger.exception("The rights of %s viewers could not be read", len(due))
                found = [None] * len(due)
            for viewer, listener in zip(due, found, strict=True):
                viewer.check_at = now + RECHECK_SECONDS
                if listener is None:
                    viewer.close()
                else:
                    viewer.listener = listener

    async def _read(self) -> None:
        while True:
            try:
                await self._read_on()
            except (redis.RedisError, OSError) as error:
                if self._is_connected:
                    logger.warning("Live events are interrupted: %s", error)
                self._is_connected = False
                await asyncio.sleep(RETRY_SECONDS)

    async def _read_on(self) -> None:
        """Hands out what comes, at most one batch in COALESCE_SECONDS."""
        if not self.position or not self._is_connected:
            self.position = await self._newest()
        if not self._is_connected:
            # What was published meanwhile is lost, so everybody looks again.
            self._is_connected = True
            for viewer in self.viewers:
                viewer.reset()
        while True:
            found = await self._redis.xread({progress.STREAM: self.position}, block=int(BLOCK_SECONDS * 1000))
            if found:
                entries = list(_entries(found))
                # The first event after a quiet while goes out at once; those close behind it wait and merge.
                if (pause := self._next_batch_at - time.monotonic()) > 0:
                    await asyncio.sleep(pause)
                    entries += _entries(await self._redis.xread({progress.STREAM: entries[-1][0]}))
                self._next_batch_at = time.monotonic() + COALESCE_SECONDS
                self.hand_out(coalesce(entries), entries[-1][0])

    async def _newest(self) -> str:
        newest = await self._redis.xrevrange(progress.STREAM, count=1)
        return str(newest[0][0]) if newest else "0-0"

    def hand_out(self, events: list[Event], position: str) -> None:
        """Gives each viewer the events of his topics that he may see, as one chunk."""
        self.position = position
        chunks: defaultdict[Viewer, list[bytes]] = defaultdict(list)
        for event in events:
            listening = {viewer for topic in event.topics for viewer in self._by_topic.get(topic, ())}
            for viewer in listening:
                if viewer.may_see(event):
                    chunks[viewer].append(event.encode())
        # The position follows the whole batch: a replay after it misses none of them.
        tail = f"id: {position}\n\n".encode()
        for viewer, frames in chunks.items():
            viewer.put(b"".join((*frames, tail)))

    async def replay(self, viewer: Viewer, after: str) -> None:
        """Hands the viewer what happened since `after`, or tells him to look again when that is too much."""
        try:
            async with self._replays:
                entries = await self._redis.xrange(progress.STREAM, min=f"({after}", count=MOST_REPLAYED + 1)
        except (redis.RedisError, OSError):
            return
        if len(entries) > MOST_REPLAYED:
            viewer.reset()
        elif entries:
            events = [event for event in coalesce(entries) if viewer.topics.intersection(event.topics)]
            frames = [event.encode() for event in events if viewer.may_see(event)]
            viewer.put(b"".join((*frames, f"id: {entries[-1][0]}\n\n".encode())))


def _entries(found: Any) -> Iterable[tuple[str, dict[str, str]]]:
    """The entries of XREAD's answer, which is a list or, in RESP3, a dict of a list of lists."""
    for _, entries in found.items() if isinstance(found, dict) else found:
        for entry in entries:
            if isinstance(entry[0], str):
                yield entry[0], entry[1]
            else:
                yield from ((each[0], each[1]) for each in entry)


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub() -> Hub:
    """The hub of the running event loop, made for its first viewer."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
        _end_with_process(loop)
    return _hubs[loop]


async def close() -> None:
    """Ends every stream of the running event loop."""
    if found := _hubs.pop(asyncio.get_running_loop(), None):
        await found.close()


def _end_with_process(loop: asyncio.AbstractEventLoop) -> None:
    """Ends the streams when the server is told to stop: it tells of its end only when no answer is open."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before):
            continue

        def ended(received: int, frame: Any, before: Callable[[int, Any], Any] = before) -> None:
            before(received, frame)
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: loop.create_task(close()))

        signal.signal(number, ended)


async def _in_thread(function: Callable[[A], R], argument: A) -> R:
    return await asyncio.get_running_loop().run_in_executor(_database, function, argument)


def _topics(query: dict[str, list[str]]) -> frozenset[str]:
    words = " ".join(query.get("topics", [])).split()
    return frozenset(word[:100] for word in words[:MOST_TOPICS])


def _after(headers: dict[bytes, bytes], query: dict[str, list[str]]) -> str:
    """Where the viewer stopped listening: what the browser says of itself, else what the page says."""
    said = headers.get(b"last-event-id", b"").decode("latin-1") or query.get("after", [""])[0]
    milliseconds, _, number = said.partition("-")
    is_position = milliseconds.isascii() and milliseconds.isdecimal() and len(said) < 40
    return said if is_position and (not number or (number.isascii() and number.isdecimal())) else ""


async def events(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application behind /events/."""
    headers = dict(scope["headers"])
    if scope["method"] != "GET":
        await _refuse(send, 405)
        return
    key = session_key(headers)
    listener = await _in_thread(listener_of, key) if key else None
    if listener is None:
        await _refuse(send, 401)
        return
    query = parse_qs(scope["query_string"].decode("latin-1"))
    topics = allowed_topics(listener, _topics(query))
    await _serve(Viewer(topics, listener), _after(headers, query), receive, send)


async def _refuse(send: Send, status: int) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"cache-control", b"no-store")]}
    )
    await send({"type": "http.response.body", "body": b""})


async def _serve(viewer: Viewer, after: str, receive: Receive, send: Send) -> None:
    owner = hub()
    owner.add(viewer)
    watcher = asyncio.create_task(_until_gone(viewer, receive))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _send(send, b"retry: 2000\n\n")
        if after:
            await owner.replay(viewer, after)
        while not viewer.is_closed:
            await _send(send, await viewer.take() or b": still here\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        owner.remove(viewer)
        watcher.cancel()


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
    (b"x-content-type-options", b"nosniff"),
]


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(viewer: Viewer, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.close()
