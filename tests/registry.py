"""A private registry for one test: plain, with a password, with TLS, or as a mirror of another."""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.redis_server import free_port

START_SECONDS = 15
USERNAME, PASSWORD = "alice", "s3cret"


def why_not() -> str:
    """Why there can be none here; empty when there can."""
    missing = [name for name in ("docker-registry", "htpasswd", "openssl") if not shutil.which(name)]
    return f"{', '.join(missing)} not installed" if missing else ""


@dataclass
class PrivateRegistry:
    """Listens on 127.0.0.1, where engines ask for no certificate, unless told another of this machine's addresses.

    `certificate` is (certificate, key) for TLS; `make_certificate` makes one.
    """

    directory: Path
    with_password: bool = False
    certificate: tuple[Path, Path] | None = None
    mirrored: str = ""
    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

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
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1):
                return self
            time.sleep(0.05)
        raise AssertionError((self.directory / "log").read_text())

    def _config(self) -> str:
        lines = [
            "version: 0.1", "log: {level: warn}",
            f"storage: {{filesystem: {{rootdirectory: {self.directory}/data}}, delete: {{enabled: true}}}}",
            f"http:\n  addr: {self.address}:{self.port}",
        ]  # fmt: skip
        if self.certificate:
            lines.append(f"  tls: {{certificate: {self.certificate[0]}, key: {self.certificate[1]}}}")
        if self.with_password:
            self._write_users({USERNAME: PASSWORD})
            lines.append(f"auth: {{htpasswd: {{realm: tests, path: {self._users}}}}}")
        if self.mirrored:
            lines.append(f'proxy: {{remoteurl: "{self.mirrored}"}}')
        return "\n".join(lines) + "\n"

    @property
    def _users(self) -> Path:
        return self.directory / "htpasswd"

    def _write_users(self, users: dict[str, str]) -> None:
        commands = [["htpasswd", "-Bbn", name, password] for name, password in users.items()]
        self._users.write_text(
            "".join(subprocess.run(c, check=True, capture_output=True, text=True).stdout for c in commands)
        )

    def let_in(self, users: dict[str, str]) -> None:
        """From now on these may sign in and nobody else; the registry notices a newer file."""
        self._write_users(users)
        later = time.time() + 5
        os.utime(self._users, (later, later))

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

    def digest(self, repository: str, tag: str, *, signed_in: bool = False) -> str:
        """What the registry itself says the tag points at."""
        kinds = ", ".join(
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.distribution.manifest.list.v2+json",
                "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
            )
        )  # fmt: skip
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/{tag}", method="HEAD")
        request.add_header("Accept", kinds)
        if signed_in:
            account = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
            request.add_header("Authorization", f"Basic {account}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def make_list(self, repository: str, tag: str, name: str, *, architecture: str) -> None:
        """Puts what a tag points at into a list as the image for another kind of processor, under a new tag."""
        kind = "application/vnd.docker.distribution.manifest"
        url = f"http://{self.host}/v2/{repository}/manifests"
        asked = urllib.request.Request(f"{url}/{tag}", headers={"Accept": f"{kind}.v2+json"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            size, digest = len(answer.read()), answer.headers["Docker-Content-Digest"]
        platform = {"architecture": architecture, "os": "linux"}
        manifest = {"mediaType": f"{kind}.v2+json", "size": size, "digest": digest, "platform": platform}
        body = json.dumps(
            {"schemaVersion": 2, "mediaType": f"{kind}.list.v2+json", "manifests": [manifest]}
        ).encode()
        headers = {"Content-Type": f"{kind}.list.v2+json"}
        urllib.request.urlopen(
            urllib.request.Request(f"{url}/{name}", data=body, headers=headers, method="PUT"), timeout=5
        ).close()

    def catalog(self) -> str:
        """Every repository it has, as it lists them; only without a password and TLS."""
        with urllib.request.urlopen(f"http://{self.host}/v2/_catalog", timeout=5) as answer:
            return str(answer.read().decode())

    def tags(self, repository: str) -> str:
        """What the registry itself says it has; only without a password and TLS."""
        with urllib.request.urlopen(f"http://{self.host}/v2/{repository}/tags/list", timeout=5) as answer:
            return str(answer.read().decode())


def own_address() -> str:
    """An address of this machine that is not 127.x: engines insist on TLS there. Nothing leaves the machine."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: UDP only looks up the way
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        return str(probe.getsockname()[0])


def make_certificate(directory: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A certificate for this address and its key; it is its own CA."""
    certificate, key = directory / f"{address}.pem", directory / f"{address}.key"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=tests", "-addext", f"subjectAltName=IP:{address}",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
