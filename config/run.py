"""`make run`: all of Drydock on one machine, with SQLite and a Redis of its own, and no root needed.

Reads `PORT` and `ADDRESS` (where the pages are served), `DATA_DIR`, `REDIS_URL` and `DATABASE_URL`.
"""

import contextlib
import errno
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from config.programs import BASE_DIR, programs
from config.redis_server import RedisFailed, RedisServer, is_answering
from config.supervisor import AlreadyRunning, ProgramFailed, Supervisor, end_with_parent, only_one

if TYPE_CHECKING:
    from images.models import User

FIRST_PORT, PORTS = 8000, 20
PODMAN_SOCKET = Path("/run/podman/podman.sock")  # the one that belongs to root


class CannotRun(Exception):
    """Why Drydock can not run here, and what to do; shown as it is."""


def main() -> int:
    return guarded(lambda: run(data_directory()))


def guarded(start: Callable[[], None]) -> int:
    """Runs it until it ends or a signal ends it; says in words what can be said so. Gives the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        start()
    except (CannotRun, RedisFailed, ProgramFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
    return 0


def _stop(number: int, frame: object) -> None:
    """Once: an impatient second Ctrl-C must not leave half of it running."""
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)
    print("\nStopping ...", flush=True)
    raise KeyboardInterrupt


def run(data: Path) -> None:
    address = os.environ.get("ADDRESS", "127.0.0.1")
    with locked(data) as announce, redis_for(data):
        port = choose_port()
        url = f"http://{'localhost' if address in {'127.0.0.1', '0.0.0.0'} else address}:{port}/"  # noqa: S104
        announce(url)
        prepare(data)
        lines = [*first_admin(), *first_host()]
        with running(data, address=address, port=port) as supervisor:
            print("\n".join([f"\nDrydock is at {url}", *lines, "Ctrl-C stops it.\n"]), flush=True)
            supervisor.watch()


def data_directory() -> Path:
    return Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data").resolve()


@contextlib.contextmanager
def locked(data: Path) -> Iterator[Callable[[str], None]]:
    """Gives a way to say where the pages are, for whoever tries to start a second time."""
    me = f"process {os.getpid()}"
    try:
        with only_one(data / "run.lock", me) as note:
            yield lambda url: note(f"{url} ({me})")
    except AlreadyRunning as error:
        raise CannotRun(f"Drydock runs already on this data: {error}\nOpen it, or stop it first.") from error


def choose_port() -> int:
    """`PORT` where it is set, else the first free one from 8000 on."""
    if wanted := os.environ.get("PORT"):
        port = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 else 0
        if not 0 < port < 65536:
            raise CannotRun(f"PORT={wanted} is no port: it is a number from 1 to 65535.")
        if not _is_free(port):
            raise CannotRun(f"Port {port} is taken. Choose another, such as PORT={port % 65535 + 1}")
        return port
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _is_free(port):
            return port
    raise CannotRun(f"Ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are taken. Choose another: PORT=...")


def _is_free(port: int) -> bool:
    address = os.environ.get("ADDRESS", "127.0.0.1")
    try:
        family, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotRun(f"ADDRESS={address} is no address of this machine: {error}") from error
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise CannotRun(f"Port {port} of {address} can not be used: {error.strerror}") from error
    return True


@contextlib.contextmanager
def redis_for(data: Path) -> Iterator[None]:
    """The Redis that `REDIS_URL` names, else one of our own; sets `REDIS_URL`."""
    if url := os.environ.get("REDIS_URL"):
        if not is_answering(url):
            raise CannotRun("The Redis that REDIS_URL names does not answer. Unset it to use one of our own.")
        yield
        return
    server = RedisServer(data / "redis", before_exec=end_with_parent).start()
    os.environ["REDIS_URL"] = server.url
    try:
        yield
    finally:
        server.stop()
        del os.environ["REDIS_URL"]


def prepare(data: Path) -> None:
    """Brings the database and the static files up to date; from here on Django may be used."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ["DATA_DIR"] = str(data)
    os.environ.setdefault("LOG_LEVEL", "WARNING")  # the terminal is for what needs somebody's attention
    data.mkdir(parents=True, exist_ok=True)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)


def first_admin() -> list[str]:
    """Makes an admin where nobody can sign in yet, and gives the lines that say so: shown this once only."""
    from images.models import User

    if User.objects.filter(is_active=True).exists():
        return []
    password, name = secrets.token_urlsafe(9), "admin"
    while User.objects.filter(username=name).exists():  # somebody who was switched off
        name += "1"
    User.objects.create_superuser(name, password=password)
    return [
        f"Sign in as {name} with the password {password}",
        "It is shown this once; change it under your name.",
    ]


def first_host() -> list[str]:
    """Registers this machine's engine where no host is known yet."""
    from images.models import Host

    path = engine_socket()
    if path is None or Host.objects.exists():
        return []
    from images.errors import UserError
    from images.hosts.changes import host_add

    with contextlib.suppress(UserError):
        host_add(by=an_admin(), name=socket.gethostname()[:100], address=f"unix://{path}")
        return [f"This machine's engine ({path}) is registered as a host."]
    return []


def engine_socket() -> Path | None:
    """The engine's socket that this user may use: Docker's, rootless Docker's, rootless Podman's, Podman's."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    places = [
        Path("/var/run/docker.sock"),
        runtime / "docker.sock",
        runtime / "podman" / "podman.sock",
        PODMAN_SOCKET,
    ]
    return next((path for path in places if path.is_socket() and os.access(path, os.R_OK | os.W_OK)), None)


def an_admin() -> "User":
    from images.models import User

    return User.objects.filter(is_active=True, is_superuser=True).order_by("pk")[0]


@contextlib.contextmanager
def running(data: Path, *, address: str, port: int) -> Iterator[Supervisor]:
    """Every program, started; ended when the block ends, whatever the reason."""
    supervisor = Supervisor(logs=data / "logs", environment=dict(os.environ))
    try:
        for program in programs(port=port, address=address, data=data):
            supervisor.start(program)
        yield supervisor
    finally:
        supervisor.stop()


if __name__ == "__main__":
    sys.exit(main())
