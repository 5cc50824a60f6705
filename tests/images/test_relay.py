"""The pipe of bytes through Redis, on a real one, with both ends in threads."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from images.errors import UserError
from images.transfers import relay
from images.transfers.relay import (
    CHUNK_BYTES,
    CHUNKS_AHEAD,
    Receiver,
    RelayClosed,
    Sender,
    regrouped,
    worker_end,
)

pytestmark = pytest.mark.services


@pytest.fixture(autouse=True)
def live_redis(redis_url: str, settings: Any) -> None:
    settings.REDIS_URL = redis_url


@pytest.fixture
def ends() -> Iterator[tuple[Sender, Receiver]]:
    sender, receiver = Sender("t"), Receiver("t")
    yield sender, receiver
    sender.close()
    receiver.close()


def beside(function: Callable[[], object]) -> Callable[[], object]:
    """Runs it in a thread; what comes back waits for its end and gives its result or its error."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append(function())
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()

    def result() -> object:
        thread.join(20)
        assert outcome, "still waits"
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    return result


def test_bytes_arrive_whole_and_in_order(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    chunks = [os.urandom(size) for size in (1, CHUNK_BYTES, 17, 3 * CHUNK_BYTES) for _ in range(10)]

    def send() -> None:
        for chunk in chunks:
            sender.send(chunk)
        sender.finish()
        sender.until_taken()

    done = beside(send)
    assert list(receiver) == chunks
    receiver.confirm()
    done()
    assert sender.moved_bytes == receiver.moved_bytes == sum(map(len, chunks))


def test_sender_waits_for_a_receiver_that_is_behind(ends: tuple[Sender, Receiver], redis_url: str) -> None:
    sender, receiver = ends
    sent: list[int] = []

    def send() -> None:
        for number in range(CHUNKS_AHEAD * 3):
            sender.send(bytes(CHUNK_BYTES))
            sent.append(number)
        sender.finish()

    done = beside(send)
    time.sleep(0.7)
    assert len(sent) == CHUNKS_AHEAD
    with redis.Redis.from_url(redis_url) as client:
        assert client.info("memory")["used_memory"] < (CHUNKS_AHEAD + 8) * CHUNK_BYTES
    assert sum(len(chunk) for chunk in receiver) == CHUNKS_AHEAD * 3 * CHUNK_BYTES
    done()


def test_sender_is_not_done_before_the_other_end_says_so(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    sender.send(b"all")
    sender.finish()
    done = beside(sender.until_taken)
    assert list(receiver) == [b"all"]
    time.sleep(0.3)
    receiver.confirm()
    done()


def test_receiver_that_stops_is_heard_at_once(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends

    def send() -> None:
        while True:
            sender.send(bytes(1000))

    done = beside(send)
    receiver.take()
    receiver.stop("archive_unknown")
    began = time.monotonic()
    with pytest.raises(RelayClosed) as closed:
        done()
    assert closed.value.code == "archive_unknown"
    assert time.monotonic() - began < 0.9


def test_sender_that_stops_is_heard_before_what_it_sent(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    sender.send(b"half")
    sender.stop("transfer_abandoned")
    with pytest.raises(RelayClosed) as closed:
        receiver.take()
    assert closed.value.code == "transfer_abandoned"


def test_lost_bytes_are_noticed(ends: tuple[Sender, Receiver], redis_url: str) -> None:
    sender, receiver = ends
    sender.send(b"one")
    sender.send(b"two")
    sender.finish()
    with redis.Redis.from_url(redis_url) as client:
        client.lpop(sender.data)
    with pytest.raises(RelayClosed) as closed:
        list(receiver)
    assert closed.value.code == "transfer_incomplete"


def test_end_that_waits_asks_whether_to_go_on(ends: tuple[Sender, Receiver]) -> None:
    def stop() -> None:
        raise UserError("transfer_abandoned")

    _, receiver = ends
    receiver.check = stop
    with pytest.raises(UserError):
        receiver.take()


def test_only_one_request_serves_a_job(ends: tuple[Sender, Receiver]) -> None:
    sender, _ = ends
    assert sender.attend_once()
    assert not sender.attend_once()
    sender.leave()
    assert sender.attend_once()


def test_web_that_vanishes_is_missed(ends: tuple[Sender, Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ATTENDED_SECONDS", 1)
    _, receiver = ends
    receiver.attend()
    check = relay.attended(receiver, lambda: None)
    check()
    time.sleep(1.2)
    with pytest.raises(UserError) as gone:
        check()
    assert gone.value.code == "transfer_abandoned"


def test_browser_that_never_comes_is_not_waited_for_for_ever(ends: tuple[Sender, Receiver]) -> None:
    _, receiver = ends
    with pytest.raises(UserError) as late:
        relay.await_attention(receiver, lambda: None, 0.5)
    assert late.value.code == "transfer_not_begun"


def test_everything_expires(ends: tuple[Sender, Receiver], redis_url: str) -> None:
    sender, receiver = ends
    for chunk in (b"one", b"two", b"three"):
        sender.send(chunk)
    receiver.take()
    receiver.take()
    sender.attend()
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter("drydock:relay:*"))
        assert len(keys) == 3
        assert all(0 < client.ttl(key) <= relay.KEEP_SECONDS for key in keys)


def test_worker_that_fails_tells_the_web_why(ends: tuple[Sender, Receiver]) -> None:
    _, receiver = ends

    def fail() -> None:
        with worker_end(Sender("t")):
            raise UserError("copy_gone")

    with pytest.raises(UserError):
        fail()
    with pytest.raises(RelayClosed) as closed:
        receiver.take()
    assert closed.value.code == "copy_gone"


def test_redis_that_is_away_is_said(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    def send() -> None:
        with worker_end(Sender("t")) as sender:
            sender.send(b"one")

    with pytest.raises(UserError) as away:
        send()
    assert away.value.code == "transfer_redis"


def test_small_pieces_are_gathered() -> None:
    pieces = [b"x" * 1000] * 2000
    gathered = list(regrouped(pieces))
    assert b"".join(gathered) == b"".join(pieces)
    assert len(gathered) == 4
    assert list(regrouped([])) == []
