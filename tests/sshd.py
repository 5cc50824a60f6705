"""A real ssh server for one test: on a free port of 127.0.0.1, with keys and a configuration of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from config.demo.engines import SBIN
from config.redis_server import free_port
from images import ssh_keys

START_SECONDS = 15


def why_not() -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "an ssh server needs root"
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    missing = [
        name for name in ("sshd", "ssh", "ssh-keyscan", "ssh-keygen") if not shutil.which(name, path=path)
    ]
    return f"{', '.join(missing)} not installed" if missing else ""


@dataclass
class PrivateSshd:
    """Lets root in with `key`. `settings` are lines of sshd_config, `restriction` stands before the key."""

    directory: Path
    settings: tuple[str, ...] = ()
    restriction: str = ""
    port: int = field(default_factory=free_port)
    key: str = field(default_factory=ssh_keys.new_private_key, repr=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.new_host_key()

    def address(self, socket_path: Path | str, user: str = "root") -> str:
        return f"ssh://{user}@127.0.0.1:{self.port}{socket_path}"

    @property
    def host_key(self) -> str:
        """As Drydock stores it."""
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    def new_host_key(self) -> None:
        """As after an installation anew; counts from the next start on."""
        for name in ("host", "host.pub"):
            (self.directory / name).unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / "host")], check=True
        )

    def start(self) -> "PrivateSshd":
        # sshd wants this folder, and a package's service would make it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        keys = self.directory / "authorized_keys"
        keys.write_text(f"{self.restriction} {ssh_keys.public_line(self.key)}\n".lstrip())
        config = self.directory / "sshd_config"
        config.write_text("\n".join(self._config(keys)) + "\n")
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{SBIN}")
        assert sshd, "sshd wants to be called by its full path"
        self.process = subprocess.Popen(
            [sshd, "-D", "-f", str(config), "-E", str(self.directory / "log")], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        raise AssertionError((self.directory / "log").read_text())

    def _config(self, keys: Path) -> list[str]:
        # One that is set first wins, so the test's own settings come first.
        return [
            *self.settings, f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.directory}/host",
            # Read by root, because the folder is closed to whom the key lets in.
            "AuthorizedKeysFile none", f"AuthorizedKeysCommand /bin/cat {keys}", "AuthorizedKeysCommandUser root",
            "PidFile none", "UsePAM no", "StrictModes no",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
            "LogLevel VERBOSE",
        ]  # fmt: skip

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def pids(self) -> list[int]:
        """The server and its connections, which are processes of their own, the youngest first."""
        assert self.process
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                waiting += [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found[::-1]

    def stop(self) -> None:
        """Ends the server and every connection to it."""
        if self.process and self.process.poll() is None:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)

    def pause(self) -> None:
        """From now on it accepts connections and says nothing, on old ones neither."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
