"""Fixtures every test may use: engines, Redis, the running site and a browser, all private and all real."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import redis
import time_machine
from django.db import connection
from django.db.models.signals import post_migrate

from config.demo import engines
from config.demo.engines import PrivateEngine
from config.redis_server import RedisServer
from images import access
from images.engine import buildx
from images.engine.ssh import TUNNELS
from images.live import progress
from images.models import Role
from tests import pages, podman, registry, sshd
from tests.engine.extra import BY_HAND
from tests.git_server import GitServer, git_server
from tests.podman import PrivatePodman
from tests.registry import PrivateRegistry
from tests.sshd import PrivateSshd

pytest_plugins = ["tests.browser.plugin"]

LEFT_OUT: dict[str, int] = {}
"""Why tests were left out, and how many."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", action="store_true", help="only tests that use the database")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what can not run on this machine; says so at the end, and fails where CI is set.

    Tests of the running site come last: once it runs, its workers would take the jobs that other tests carry out
    themselves.
    """
    if config.getoption("--database"):
        without = [item for item in items if not _uses_database(item)]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if _uses_database(item)]
    items.sort(key=lambda item: "live_site" in getattr(item, "fixturenames", ()))
    kinds = (
        ("engine", engines.why_not),
        ("graph_driver", _why_no_graph_driver),
        ("registry", registry.why_not),
        ("ssh", sshd.why_not),
        ("podman", podman.why_not),
        ("buildx", _why_no_buildx),
        ("browser", _why_no_browser),
        ("client", _why_no_client),
        ("gettext", _why_no_gettext),
    )
    for mark, why_not in kinds:
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and (reason := why_not()):
            LEFT_OUT[f"{mark} tests: {reason}"] = len(marked)
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


def _uses_database(item: pytest.Item) -> bool:
    fixtures = {"db", "transactional_db"}.intersection(getattr(item, "fixturenames", ()))
    return bool(fixtures or item.get_closest_marker("django_db"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Of pytest-xdist, in the process that the others report to: they alone know what they left out."""
    LEFT_OUT.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = LEFT_OUT
    if LEFT_OUT and os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for reason, count in LEFT_OUT.items():
        terminalreporter.write_line(f"LEFT OUT {count} {reason}", yellow=True)


def _why_no_buildx() -> str:
    return "" if buildx.program() else "no docker-buildx is installed"


def _why_no_client() -> str:
    return "" if shutil.which("docker") else "docker's client is not installed"


def _why_no_graph_driver() -> str:
    return "the engines have the containerd store" if engines.STORE == "containerd" else ""


def _why_no_gettext() -> str:
    return "" if shutil.which("xgettext") else "gettext is not installed"


def _why_no_browser() -> str:
    return "" if shutil.which("chromium") or shutil.which("google-chrome") else "no chromium is installed"


@pytest.fixture
def still_clock() -> Iterator[None]:
    """It is pages.NOW all the time."""
    with time_machine.travel(pages.NOW, tick=False):
        yield


@pytest.fixture(scope="session", autouse=True)
def _roles_survive_a_flush() -> None:
    """A transactional test empties every table, the built-in roles that a migration wrote included."""
    post_migrate.connect(_write_roles, dispatch_uid="tests")


def _write_roles(using: str, **kwargs: Any) -> None:
    from django.db import connections

    if Role._meta.db_table not in connections[using].introspection.table_names():
        return
    for position, (slug, (name, permissions)) in enumerate(access.BUILT_IN_ROLES.items()):
        values = {"name": name, "permissions": sorted(permissions), "is_built_in": True, "position": position}
        Role.objects.using(using).get_or_create(slug=slug, defaults=values)


# Engines


@pytest.fixture(scope="session")
def work_directory() -> Iterator[Path]:
    """A short path on a real disk: sockets and overlay mounts are below it."""
    path = Path(tempfile.mkdtemp(prefix="drydock-e-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def _shared_engine(work_directory: Path) -> Iterator[PrivateEngine]:
    engine = PrivateEngine(work_directory / "shared", "shared")
    engine.start()
    yield engine
    engine.destroy()


@pytest.fixture
def engine(_shared_engine: PrivateEngine) -> PrivateEngine:
    """A private engine, empty at the start of each test. Whoever stops or kills it may leave it so."""
    if not _shared_engine.is_running:
        _shared_engine.start()
    _shared_engine.cont()
    _shared_engine.wipe()
    return _shared_engine


@pytest.fixture
def make_engine(work_directory: Path) -> Iterator[Callable[..., PrivateEngine]]:
    """Starts further engines: `make_engine("b", tcp_port=0)`; a port of 0 takes a free one."""
    started: list[PrivateEngine] = []

    def make(
        name: str = "",
        *,
        tcp_port: int | None = None,
        arguments: tuple[str, ...] = (),
        before_exec: Callable[[], None] | None = None,
    ) -> PrivateEngine:
        name = name or f"engine{len(started)}"
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work_directory))
        port = free_port() if tcp_port == 0 else tcp_port
        engine = PrivateEngine(directory, name, port, arguments, before_exec)
        started.append(engine)
        return engine.start()

    yield make
    for engine in started:
        engine.destroy()


@pytest.fixture(scope="session")
def _podman(work_directory: Path) -> Iterator[PrivatePodman]:
    service = PrivatePodman(work_directory / "podman").start()
    yield service
    service.destroy()


@pytest.fixture
def address_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Of the engines that tests/engine/extra.py names."""

    def address(name: str) -> str:
        if name in BY_HAND:
            return BY_HAND[name]
        service: PrivatePodman = request.getfixturevalue("_podman")
        return service.address

    return address


@pytest.fixture
def make_registry(work_directory: Path) -> Iterator[Callable[..., PrivateRegistry]]:
    """Starts registries: `make_registry()`, `make_registry(with_password=True)`."""
    started: list[PrivateRegistry] = []

    def make(**options: Any) -> PrivateRegistry:
        directory = Path(tempfile.mkdtemp(prefix="registry-", dir=work_directory))
        started.append(PrivateRegistry(directory, **options))
        return started[-1].start()

    yield make
    for each in started:
        each.cont()
        each.stop()


@pytest.fixture
def make_sshd(work_directory: Path) -> Iterator[Callable[..., PrivateSshd]]:
    """Starts ssh servers: `make_sshd()`, `make_sshd(settings=("AllowStreamLocalForwarding no",))`."""
    started: list[PrivateSshd] = []

    def make(**options: Any) -> PrivateSshd:
        directory = Path(tempfile.mkdtemp(prefix="sshd-", dir=work_directory))
        started.append(PrivateSshd(directory, **options))
        return started[-1].start()

    yield make
    for each in started:
        each.cont()
        each.stop()
    TUNNELS.close_idle(0)


@pytest.fixture
def hung_port() -> Iterator[int]:
    """A port of 127.0.0.1 that accepts connections and never answers: a host that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# git


@pytest.fixture
def repository(tmp_path: Path) -> str:
    """A bare repository with a branch, behind file://."""
    work, bare = tmp_path / "work", tmp_path / "shop.git"
    environment = os.environ | {
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(work), *arguments], check=True, capture_output=True, env=environment)

    (work / "api").mkdir(parents=True)
    git("init", "-q", "-b", "main")
    (work / "api" / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (work / "Dockerfile").write_text("FROM debian\n")
    (work / "api" / "main.txt").write_text("main")
    (work / ".gitattributes").write_text("Dockerfile export-ignore\n")
    (work / "api" / "link").symlink_to("/etc/passwd")
    git("add", "-A")
    git("commit", "-qm", "one")
    git("checkout", "-q", "-b", "feature/x")
    (work / "api" / "feature.txt").write_text("feature")
    git("add", "-A")
    git("commit", "-qm", "two")
    git("checkout", "-q", "main")
    git("clone", "-q", "--bare", str(work), str(bare))
    return f"file://{bare}"


@pytest.fixture
def make_git_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., GitServer]]:
    """Starts git servers behind https, all of them trusted: `make_git_server()`, `make_git_server("127.0.0.2")`."""
    trusted = tmp_path / "trusted.pem"
    trusted.touch()
    monkeypatch.setenv("GIT_SSL_CAINFO", str(trusted))
    with contextlib.ExitStack() as stack:

        def make(address: str = "127.0.0.1") -> GitServer:
            directory = Path(tempfile.mkdtemp(prefix="git-server-", dir=tmp_path))
            server = stack.enter_context(git_server(directory, address))
            with trusted.open("a") as file:
                file.write(server.certificate.read_text())
            return server

        yield make


@pytest.fixture
def repositories(make_git_server: Callable[..., GitServer]) -> GitServer:
    return make_git_server()


# Redis and PostgreSQL


@pytest.fixture(scope="session")
def redis_server(work_directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(work_directory / "redis", is_durable=False).start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """A private Redis, empty at the start of each test; a test that killed it gets a new one."""
    if not redis_server.is_running:
        redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def live_redis(redis_url: str, settings: Any) -> Iterator[None]:
    """What the test itself publishes and reads goes through the private Redis."""
    settings.REDIS_URL = redis_url
    with mock.patch.object(progress, "_client", None), mock.patch.object(progress, "_silent_until", 0.0):
        yield
        progress.client().close()


@pytest.fixture
def own_redis(work_directory: Path) -> Iterator[str]:
    """For workers of a test: where the browser's tests run too, the workers of their site listen to the shared one."""
    server = RedisServer(work_directory / "own-redis", is_durable=False).start()
    yield server.url
    server.stop()


def closing(function: Callable[..., Any]) -> Callable[..., None]:
    """For a thread of a test: its database connection must not outlive it."""

    def call(*arguments: Any) -> None:
        try:
            function(*arguments)
        finally:
            connection.close()

    return call


def run(*command: str, **environment: str) -> str:
    """Runs a command in the project and gives its output; raises with the output when it fails."""
    result = subprocess.run(
        command, cwd=Path(__file__).parent.parent, env=os.environ | environment, text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    return result.stdout
