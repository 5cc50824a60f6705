"""A private registry for one test: plain, with a password, with TLS, or as a mirror of another."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from config.redis_server import free_port

START_SECONDS = 15
USERNAME, PASSWORD = "alice", "s3cret"


def why_not() -> str:
    """Why there can be none here; empty when there can."""
    missing = [name for name in ("docker-registry", "htpasswd", "openssl") if not shutil.which(name)]
    return f"{', '.join(missing)} not installed" if missing else ""


@dataclass
class PrivateRegistry:
    """Listens on 127.0.0.1, which engines allow without TLS. `certificate` is (certificate, key) for TLS."""

    directory: Path
    with_password: bool = False
    certificate: tuple[Path, Path] | None = None
    mirrored: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "PrivateRegistry":
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "config.yml"
        config.write_text(self._config())
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        raise AssertionError((self.directory / "log").read_text())

    def _config(self) -> str:
        lines = [
            "version: 0.1", "log: {level: warn}",
            f"storage: {{filesystem: {{rootdirectory: {self.directory}/data}}, delete: {{enabled: true}}}}",
            f"http:\n  addr: 127.0.0.1:{self.port}",
        ]  # fmt: skip
        if self.certificate:
            lines.append(f"  tls: {{certificate: {self.certificate[0]}, key: {self.certificate[1]}}}")
        if self.with_password:
            users = self.directory / "htpasswd"
            command = ["htpasswd", "-Bbn", USERNAME, PASSWORD]
            users.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            lines.append(f"auth: {{htpasswd: {{realm: tests, path: {users}}}}}")
        if self.mirrored:
            lines.append(f'proxy: {{remoteurl: "{self.mirrored}"}}')
        return "\n".join(lines) + "\n"

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def pause(self) -> None:
        """From now on it accepts connections and says nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def tags(self, repository: str) -> str:
        """What the registry itself says it has; only without a password and TLS."""
        with urllib.request.urlopen(f"http://{self.host}/v2/{repository}/tags/list", timeout=5) as answer:
            return str(answer.read().decode())
