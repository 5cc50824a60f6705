"""The programs that make up Drydock: one list for `make run`, the demo and the browser tests."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
# Streams stay open for as long as a page does: without a limit uvicorn would wait for them for ever.
GRACE_SECONDS = 3


@dataclass(frozen=True)
class Program:
    """One process: its name in the log, and its command line."""

    name: str
    command: tuple[str, ...]


def programs(
    *, port: int, data: Path, address: str = "127.0.0.1", workers: Mapping[str, int] | None = None
) -> list[Program]:
    """Web, a worker for each queue, beat and watch; `workers` says how many tasks each does at once."""
    concurrency = {"quick": 4, "engine": 8} | dict(workers or {})
    python = sys.executable
    web = Program(
        "web",
        (
            python, "-m", "uvicorn", "config.asgi:application", "--host", address, "--port", str(port),
            "--timeout-graceful-shutdown", str(GRACE_SECONDS), "--no-access-log", "--log-level", "warning",
        ),
    )  # fmt: skip
    queues = [Program(f"worker-{queue}", _worker(queue, count)) for queue, count in concurrency.items()]
    beat = Program("beat", (*_celery("beat"), "--schedule", str(data / "beat")))
    watch = Program("watch", (python, "manage.py", "watch"))
    return [web, *queues, beat, watch]


def _celery(command: str) -> tuple[str, ...]:
    # The demo runs as root because its engines do; Celery would say at each start that it should not.
    quiet = ("-W", "ignore:You're running the worker with superuser privileges")
    return (
        sys.executable,
        *quiet,
        "-m",
        "celery",
        "--quiet",
        "-A",
        "config",
        command,
        "--loglevel",
        "WARNING",
    )


def _worker(queue: str, concurrency: int) -> tuple[str, ...]:
    """Threads, not processes: tasks wait for engines, and a cancel must reach the connection it cuts."""
    return (
        *_celery("worker"), "--queues", queue, "--hostname", f"{queue}@%h", "--pool", "threads",
        "--concurrency", str(concurrency), "--without-gossip", "--without-mingle",
    )  # fmt: skip
