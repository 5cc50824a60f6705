"""Keeps a set of programs running, and ends all of them together."""

import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from config.programs import BASE_DIR, Program

STOP_SECONDS = 15
# A program that ends this often within a minute will not recover by itself.
MOST_RESTARTS = 5
RESTART_WINDOW_SECONDS = 60
_AS_IT_CAME: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
LOG_BYTES = 20 * 1000 * 1000
PR_SET_PDEATHSIG = 1


class ProgramFailed(Exception):
    """A program can not be kept running; the message names it and its log."""


def end_with_parent() -> None:
    """Has the kernel end this child when its parent is killed: Linux only, elsewhere it does nothing.

    Runs between fork and exec. The parent is the thread that starts the child: use the main thread.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """One running program, and when it was started again."""

    program: Program
    process: subprocess.Popen[bytes]
    pump: threading.Thread
    restarts: list[float] = field(default_factory=list)


class Supervisor:
    """Starts programs with their output in `logs`; every line is shown as well, with the program's name."""

    def __init__(
        self, *, logs: Path, environment: dict[str, str], show: Callable[[str], None] = print
    ) -> None:
        self.logs, self.environment, self.show = logs, environment, show
        self.children: dict[str, Child] = {}
        self.is_stopping = False

    def start(self, program: Program, restarts: list[float] | None = None) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            program.command, cwd=BASE_DIR, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            # Ctrl-C reaches the supervisor alone, which then ends the programs in order.
            start_new_session=True, preexec_fn=end_with_parent,
        )  # fmt: skip
        pump = threading.Thread(target=self._pump, args=(program.name, process.stdout), daemon=True)
        self.children[program.name] = Child(program, process, pump, restarts or [])
        pump.start()

    def _pump(self, name: str, output: IO[bytes]) -> None:
        log = RotatingFileHandler(self.logs / f"{name}.log", maxBytes=LOG_BYTES, backupCount=1, **_AS_IT_CAME)
        log.terminator = ""
        with contextlib.closing(log), output:
            for raw in output:
                log.emit(logging.makeLogRecord({"msg": raw.decode(**_AS_IT_CAME)}))
                if not self.is_stopping:
                    self.show(f"{name:<14} | {raw.decode(errors='replace').rstrip()}")

    def watch(self) -> None:
        """Checks for ever."""
        while True:
            self.check()
            time.sleep(0.5)

    def check(self) -> None:
        """Starts again what ended. Raises ProgramFailed when a program keeps ending."""
        for child in list(self.children.values()):
            if child.process.poll() is not None:
                self._revive(child)

    def _revive(self, child: Child) -> None:
        name, now = child.program.name, time.monotonic()
        child.pump.join(1)
        recent = [moment for moment in child.restarts if now - moment < RESTART_WINDOW_SECONDS]
        if len(recent) >= MOST_RESTARTS:
            raise ProgramFailed(f"{name} keeps ending. Its log: {self.logs / name}.log")
        self.show(f"{name} ended with status {child.process.returncode}; starting it again.")
        time.sleep(min(len(recent), 3))
        self.start(child.program, [*recent, now])

    def stop(self) -> None:
        """Ends every program: politely, then by force. Returns when all are gone."""
        self.is_stopping = True
        for child in self.children.values():
            _signal(child.process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, deadline - time.monotonic()))
            _signal(child.process, signal.SIGKILL)  # the whole group: also what the program itself started
            child.process.wait()
            child.pump.join(2)
        self.children.clear()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To the program first; SIGKILL goes to its whole process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        elif process.poll() is None:
            os.kill(process.pid, number)


class AlreadyRunning(Exception):
    """Another supervisor uses the same data; the message is what that one wrote into the lock."""


@contextlib.contextmanager
def only_one(path: Path, note: str) -> Iterator[Callable[[str], None]]:
    """Holds a lock for as long as the block runs; a killed holder's lock is free again at once.

    Whoever finds it held is shown the note, which the block may write anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise AlreadyRunning(lock.read().strip()) from error

        def write(text: str) -> None:
            lock.truncate(0)
            lock.write(text)
            lock.flush()

        write(note)
        yield write
