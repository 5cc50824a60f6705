"""Saving and loading as an engine does it, without jobs: over a socket and over TCP, and what it refuses half-way."""

from collections.abc import Callable, Iterator

import pytest

from config.demo.engines import PrivateEngine
from config.demo.images import Image
from images.engine import archive
from images.engine.client import Connection, Engine, open_engine
from images.errors import UserError
from tests.engine import moves
from tests.engine.moves import noise

pytestmark = pytest.mark.engine

API = Image(["shop/api:1"], [noise("base", 400_000)])


@pytest.fixture(params=["unix", "tcp"])
def opened(request: pytest.FixtureRequest, make_engine: Callable[..., PrivateEngine]) -> Iterator[Engine]:
    made = make_engine("lab", tcp_port=0)
    address = made.address if request.param == "unix" else made.tcp_address
    with open_engine(Connection(address)) as engine:
        yield engine


def refused(engine: Engine, pieces: Iterator[bytes]) -> str:
    with pytest.raises(UserError) as problem:
        list(archive.load(engine, pieces, host="lab"))
    return problem.value.code


def test_round_trip_names_what_was_loaded(opened: Engine) -> None:
    lines = list(archive.load(opened, iter([moves.archive(API)]), host="lab"))
    assert [name for line in lines for name in line.names] == ["shop/api:1"]
    saved = b"".join(archive.save(opened, ["shop/api:1"], host="lab"))
    assert moves.tags_inside(saved) == {"shop/api:1"}


def test_archive_that_turns_to_garbage_is_refused_half_way(opened: Engine) -> None:
    """The engine answers and closes while we still send; on TCP its answer may be lost with the reset."""

    def pieces() -> Iterator[bytes]:
        yield moves.archive(API)[:300_000]
        for _ in range(200):
            yield b"\xff" * 1_000_000

    assert refused(opened, pieces()) in {"archive_broken", "archive_refused"}
    opened.ping(5)


def test_fault_of_whoever_gives_the_bytes_comes_through_and_nothing_is_loaded(opened: Engine) -> None:
    def pieces() -> Iterator[bytes]:
        yield moves.archive(API)[:300_000]
        raise UserError("transfer_abandoned")

    assert refused(opened, pieces()) == "transfer_abandoned"
    assert opened.api.images() == []


def test_name_that_is_not_there_is_said(opened: Engine) -> None:
    with pytest.raises(UserError) as problem:
        list(archive.save(opened, ["shop/nothing:1"], host="lab"))
    assert (problem.value.code, problem.value.values["subject"]) == ("copy_gone", "shop/nothing:1")
