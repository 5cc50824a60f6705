"""Ends the demo's engines when the demo was killed and could not: a process that outlives it by as long as that takes.

The kernel's own signal at a parent's death (PR_SET_PDEATHSIG) is no help here: it comes once for each thread of a
parent that was killed, and dockerd answers the fourth by going at once, with its containers left behind.
"""

import contextlib
import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.demo.engines import PrivateEngine, at_once
from config.programs import BASE_DIR


@contextlib.contextmanager
def sweeping(directory: Path, engines: Sequence[PrivateEngine]) -> Iterator[None]:
    """Sees to it that none of the engines outlives this process. Waits first for the sweeper of one that was killed."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", __name__, str(directory), *(str(engine.directory) for engine in engines)]
    process = subprocess.Popen(
        command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdout.readline()
        yield
    finally:
        # Not left to Popen's own end of a block: that does not wait when Ctrl-C was pressed.
        process.stdin.close()
        process.wait()
        process.stdout.close()


def main(directory: str, *engines: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the demo, which closes the pipe at its end
    with (Path(directory) / "sweeper.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("ready", flush=True)
        sys.stdin.read()  # ends with whoever holds the other end
        at_once([PrivateEngine(Path(engine), Path(engine).name).sweep for engine in engines])


if __name__ == "__main__":
    main(*sys.argv[1:])
