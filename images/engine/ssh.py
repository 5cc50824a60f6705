"""Reaches engines over ssh: OpenSSH's own client forwards a local socket to the engine's socket over there.

The ways are shared by all of a process, because a handshake costs a hundred times what a ping does. The private
key never touches a disk: ssh reads it from memory that it inherits as its standard input.
"""

import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from images import ssh_keys
from images.addresses import SshAddress, ssh_parts
from images.engine import child, scratch
from images.engine.ssh_faults import host_key_changed, not_started, way_refused
from images.errors import UserError

CONNECT_SECONDS = 10.0  # a handshake takes six times the way there and back, and some arithmetic
KEPT_SECONDS = 60.0  # how long a way stays open after its last use
ALIVE_SECONDS, ALIVE_COUNT = 5, 3  # a way whose other end fell silent is given up after 15 s
POLL_SECONDS = 0.02
TOLD_SECONDS = 0.3  # what ssh says of a broken connection arrives a moment after the break
LINES_KEPT = 40


@dataclass(frozen=True)
class Route:
    """One way to one engine. The key is a secret and stays out of repr."""

    address: str
    key: str = field(repr=False)
    host_key: str

    @property
    def parts(self) -> SshAddress:
        return ssh_parts(self.address)

    def check(self) -> None:
        """Raises UserError where ssh need not even be started."""
        if not shutil.which("ssh"):
            raise UserError("host_no_ssh_client", address=self.address)
        try:
            ssh_keys.HostKey.of(self.host_key)
        except ValueError as error:
            raise UserError("host_key_unknown", address=self.address) from error


class Tunnel:
    """One ssh process, and the local socket behind which the engine is."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.users = 0
        self.left_at = 0.0  # when the last user left
        self.is_retired = False  # for whoever has it, and nobody else
        self.is_up = False
        self.is_over = False
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(dir=scratch.folder()))
        self.socket = self._folder / "s"

    @property
    def is_usable(self) -> bool:
        return not (self.is_over or self.is_retired)

    def launch(self) -> None:
        """Called in the thread that lives as long as this process: ssh ends with the thread that started it."""
        with self._lock:
            if self.is_over:
                return
            try:
                self._process = self._started()
            except OSError as error:
                self._lines.append((time.monotonic(), str(error)))
                self.is_over = True
                return
        threading.Thread(target=self._read, args=(self._process,), name="ssh", daemon=True).start()

    def _started(self) -> subprocess.Popen[str]:
        forward = f"{self.socket}:{self.route.parts.path}"
        options = ["-N", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes", "-L", forward]
        command = child.command(*_ssh(self.route, self._folder, options))
        with _in_memory(self.route.key) as key:
            return subprocess.Popen(
                command, stdin=key, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                errors="replace", env=_environment(), start_new_session=True,
            )  # fmt: skip

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Keeps what ssh says, until it ends."""
        assert process.stderr
        with process.stderr as lines:
            for line in lines:
                self._lines = [*self._lines[1 - LINES_KEPT :], (time.monotonic(), line.rstrip())]
        process.wait()
        self.is_over = True

    def wait_until_up(self, is_cut: Callable[[], bool], seconds: float) -> None:
        """Raises UserError host_* when ssh can not connect or takes too long; EngineCut is the caller's to say."""
        deadline = time.monotonic() + seconds
        while not self.is_up:
            if self.is_over:
                raise self._problem()
            if is_cut():
                raise UserError("host_gone", host=self.route.parts.host)
            if time.monotonic() >= deadline:
                self.is_retired = True
                raise UserError(
                    "host_ssh_timeout", address=self.route.address, seconds=f"{seconds:g}", raw=self.said
                )
            is_there = self.socket.exists()
            time.sleep(POLL_SECONDS)  # also between the making of the socket and its first connection
            self.is_up = is_there

    @property
    def said(self) -> str:
        return "\n".join(line for _, line in self._lines)

    def _problem(self) -> UserError:
        if self.is_up:
            return UserError("host_gone", host=self.route.parts.host, raw=self.said)
        return not_started(self.said, self.route.address, self.route.host_key)

    def fault(self) -> UserError | None:
        """Why a connection through it just broke; None when ssh knows nothing of it."""
        deadline = time.monotonic() + TOLD_SECONDS
        since = deadline - TOLD_SECONDS - 2
        while time.monotonic() < deadline:
            if any("open failed" in line for at, line in self._lines if at >= since):
                return way_refused(self.said, self.route.address, _look(self.route))
            if self.is_over:
                return self._problem()
            time.sleep(POLL_SECONDS)
        return None

    def close(self) -> None:
        with self._lock:
            self.is_over = True
            if self._process:
                # Not asked politely: an ssh that hangs would not listen, and the other side notices either way.
                self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Tunnels:
    """The ways that are open in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_route: dict[Route, Tunnel] = {}
        self._wanted: queue.SimpleQueue[Tunnel] = queue.SimpleQueue()
        self._keeper: threading.Thread | None = None

    def take(self, route: Route) -> Tunnel:
        with self._lock:
            tunnel = self._by_route.get(route)
            if tunnel is None or not tunnel.is_usable:
                if tunnel and not tunnel.users:
                    tunnel.close()
                tunnel = self._by_route[route] = Tunnel(route)
                self._wanted.put(tunnel)
                self._start_keeper()
            tunnel.users += 1
            return tunnel

    def give_back(self, tunnel: Tunnel) -> None:
        with self._lock:
            tunnel.users -= 1
            tunnel.left_at = time.monotonic()
            # One that never came up, or hangs, is of no use to the next.
            if not tunnel.users and not (tunnel.is_up and tunnel.is_usable):
                tunnel.close()

    def of(self, route: Route) -> Tunnel | None:
        with self._lock:
            return self._by_route.get(route)

    def _start_keeper(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name="ssh-keeper", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._wanted.get(timeout=1).launch()
            self.close_idle(KEPT_SECONDS)

    def close_idle(self, seconds: float) -> None:
        """Closes what nobody has used for so long."""
        before = time.monotonic() - seconds
        with self._lock:
            for route, tunnel in list(self._by_route.items()):
                if not tunnel.users and tunnel.left_at <= before:
                    tunnel.close()
                    del self._by_route[route]


TUNNELS = _Tunnels()


@contextlib.contextmanager
def opened(route: Route, *, is_cut: Callable[[], bool]) -> Iterator[Path]:
    """The local socket behind which the engine is, for as long as the block lasts; shared with others.

    Raises UserError host_* when there is no way, within CONNECT_SECONDS, and at once when `is_cut` says so.
    """
    route.check()
    tunnel = TUNNELS.take(route)
    try:
        tunnel.wait_until_up(is_cut, CONNECT_SECONDS)
        yield tunnel.socket
    except UserError as error:
        # Whether the engine hangs or the way does can not be told from here: the next one gets a new way.
        tunnel.is_retired = tunnel.is_retired or error.code == "host_timeout"
        raise
    finally:
        tunnel.is_retired = tunnel.is_retired or is_cut()
        TUNNELS.give_back(tunnel)


def fault(route: Route) -> UserError | None:
    """What ssh knows of a connection over this way that just broke."""
    tunnel = TUNNELS.of(route)
    return tunnel.fault() if tunnel else None


def scan(address: str, *, expected: str = "", seconds: float = 5.0) -> ssh_keys.HostKey:
    """The key a host shows, of the type of the `expected` one where it has such. Raises UserError host_*."""
    parts = ssh_parts(address)
    if not shutil.which("ssh-keyscan"):
        raise UserError("host_no_ssh_client", address=address)
    _knock(parts, address, seconds)
    command = [
        "ssh-keyscan",
        "-T",
        f"{seconds:.0f}",
        "-p",
        str(parts.port),
        "-t",
        "ed25519,ecdsa,rsa",
        parts.host,
    ]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds * 2, check=False,
            stdin=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UserError("host_ssh_timeout", address=address, seconds=f"{seconds * 2:g}") from error
    found = list(_keys(told.stdout))
    if not found:
        raise UserError("host_ssh_failed", address=address, raw=told.stderr[:2000])
    return ssh_keys.best(found, ssh_keys.HostKey.of(expected) if expected else None)


def check_same(address: str, expected: str, found: ssh_keys.HostKey) -> None:
    """Raises UserError host_key_changed unless the host shows the key that was confirmed."""
    if ssh_keys.HostKey.of(expected) != found:
        raise host_key_changed(address, expected, found.fingerprint)


def _keys(text: str) -> Iterator[ssh_keys.HostKey]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            yield ssh_keys.HostKey.of(line)


def _knock(parts: SshAddress, address: str, seconds: float) -> None:
    """ssh-keyscan does not say why it found nothing; the first line of the other side does."""
    import socket

    try:
        with socket.create_connection((parts.host, parts.port), seconds) as connection:
            # Web servers, engines among them, say nothing until they are spoken to.
            connection.sendall(b"SSH-2.0-Drydock\r\n")
            greeting = connection.recv(255)
    except socket.gaierror as error:
        raise UserError("host_unknown_name", address=address, raw=str(error)) from error
    except ConnectionRefusedError as error:
        raise UserError("host_ssh_refused", address=address, raw=str(error)) from error
    except TimeoutError as error:
        raise UserError(
            "host_ssh_timeout", address=address, seconds=f"{seconds:g}", raw=str(error)
        ) from error
    except OSError as error:
        raise UserError("host_ssh_failed", address=address, raw=str(error)) from error
    if not any(line.startswith(b"SSH-") for line in greeting.splitlines()):
        raise UserError("host_not_ssh", address=address, raw=greeting.decode(errors="replace"))


def _look(route: Route) -> str:
    """What is at the path of the engine's socket: "usable", "denied", "missing", or "" when ssh may not look."""
    with tempfile.TemporaryDirectory(dir=scratch.folder()) as folder, _in_memory(route.key) as key:
        command = _ssh(route, Path(folder), [], f"sh -c '{look_script(route.parts.path)}'")
        try:
            told = subprocess.run(
                command, stdin=key, capture_output=True, text=True, timeout=5, check=False, env=_environment()
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
    word = told.stdout.strip()
    return word if word in {"usable", "denied", "missing"} else ""


def look_script(path: str) -> str:
    """The characters of a path are few (see addresses), so it needs no quotes."""
    return f"if test -S {path}; then if test -w {path}; then echo usable; else echo denied; fi; else echo missing; fi"


# How ssh is called


def _ssh(route: Route, folder: Path, options: Sequence[str], *remote: str) -> list[str]:
    """ssh with nothing but what is said here: no configuration, no agent, no questions."""
    parts, known = route.parts, folder / "known_hosts"
    known.write_text(ssh_keys.HostKey.of(route.host_key).line("engine") + "\n")
    settings = {
        "BatchMode": "yes", "StrictHostKeyChecking": "yes", "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": "/dev/null", "HostKeyAlias": "engine", "UpdateHostKeys": "no", "CheckHostIP": "no",
        "IdentityFile": "/proc/self/fd/0", "IdentitiesOnly": "yes", "IdentityAgent": "none",
        "PreferredAuthentications": "publickey", "ForwardAgent": "no", "ForwardX11": "no", "ControlPath": "none",
        "ConnectTimeout": f"{CONNECT_SECONDS:.0f}", "ServerAliveInterval": ALIVE_SECONDS,
        "ServerAliveCountMax": ALIVE_COUNT, "LogLevel": "INFO",
    }  # fmt: skip
    chosen = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    to = ["-p", str(parts.port), "-l", parts.user, "--", parts.host]
    # Without -n a remote command would be given ssh's standard input, which holds the key.
    return ["ssh", "-F", "/dev/null", "-n", "-T", *chosen, *options, *to, *remote]


def _environment() -> dict[str, str]:
    """English messages, and none of Drydock's own secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C"}


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[int]:
    """A file that is in no folder and goes with the last process that has it open."""
    number = os.memfd_create("key")
    try:
        os.fchmod(number, 0o600)  # ssh refuses a key that others may read
        os.write(number, text.encode())
        yield number
    finally:
        os.close(number)
