"""Docker engines that nobody else uses: own data, own sockets, no bridge, no firewall rules. Needs root."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
START_SECONDS = 60
STOP_SECONDS = 30

ENGINE_ROOT = os.environ.get("DRYDOCK_ENGINE_ROOT", "")
"""A folder with another Docker's packages, as debootstrap makes it; empty: this machine's own. See docs/engines.md."""
STORE = os.environ.get("DRYDOCK_ENGINE_STORE", "")
"""A key of SETTINGS; empty: the engine's own choice."""
SETTINGS: dict[str, dict[str, Any]] = {
    "": {},
    "overlay2": {"storage-driver": "overlay2", "features": {"containerd-snapshotter": False}},
    "containerd": {"features": {"containerd-snapshotter": True}},
}
# In mounts of its own; all but the programs and their libraries stays as it is for everybody else.
IN_ROOT = (
    "unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0/usr" /usr && exec "$@"',
)  # fmt: skip


class EngineFailed(Exception):
    """The engine did not start; the message ends with the last lines of its log."""


def dockerd_path() -> str | None:
    return shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:{SBIN}")


def _program() -> tuple[str, ...]:
    return (*IN_ROOT, ENGINE_ROOT, "dockerd") if ENGINE_ROOT else (dockerd_path() or "dockerd",)


def why_not() -> str:
    """Why private engines can not run here; empty when they can."""
    if os.name != "posix" or not Path("/proc/self/mountinfo").exists():
        return "private engines need Linux"
    if os.geteuid() != 0:
        return "private engines need root"
    return "" if ENGINE_ROOT or dockerd_path() else "no dockerd is installed"


def runtime_directory(data: Path) -> Path:
    """A short path for sockets, always the same for the same data: a socket's path has 107 bytes at most."""
    base = Path("/run") if os.access("/run", os.W_OK) else Path(tempfile.gettempdir())
    return base / f"drydock-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:10]}"


@dataclass
class PrivateEngine:
    """One dockerd; all it owns is below `directory` (data, log) and `runtime` (sockets, process ids)."""

    directory: Path
    name: str = "engine"
    tcp_port: int | None = None  # also listens on 127.0.0.1 without TLS
    arguments: tuple[str, ...] = ()
    before_exec: Callable[[], None] | None = None  # called in the child, before it becomes dockerd
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.runtime = runtime_directory(self.directory)

    @property
    def socket(self) -> Path:
        return self.runtime / "docker.sock"

    @property
    def address(self) -> str:
        """What Drydock registers the engine's host by."""
        return f"unix://{self.socket}"

    @property
    def tcp_address(self) -> str:
        assert self.tcp_port, "This engine listens on its socket only."
        return f"tcp://127.0.0.1:{self.tcp_port}"

    @property
    def log_path(self) -> Path:
        return self.directory / "engine.log"

    @property
    def pid(self) -> int:
        """dockerd's process id; raises when it was never started."""
        assert self.process, f"{self.name} is not running"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def api(self, timeout_seconds: int = 60) -> docker.APIClient:
        """A client of its own; the caller closes it."""
        client = docker.APIClient(self.address, version="auto", timeout=timeout_seconds)
        client.trust_env = False
        return client

    @contextlib.contextmanager
    def client(self, timeout_seconds: int = 60) -> Iterator[docker.APIClient]:
        with contextlib.closing(self.api(timeout_seconds)) as api:
            yield api

    def start(self) -> "PrivateEngine":
        """Starts dockerd and waits until it answers. Raises EngineFailed with the end of its log."""
        if reason := why_not():
            raise EngineFailed(reason)
        self._clear_leftovers()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.directory / "daemon.json"  # and not the one in /etc/docker
        if not config.exists():
            config.write_text(f"{json.dumps(SETTINGS[STORE])}\n")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(config), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=self.before_exec,
                env=os.environ | {"PATH": f"{os.environ.get('PATH', '')}:{SBIN}"},
            )  # fmt: skip
        self._wait_until_it_answers()
        return self

    def _command(self, config: Path) -> list[str]:
        # A containerd that runs already is shared with other engines: a namespace keeps them apart.
        namespace = self.runtime.name
        command = [
            *_program(), "--config-file", str(config),
            "--data-root", str(self.directory / "data"), "--exec-root", str(self.runtime / "exec"),
            "--pidfile", str(self.runtime / "docker.pid"), "--host", self.address, "--group", "root",
            "--containerd-namespace", namespace, "--containerd-plugins-namespace", f"{namespace}-plugins",
            "--bridge", "none", "--iptables=false", "--shutdown-timeout", "5",
        ]  # fmt: skip
        if self.tcp_port:
            command += ["--host", self.tcp_address]
        return [*command, *self.arguments]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.is_running:
                break
            if self.ping():
                return
            time.sleep(0.05)
        tail = "\n".join(self.log_path.read_text(errors="replace").splitlines()[-5:])
        self.stop()
        raise EngineFailed(f"{self.name} did not start:\n{tail}")

    def ping(self, timeout_seconds: float = 2) -> bool:
        """Asked over a bare socket: docker-py leaks one for each connection that is refused."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    def stop(self) -> None:
        """Ends the engine and its containers; harmless when it is not running."""
        if self.is_running:
            self.cont()
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait(STOP_SECONDS)
        self.kill()
        self._clear_leftovers()

    def sweep(self) -> None:
        """Ends the engine of somebody who is gone, as `stop` would have; harmless when nothing is left of it."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.runtime / "docker.pid").read_text())
            if pid in self._own_processes():
                os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + STOP_SECONDS
                while pid in self._own_processes() and time.monotonic() < deadline:
                    time.sleep(0.1)
        self._clear_leftovers()

    def kill(self) -> None:
        """Ends dockerd without notice, as a power cut would. Its containers may live on until `stop`."""
        if self.is_running:
            self._signal(signal.SIGKILL)
            self._wait(10)
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Makes the engine hang: connections are accepted by the kernel, nothing answers.

        Returns when every thread has stopped: until then one may still answer.
        """
        if not self.is_running:
            return
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while not self._has_stopped() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _has_stopped(self) -> bool:
        try:
            told = [path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except OSError:
            return False  # a thread ended meanwhile
        # The name before the state may hold anything, brackets too.
        return all(text.rpartition(")")[2].split()[0] == "T" for text in told)

    def cont(self) -> None:
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Removes every container, image and build cache record; the engine keeps running."""
        with self.client() as api:
            for container in api.containers(all=True):
                api.remove_container(container["Id"], force=True, v=True)
            _remove_images(api)
            with contextlib.suppress(docker.errors.APIError):  # an engine without a build cache
                raw: Any = api  # its low-level calls have no types
                raw._post(raw._url("/build/prune"), params={"all": "true"}).close()

    def destroy(self) -> None:
        """Stops the engine and removes all it stored."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self.is_running:
            os.kill(self.pid, number)

    def _wait(self, seconds: float) -> None:
        assert self.process
        self.process.wait(timeout=seconds)

    def _clear_leftovers(self) -> None:
        """Ends what a killed dockerd left behind: its containerd, containers' shims, mounts and sockets.

        Only processes that name this engine's own runtime directory are touched.
        """
        end_processes(self._own_processes)
        unmount_below(self.directory, self.runtime)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def _own_processes(self) -> list[int]:
        """Shims name the containerd socket and their namespace, the daemons their own files."""
        path, namespace = f"{self.runtime}/", self.runtime.name
        shims = []
        for pid, arguments in _processes():
            names_path = any(path in argument for argument in arguments)
            own = {"dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "runc"}
            if Path(arguments[0]).name in own and (names_path or namespace in arguments):
                shims.append(pid)
        return [child for pid in shims for child in (*_children(pid), pid)]


def at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Runs the calls in parallel; raises the first error after all have ended."""
    errors: list[BaseException] = []

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - raised below, in the main thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _remove_images(api: docker.APIClient) -> None:
    """Children before parents takes a few rounds; what refuses in a round without progress is an error."""
    left = -1
    while ids := list(dict.fromkeys(image["Id"] for image in api.images())):
        if len(ids) == left:
            raise EngineFailed(f"{left} images can not be removed from {api.base_url}")
        left = len(ids)
        for engine_id in ids:
            with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
                api.remove_image(engine_id, force=True)


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Every living process with its command line."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if arguments[0]:
                yield int(entry.name), arguments


def _children(pid: int) -> list[int]:
    """A shim's containers: they would otherwise outlive it."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def end_processes(find: Callable[[], list[int]], seconds: float = 5) -> None:
    """Sends SIGKILL to what `find` names until it names nothing."""
    deadline = time.monotonic() + seconds
    while (pids := find()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def unmount_below(*directories: Path) -> None:
    """Detaches every mount below the directories, the deepest first."""
    prefixes = tuple(f"{directory.resolve()}/" for directory in directories)
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        mounts = [_unescape(line.split()[4]) for line in lines]
        for mount in sorted((m for m in mounts if m.startswith(prefixes)), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


def _unescape(mount: str) -> str:
    """The kernel writes spaces as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount)
