"""Archives between browsers and workers: raw ASGI endpoints, for Django would hold or spool a body of gigabytes.

    GET /transfers/<job>/   the archive of a save job, as a download
    PUT /transfers/<job>/   the archive for a load job, and for every job of the same click; with ?jobs=1,2 for those

An upload begins with the hosts whose workers are ready. It answers which jobs still wait: the browser, which has the
file, sends it once more for these, so that it is kept nowhere.

A chunk at a time goes through a relay in Redis; the browser is held back while workers are behind. Every failure
ends the job with a word, and the end of the job ends the stream.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple
from urllib.parse import quote

import redis

from images.live.asgi import Message, Receive, Refused, Send
from images.models import JobState
from images.transfers.admission import KINDS, Look, Transfer, give_up, states_of, transfer_of
from images.transfers.relay import CHUNK_BYTES, Receiver, Relay, RelayClosed, Sender

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

logger = logging.getLogger(__name__)

PATH = re.compile(r"^/transfers/([0-9]{1,18})/$")
BEAT_SECONDS = 5.0
HEADERS_SECONDS = 2.0  # an error at once is still a status; later the download is shown to wait
STALL_SECONDS = 600.0  # a download may be paused, an upload's network may be away; not for ever
READY_SECONDS = 15.0  # how long hosts whose workers are ready wait for one whose worker is not
POLL_SECONDS = 0.3
MOST_AT_ONCE = 48  # threads: one for each relay that waits

_pool = ThreadPoolExecutor(max_workers=MOST_AT_ONCE, thread_name_prefix="transfers")


async def _in_thread(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    return await asyncio.get_running_loop().run_in_executor(_pool, function, *arguments)


async def transfers(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application behind /transfers/."""
    match = PATH.match(scope["path"])
    try:
        if match is None:
            raise Refused(404)
        if scope["method"] not in KINDS:
            raise Refused(405)
        transfer = await _in_thread(transfer_of, scope, int(match[1]))
        serve = _download if scope["method"] == "GET" else _upload
        await serve(transfer, receive, send)
    except Refused as refused:
        await _answer(send, refused.status, {})
    except redis.RedisError as error:
        logger.warning("A transfer was cut off, Redis is away: %s", error)
        await _answer(send, 503, {"code": "transfer_redis"})


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    """A short answer. It closes the connection: what is left of a refused upload would else be read to its end."""
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


@contextlib.asynccontextmanager
async def _attending(*relays: Relay, later: Collection[Relay] = ()) -> Any:
    """Tells the workers every few seconds that the browser is here. It comes once more for those in `later`."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for relay in relays:
                with contextlib.suppress(redis.RedisError):
                    await _in_thread(relay.attend)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        for relay in relays:
            with contextlib.suppress(redis.RedisError):
                await _in_thread(relay.hand_over if relay in later else relay.leave)
            relay.close()


# Downloads


async def _download(transfer: Transfer, receive: Receive, send: Send) -> None:
    look = Look(transfer.listener, transfer.jobs[0])
    receiver = Receiver(transfer.jobs[0], look)
    if not await _in_thread(receiver.attend_once):
        receiver.close()
        raise Refused(409)
    leaving = asyncio.create_task(_until_gone(look, receive))
    try:
        async with _attending(receiver):
            await _send_archive(transfer, receiver, look, send)
    finally:
        leaving.cancel()


async def _send_archive(transfer: Transfer, receiver: Receiver, look: Look, send: Send) -> None:
    """Sends what comes. A stream that fails is left without its end, so that the browser says it failed."""

    def take() -> bytes:
        look()
        return receiver.take()

    taking = asyncio.ensure_future(_in_thread(take))
    is_begun = False
    try:
        await asyncio.wait([taking], timeout=HEADERS_SECONDS)
        if taking.done() and taking.exception():
            taking.result()
        await send({"type": "http.response.start", "status": 200, "headers": _headers(transfer.file)})
        is_begun = True
        while chunk := await taking:
            taking = asyncio.ensure_future(_in_thread(take))
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        if look.is_gone:
            raise RelayClosed("transfer_abandoned")
        await _in_thread(receiver.confirm)
    except (RelayClosed, TimeoutError, redis.RedisError) as error:
        code = error.code if isinstance(error, RelayClosed) else "transfer_stalled"
        await _stopped(taking, receiver, look, code)
        logger.info("The download of job %s ended early: %s", look.job, code)
        if not is_begun:
            await _answer(send, 409, {"code": code})
    except BaseException:
        await _stopped(taking, receiver, look, "transfer_abandoned")
        raise


async def _stopped(taking: "asyncio.Future[bytes]", relay: Relay, look: Look, code: str) -> None:
    """Ends the thread that still waits, and then tells the worker."""
    look.is_gone = True
    await asyncio.wait([taking])
    if not taking.cancelled():
        taking.exception()
    with contextlib.suppress(redis.RedisError):
        await _in_thread(relay.stop, code)


async def _until_gone(look: Look, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    look.is_gone = True


def _headers(file: str) -> list[tuple[bytes, bytes]]:
    kind = b"application/gzip" if file.endswith(".gz") else b"application/x-tar"
    return [
        (b"content-type", kind),
        (b"content-disposition", f"attachment; filename*=UTF-8''{quote(file)}".encode()),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would fill its disk
        (b"x-content-type-options", b"nosniff"),
    ]


# Uploads


async def _upload(transfer: Transfer, receive: Receive, send: Send) -> None:
    senders = {pk: Sender(pk, Look(transfer.listener, pk)) for pk in transfer.jobs}
    claimed = {pk: sender for pk, sender in senders.items() if await _in_thread(sender.attend_once)}
    for pk in senders.keys() - claimed.keys():
        senders[pk].close()
    if not claimed:
        raise Refused(409)
    fan = Fan(dict(claimed))
    async with _attending(*claimed.values(), later=fan.later.values()):
        for sender in claimed.values():
            await _in_thread(sender.wipe)
        try:
            await fan.until_ready()
            received = await _receive_archive(fan, receive)
            await fan.finish()
        except RelayClosed as closed:
            await fan.stop(closed.code)
            logger.info("The upload for jobs %s ended early: %s", transfer.jobs, closed.code)
            await _answer(send, 409, {"code": closed.code})
            return
        except BaseException:
            await fan.stop("transfer_abandoned")
            raise
    await _answer(send, 200, {"received": received, "waiting": list(fan.later)})


async def _receive_archive(fan: "Fan", receive: Receive) -> int:
    """Reads the body and hands it on in chunks; gives its length."""
    held, received = bytearray(), 0
    more = True
    while more:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                message = await receive()
        except TimeoutError:
            raise RelayClosed("transfer_stalled") from None
        if message["type"] == "http.disconnect":
            raise RelayClosed("transfer_abandoned")
        held += message.get("body", b"")
        more = message.get("more_body", False)
        if held and (len(held) >= CHUNK_BYTES or not more):
            received += len(held)
            await fan.send(bytes(held))
            held.clear()
    return received


class Fan:
    """One upload to several jobs: the slowest sets the pace, and one that ends does not stop the others."""

    def __init__(self, senders: dict[int, Sender]) -> None:
        """`senders` by job."""
        self._senders = senders
        self.later: dict[int, Sender] = {}

    async def until_ready(self) -> None:
        """Waits for the workers. When one is ready, the others get READY_SECONDS, and are left for `later`: a host
        whose worker is busy with one of these very jobs would else be waited for for ever. Raises RelayClosed when
        no job is left.
        """
        waited = 0.0
        while self._senders:
            states = await _in_thread(states_of, list(self._senders))
            await self._drop([pk for pk in self._senders if pk not in states], "transfer_stopped")
            waiting = [pk for pk, state in states.items() if state == JobState.QUEUED]
            if not waiting:
                return
            if waited >= READY_SECONDS:
                self.later.update((pk, self._senders.pop(pk)) for pk in waiting)
                return
            await asyncio.sleep(POLL_SECONDS)
            waited = waited + POLL_SECONDS if len(waiting) < len(self._senders) else 0.0
        raise RelayClosed("transfer_stopped")

    async def send(self, chunk: bytes) -> None:
        """Raises RelayClosed, with the reason of the last one, when no job is left."""

        def give(sender: Sender) -> None:
            sender.check()
            sender.send(chunk)

        await self._each(give)

    async def finish(self) -> None:
        """Waits until every worker has taken all of it."""

        def finish(sender: Sender) -> None:
            sender.finish()
            sender.until_taken()

        await self._each(finish)

    async def _each(self, do: Callable[[Sender], None]) -> None:
        pks = list(self._senders)
        results = await asyncio.gather(
            *(_in_thread(do, self._senders[pk]) for pk in pks), return_exceptions=True
        )
        code = "transfer_stopped"
        for pk, result in zip(pks, results, strict=True):
            if isinstance(result, RelayClosed):
                code = result.code
                await self._drop([pk], code)
            elif isinstance(result, redis.RedisError):
                code = "transfer_redis"
                await self._drop([pk], code)
            elif isinstance(result, BaseException):
                raise result
        if not self._senders:
            raise RelayClosed(code)

    async def stop(self, code: str) -> None:
        """Ends all jobs, those for later as well: the browser may not be told of them."""
        self._senders |= self.later
        self.later.clear()
        await self._drop(list(self._senders), code)

    async def _drop(self, pks: Sequence[int], code: str) -> None:
        for pk in pks:
            sender = self._senders.pop(pk)
            with contextlib.suppress(redis.RedisError):
                await _in_thread(sender.stop, code)
        await _in_thread(
            give_up, pks, code
        )  # what no worker has taken would wait for a browser that has left
