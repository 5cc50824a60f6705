"""`make demo`: Drydock with three private engines, their images, and a history that policies can use."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from config import run
from config.demo import content, engines
from config.demo.engines import EngineFailed, PrivateEngine, at_once
from config.demo.sweeper import sweeping
from config.programs import BASE_DIR
from config.run import CannotRun
from config.supervisor import Supervisor

READY_SECONDS = 120


def start() -> int:
    data = Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data" / "demo").resolve()
    return run.guarded(lambda: demo(data))


def demo(data: Path) -> None:
    if reason := engines.why_not():
        raise CannotRun(f"The demo starts engines of its own, and {reason}.\nWithout them: make run")
    with run.locked(data) as announce:
        port = run.choose_port()  # one that is taken is said before the minute that filling the engines takes
        url = f"http://localhost:{port}/"
        announce(url)
        serve(data, port, url)


def serve(data: Path, port: int, url: str) -> None:
    with running_engines(data) as private, run.redis_for(data):
        run.prepare(data)
        from config.demo import seed

        name, password = seed.people(data / "password")
        with run.running(data, address="127.0.0.1", port=port) as supervisor:
            furnish(data, private, supervisor)
            print(
                f"\nDrydock is at {url}\n\n  admin      {name} / {password}\n"
                f"  colleague  {seed.COLLEAGUE} / {password} (operator on ci, viewer on production)\n\n"
                "Ctrl-C stops it, the engines included. The next start is quick.\n",
                flush=True,
            )
            supervisor.watch()


def furnish(data: Path, private: Sequence[PrivateEngine], supervisor: Supervisor) -> None:
    """Registers the engines and waits until they are read; the first time, writes history and policies."""
    from config.demo import policies, seed

    say("Reading the engines")
    seed.hosts(private)
    wait_until(seed.are_watched, supervisor, "the engines are read")
    seed.is_done(data / "dates-written", seed.dates)
    seed.know_use_since()
    seed.is_done(data / "policies-written", policies.write)
    wait_until(policies.has_plan, supervisor, "the first plan is made")


def wait_until(is_so: Callable[[], bool], supervisor: Supervisor, what: str) -> None:
    """Looks after the programs meanwhile. Raises CannotRun when it takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        supervisor.check()
        if time.monotonic() > deadline:
            raise CannotRun(f"Waited {READY_SECONDS} s until {what}. See {supervisor.logs}.")
        time.sleep(0.25)


@contextlib.contextmanager
def running_engines(data: Path) -> Iterator[list[PrivateEngine]]:
    """Three engines, filled; ended with everything they run when the block ends."""
    private = [PrivateEngine(data / "engines" / each.name, each.name) for each in content.ENGINES]
    with sweeping(data / "engines", private):
        try:
            say(f"Starting {len(private)} private engines")
            for engine in private:
                engine.start()
            fill(data / "engines" / "filled", private)
            yield private
        except EngineFailed as error:
            raise CannotRun(str(error)) from error
        finally:
            at_once([engine.stop for engine in private])


def fill(mark: Path, private: Sequence[PrivateEngine]) -> None:
    """All or nothing: after a start that was cut short, everything is made again."""
    if mark.exists():
        return
    say("Filling them with sample images (about half a minute, this once)")
    pairs = zip(private, content.ENGINES, strict=True)
    at_once([partial(_fill, engine, each) for engine, each in pairs])
    mark.touch()


def _fill(engine: PrivateEngine, what: content.EngineContent) -> None:
    engine.wipe()
    with engine.client(timeout_seconds=600) as api:
        content.fill(api, what)


def say(text: str) -> None:
    print(f"{text} ...", flush=True)


if __name__ == "__main__":
    sys.exit(start())
