"""Real processes for tests: workers, beat, and kinds of jobs that only those have."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from django.db import connection

from config.programs import BASE_DIR, programs
from images.jobs.context import JobContext
from images.jobs.operations import operation
from images.models import ItemState, Job, Permission

START_SECONDS = 60


@operation("crawl", label="Crawl", permission=Permission.REMOVE, repeatable=True)
def crawl(context: JobContext) -> dict[str, Any]:
    """Does its items slowly, and writes each into a file as it is done."""
    for item in context.items():
        time.sleep(0.15)
        with Path(context.job.parameters["path"]).open("a") as file:
            file.write(f"{item.name}\n")
        context.item_done(item, ItemState.REMOVED)
    return {}


@operation("haul", label="Haul", permission=Permission.PULL, limit="most_transfers")
def haul(context: JobContext) -> dict[str, Any]:
    """Takes a while, as a pull does, and counts against the host's limit of those."""
    time.sleep(context.job.parameters["seconds"])
    return {}


@operation("ask", label="Ask", permission=Permission.REMOVE)
def ask(context: JobContext) -> dict[str, Any]:
    """Needs an answer of the engine."""
    context.engine.ping(30)
    return {}


class Process:
    """One of Drydock's programs on the test's database."""

    def __init__(self, environment: dict[str, str], log: Path, command: Sequence[str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=BASE_DIR, env=environment,
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Without notice."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(15)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


class Bench:
    """Starts workers and sends them what the site would send."""

    def __init__(self, environment: dict[str, str], directory: Path, redis_url: str) -> None:
        self.environment, self.directory = environment, directory
        self.app = Celery("sender", broker=redis_url)
        self.processes: list[Process] = []

    def start(self, queue: str, concurrency: int = 4) -> Process:
        """A worker of Celery."""
        return self._start(
            f"worker-{queue}", "--include", "tests.engine.workers", workers={queue: concurrency}
        )

    def beat(self) -> Process:
        """Sends the tick every 15 s from now on."""
        return self._start("beat")

    def _start(self, name: str, *more: str, workers: dict[str, int] | None = None) -> Process:
        programs_here = programs(port=1, data=self.directory, workers=workers)
        command = next(program.command for program in programs_here if program.name == name)
        log = self.directory / f"{name}-{len(self.processes)}.log"
        self.processes.append(Process(self.environment, log, [*command, *more]))
        return self.processes[-1]

    def started(self, queue: str, concurrency: int = 4) -> Process:
        """Waits until it takes tasks, so that no test measures the start of Python."""
        worker = self.start(queue, concurrency)
        name = f"{queue}@{socket.gethostname()}"

        def answers() -> bool:
            assert worker.process.poll() is None, worker.log.read_text()
            return bool(self.app.control.ping([name], timeout=0.5))

        wait_for(answers, START_SECONDS)
        return worker

    def send(self, task: str, *arguments: int, queue: str) -> None:
        self.app.send_task(f"images.tasks.{task}", args=list(arguments), queue=queue)

    def close(self) -> None:
        for process in self.processes:
            process.stop()
        self.app.close()

    def tell(self) -> None:
        """What jobs came to and what workers wrote: pytest shows it when a test fails."""
        for job in Job.objects.order_by("id").values("id", "kind", "host", "state", "worker", "error_code"):
            print(job)
        for process in self.processes:
            print(process.log.read_text())


@contextmanager
def bench(directory: Path, redis_url: str, settings: Any) -> Iterator[Bench]:
    name = connection.settings_dict["NAME"]
    url = f"sqlite:///{name}"
    if connection.vendor == "postgresql":
        values = connection.settings_dict
        address = f"{values['HOST']}:{values['PORT']}" if values["PORT"] else values["HOST"]
        url = f"postgres://{values['USER']}:{values['PASSWORD']}@{address}/{name}"
    environment = os.environ | {
        "DATA_DIR": str(directory), "REDIS_URL": redis_url, "DATABASE_URL": url, "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "config.settings", "SECRET_KEY": "a key of the tests alone",
        "ENCRYPTION_KEYS": ",".join(settings.ENCRYPTION_KEYS), "BUILDX": settings.BUILDX,
    }  # fmt: skip
    made = Bench(environment, directory, redis_url)
    try:
        yield made
    finally:
        made.close()
        made.tell()


def wait_for(condition: Callable[[], object], seconds: float = 10, every: float = 0.02) -> float:
    """Waits until the condition holds; how long that took. Fails after so many seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(every)
    return time.monotonic() - began
