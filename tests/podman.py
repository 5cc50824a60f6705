"""A private Podman service for tests: own storage, own network-less containers, registries on 127.0.0.1 without TLS."""

import contextlib
import os
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from config.demo import engines
from config.redis_server import free_port

START_SECONDS = 30
REGISTRIES = '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n'
# Its defaults are more than a machine may allow that is itself a container.
SETTINGS = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'


def why_not() -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "a private Podman needs root"
    return "" if shutil.which("podman") else "no podman is installed"


@dataclass
class PrivatePodman:
    """`podman system service` on 127.0.0.1; all it owns is below `directory`."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self) -> "PrivatePodman":
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, text in (("containers.conf", SETTINGS), ("registries.conf", REGISTRIES)):
            (self.directory / name).write_text(text)
        places = [f"--{name}={self.directory / name}" for name in ("root", "runroot", "tmpdir")]
        environment = os.environ | {
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.directory / "registries.conf"),
        }
        # Its events are followed only where they are files: nobody reads a journal here.
        options = ["--cgroup-manager=cgroupfs", "--events-backend=file"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["podman", *places, *options, "system", "service", "--time=0", self.address],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ping", timeout=2),
            ):
                return self
            time.sleep(0.1)
        raise AssertionError((self.directory / "log").read_text())

    def destroy(self) -> None:
        """Ends it with its containers, and removes what it stored."""
        if self.process:
            self.process.terminate()
            self.process.wait(15)
        engines.end_processes(self._left)
        engines.unmount_below(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _left(self) -> list[int]:
        """conmon, which watches over a container, names the storage; the container is its child."""
        found = [
            pid for pid, words in engines._processes() if any(str(self.directory) in word for word in words)
        ]
        return [child for pid in found for child in (*engines._children(pid), pid)]
