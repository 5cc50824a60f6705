"""All of Drydock as somebody starts it, in a process of its own: for tests of `make run` and of `make demo`."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from config.programs import BASE_DIR

ENVIRONMENT = ("PORT", "ADDRESS", "DATA_DIR", "REDIS_URL")
START_SECONDS = 90


class Running:
    """`python -m config.run`, or another such module, on a folder of its own."""

    def __init__(self, data: Path, port: int, module: str = "config.run") -> None:
        self.data, self.port = data, port
        self.url = f"http://127.0.0.1:{port}"
        environment = {k: v for k, v in os.environ.items() if k not in (*ENVIRONMENT, "DATABASE_URL")}
        environment |= {
            "DATA_DIR": str(data), "PORT": str(port), "STATIC_ROOT": str(data / "static"), "DEBUG": "0",
            "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONWARNINGS": "default",
            "XDG_RUNTIME_DIR": str(data),
        }  # fmt: skip
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=BASE_DIR, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            self.lines.extend(output)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, is_so: Callable[[], object], seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def answer(self, path: str) -> str:
        """The body, once the site answers at all."""
        found: list[str] = []

        def ask() -> bool:
            with suppress(OSError), urllib.request.urlopen(self.url + path, timeout=5) as response:
                found.append(response.read().decode())
            return bool(found)

        self.until(ask)
        return found[0]

    def processes(self) -> dict[int, str]:
        """What runs with this DATA_DIR, apart from the command itself."""
        mark, found = f"DATA_DIR={self.data}".encode(), {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        found.pop(self.process.pid, None)
        # One that ended and waits to be taken note of has no command line any more.
        return {pid: command for pid, command in found.items() if command}

    def health(self, program: str, part_of_command: str, **more: str) -> int:
        """As a container asks for it, with the environment that the program itself has."""
        (pid,) = (pid for pid, command in self.processes().items() if part_of_command in command)
        pairs = (Path("/proc") / str(pid) / "environ").read_text().rstrip("\0").split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs) | more
        command = [sys.executable, "-m", "config.health", program]
        return subprocess.run(command, cwd=BASE_DIR, env=environment, check=False).returncode

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(45)
        self.reader.join(5)
        return status

    def kill(self) -> None:
        """Whatever a failed test left."""
        self.process.kill()
        self.process.wait(10)
        self.reader.join(5)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
