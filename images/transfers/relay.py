"""A one-way pipe of bytes through Redis, between the web process and a worker: one for each job that moves an archive.

The web never reaches an engine and a worker never reaches a browser, so gigabytes pass here, a few chunks at a
time: who sends may be CHUNKS_AHEAD chunks ahead of who takes. Both ends call from threads; while nothing comes, their
`check` is asked once a second and may raise.

Three keys hold a pipe: "data" (a list of chunks, each with a mark in front), "credit" (a list with an entry for
each chunk that was taken) and "attended" (kept alive by the web while the browser is there). All of them expire.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from images.errors import UserError

CHUNK_BYTES = 512 * 1024
CHUNKS_AHEAD = 8  # 4 MiB in Redis for each transfer at most
WAIT_SECONDS = 1  # how long one question to Redis waits; below its clients' socket timeout
KEEP_SECONDS = 600  # what nobody touches any more is gone after so long
ATTENDED_SECONDS = 20  # a web process that was killed is noticed after so long

_DATA, _END, _BROKEN, _TAKEN = b"d", b"e", b"x", b"1"
_SERVED, _HANDED_OVER = b"1", b"0"


class RelayClosed(Exception):
    """The other end closed the pipe, with the code of an error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def client() -> redis.Redis:
    """A connection of one's own: an end waits on it. Never asks twice: a chunk must not come twice or get lost."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=WAIT_SECONDS + 10, socket_connect_timeout=5,
        socket_read_size=256 * 1024,  # fewer rounds into the kernel for a chunk
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


class Relay:
    """One end of the pipe named `name`. Use `Sender` or `Receiver`, and close it."""

    def __init__(self, name: object, check: Callable[[], None] = lambda: None) -> None:
        base = f"drydock:relay:{name}"
        self.data, self.credit, self.attended = f"{base}:data", f"{base}:credit", f"{base}:attended"
        self.check = check
        self.moved_bytes = 0
        self._redis: Any = client()  # its annotations fit neither pipelines nor lists

    def close(self) -> None:
        self._redis.close()

    # The web's sign of life

    def attend(self) -> None:
        """The browser is there; to be said again within ATTENDED_SECONDS."""
        self._redis.set(self.attended, _SERVED, ex=ATTENDED_SECONDS)

    def attend_once(self) -> bool:
        """The same for the first time; False when another request serves this job already."""
        before = self._redis.set(self.attended, _SERVED, get=True, ex=ATTENDED_SECONDS)
        return bool(before != _SERVED)

    def hand_over(self) -> None:
        """This request ends, and the browser comes with another one within ATTENDED_SECONDS."""
        self._redis.set(self.attended, _HANDED_OVER, ex=ATTENDED_SECONDS)

    def leave(self) -> None:
        self._redis.delete(self.attended)

    @property
    def is_attended(self) -> bool:
        return bool(self._redis.exists(self.attended))

    def stop(self, code: str) -> None:
        """Tells the other end that it is over, and why."""
        raise NotImplementedError

    @property
    def is_begun(self) -> bool:
        """Whether the browser is there, or was and left a word."""
        return bool(self._redis.exists(self.attended, self.data, self.credit))

    def wipe(self) -> None:
        """Takes away what an earlier attempt left."""
        self._redis.delete(self.data, self.credit)

    def _touch(self, pipe: Any) -> None:
        """Puts the end of both lists off; a list that was emptied is a new one when something comes again."""
        pipe.expire(self.data, KEEP_SECONDS)
        pipe.expire(self.credit, KEEP_SECONDS)


class Sender(Relay):
    """The end that bytes go into."""

    def __init__(self, name: object, check: Callable[[], None] = lambda: None) -> None:
        super().__init__(name, check)
        self._ahead = CHUNKS_AHEAD

    def send(self, chunk: bytes | bytearray) -> None:
        """Waits while the other end is behind. Raises RelayClosed when it closed, and what `check` raises."""
        while not self._ahead:
            self._wait()
        self._push(_DATA + chunk)
        self._ahead -= 1
        self.moved_bytes += len(chunk)

    def finish(self) -> None:
        """Says that this was all. The other end still has to take what is on the way: see `until_taken`."""
        self._push(_END + str(self.moved_bytes).encode())

    def until_taken(self) -> None:
        """Waits until the other end has taken everything, the end mark included."""
        while self._ahead <= CHUNKS_AHEAD:
            self._wait()

    def stop(self, code: str) -> None:
        """Says that the rest will not come; what is on the way is not worth taking."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.lpush(self.data, _BROKEN + code.encode())
        pipe.expire(self.data, KEEP_SECONDS)
        pipe.execute()

    def _push(self, marked: bytes) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(self.data, marked)
        pipe.lpop(self.credit, CHUNKS_AHEAD)
        self._touch(pipe)
        self._note(pipe.execute()[1] or ())

    def _wait(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        self._touch(pipe)
        pipe.blpop([self.credit], timeout=WAIT_SECONDS)
        if found := pipe.execute()[-1]:
            self._note([found[1]])
        else:
            # Only now: who has told the end of it may have left already.
            self.check()

    def _note(self, credits_: Iterable[bytes]) -> None:
        for each in credits_:
            if each != _TAKEN:
                raise RelayClosed(each[1:].decode())
            self._ahead += 1


class Receiver(Relay):
    """The end that bytes come out of."""

    def __init__(self, name: object, check: Callable[[], None] = lambda: None) -> None:
        super().__init__(name, check)
        self._owed = False

    def take(self) -> bytes:
        """The next chunk; empty at the end. Raises RelayClosed when the other end failed or bytes are missing."""
        while True:
            pipe = self._redis.pipeline(transaction=False)
            if self._owed:
                pipe.rpush(self.credit, _TAKEN)
                self._owed = False
            self._touch(pipe)
            pipe.blpop([self.data], timeout=WAIT_SECONDS)
            if found := pipe.execute()[-1]:
                return self._opened(found[1])
            self.check()

    def _opened(self, marked: bytes) -> bytes:
        mark, body = marked[:1], marked[1:]
        if mark == _BROKEN:
            raise RelayClosed(body.decode())
        if mark == _END:
            if int(body) != self.moved_bytes:
                raise RelayClosed("transfer_incomplete")
            return b""
        self._owed = True
        self.moved_bytes += len(body)
        return body

    def confirm(self) -> None:
        """Tells the sender that everything arrived where it was to go."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(self.credit, _TAKEN)
        pipe.expire(self.credit, KEEP_SECONDS)
        pipe.execute()

    def stop(self, code: str) -> None:
        """Tells the sender to stop; it hears of it before anything else."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.lpush(self.credit, _BROKEN + code.encode())
        pipe.expire(self.credit, KEEP_SECONDS)
        pipe.delete(self.data)
        pipe.execute()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.take():
            yield chunk


R = TypeVar("R", "Sender", "Receiver")


@contextmanager
def worker_end(relay: R) -> Iterator[R]:
    """A worker's end of the pipe: whatever ends the job early, the web hears of it at once.

    Raises UserError with the code that the web closed the pipe with, and transfer_redis when Redis is away.
    """
    try:
        yield relay
    except RelayClosed as closed:
        raise UserError(closed.code) from closed
    except redis.RedisError as error:
        raise UserError("transfer_redis", raw=str(error)[:500]) from error
    except BaseException as error:
        with suppress(redis.RedisError):
            relay.stop(error.code if isinstance(error, UserError) else "transfer_stopped")
        raise
    finally:
        relay.close()


def regrouped(pieces: Iterable[bytes], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The same bytes in pieces of at least `size`, but for the last: each one costs a round to Redis."""
    held, length = [], 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


def attended(relay: Relay, check: Callable[[], None]) -> Callable[[], None]:
    """For a worker's end: stops as `check` does, and when nobody serves the browser any more.

    Raises UserError transfer_abandoned.
    """

    def checked() -> None:
        check()
        if not relay.is_attended:
            raise UserError("transfer_abandoned")

    return checked


def await_attention(relay: Relay, check: Callable[[], None], seconds: float) -> None:
    """Waits for the browser to come. Raises UserError transfer_not_begun when it does not within `seconds`."""
    give_up_at = time.monotonic() + seconds
    while not relay.is_begun:
        check()
        if time.monotonic() >= give_up_at:
            raise UserError("transfer_not_begun", seconds=int(seconds))
        time.sleep(0.2)
