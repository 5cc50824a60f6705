"""`make run`: its ports, its lock, its Redis, its first admin and host, and once the whole of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from config import run
from config.demo import __main__ as demo
from config.demo import engines
from config.programs import BASE_DIR, programs
from config.redis_server import RedisFailed, free_port, is_answering
from config.run import CannotRun
from config.supervisor import ProgramFailed
from images.models import Host, User
from tests import factories
from tests.running import ENVIRONMENT, Running

DOCKER_SOCKET = Path("/var/run/docker.sock")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# Ports


def test_port_that_is_asked_for_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("PORT", str(port))
    assert run.choose_port() == port


def test_port_that_is_taken_is_refused_with_another_to_try(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setenv("PORT", str(taken))
    with pytest.raises(CannotRun, match=rf"Port {taken} is taken.*PORT={taken + 1}$"):
        run.choose_port()


def test_demo_says_that_its_port_is_taken_before_it_starts_an_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, taken: int
) -> None:
    monkeypatch.setenv("PORT", str(taken))
    monkeypatch.setattr(engines, "why_not", lambda: "")
    monkeypatch.setattr(demo, "running_engines", pytest.fail)
    with pytest.raises(CannotRun, match=f"Port {taken} is taken"):
        demo.demo(tmp_path)


def test_first_free_port_is_chosen_when_none_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(run, "FIRST_PORT", taken)
    chosen = run.choose_port()
    assert taken < chosen < taken + run.PORTS
    with socket.create_server(("127.0.0.1", chosen)):
        assert run.choose_port() > chosen


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    monkeypatch.setattr(run, "FIRST_PORT", taken)
    monkeypatch.setattr(run, "PORTS", 1)
    with pytest.raises(CannotRun, match=rf"Ports {taken} to {taken} are taken\. Choose another: PORT="):
        run.choose_port()


def test_port_that_was_closed_a_moment_ago_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart must not wait for the kernel to forget the connections of the last run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    monkeypatch.setenv("PORT", str(port))
    assert run.choose_port() == port


@pytest.mark.parametrize("port", ["eight", "70000", "0"])
def test_port_that_is_none_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)
    with pytest.raises(CannotRun):
        run.choose_port()


# One at a time


def test_locked_data_refuses_a_second_start_and_says_where_the_first_is(tmp_path: Path) -> None:
    with run.locked(tmp_path) as announce:
        announce("http://localhost:8123/")
        with pytest.raises(CannotRun) as refused, run.locked(tmp_path):
            pass
    told = str(refused.value)
    assert f"Drydock runs already on this data: http://localhost:8123/ (process {os.getpid()})" in told
    assert "Open it, or stop it first." in told
    with run.locked(tmp_path):
        pass


# Redis


def test_redis_of_our_own_is_there_while_it_is_needed(tmp_path: Path) -> None:
    with run.redis_for(tmp_path):
        url = os.environ["REDIS_URL"]
        assert is_answering(url)
        with redis.Redis.from_url(url) as client:
            assert client.config_get("dir") == {"dir": str(tmp_path / "redis")}
            assert client.config_get("appendonly") == {"appendonly": "yes"}, "a queue outlives a restart"
    assert not is_answering(url)
    assert "REDIS_URL" not in os.environ


def test_redis_of_our_own_ends_with_a_failure_too(tmp_path: Path) -> None:
    urls = []

    def start() -> None:
        with run.redis_for(tmp_path):
            urls.append(os.environ["REDIS_URL"])
            raise ProgramFailed

    with pytest.raises(ProgramFailed):
        start()
    assert not is_answering(urls[0])


def test_redis_that_is_named_is_used_and_left_running(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    with run.redis_for(tmp_path):
        assert os.environ["REDIS_URL"] == redis_url
    assert os.environ["REDIS_URL"] == redis_url
    assert is_answering(redis_url)
    assert not (tmp_path / "redis").exists()


def test_redis_that_is_named_and_silent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    with pytest.raises(CannotRun) as refused, run.redis_for(tmp_path):
        pass
    assert "does not answer" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_redis_url_that_is_none_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "localhost:6379")
    with pytest.raises(CannotRun), run.redis_for(tmp_path):
        pass


# How it ends


@pytest.fixture
def _signals() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def raising(error: BaseException) -> Callable[[], None]:
    def start() -> None:
        raise error

    return start


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize("kind", [CannotRun, RedisFailed, ProgramFailed])
def test_what_can_be_said_in_words_is_said_and_fails(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.guarded(raising(kind("Port 8000 is taken."))) == 1
    assert capsys.readouterr() == ("", "\nPort 8000 is taken.\n")


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_well_and_an_impatient_second_one_changes_nothing(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned = []

    def start() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append("all")

    assert run.guarded(start) == 0
    assert cleaned == ["all"]
    assert capsys.readouterr().out == "\nStopping ...\nStopped.\n"


def test_data_is_kept_in_the_project_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.data_directory() == BASE_DIR / ".data"
    monkeypatch.setenv("DATA_DIR", "")
    assert run.data_directory() == BASE_DIR / ".data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", "here")
    assert run.data_directory() == tmp_path.resolve() / "here"


# The first admin and the first host


@pytest.mark.django_db
def test_first_admin_is_made_once_and_the_password_works() -> None:
    sentence, hint = run.first_admin()
    password = sentence.rpartition(" ")[2]
    admin = User.objects.get()
    assert (admin.username, admin.is_superuser) == ("admin", True)
    assert admin.check_password(password)
    assert "once" in hint
    assert run.first_admin() == []
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_no_admin_is_made_where_somebody_can_sign_in() -> None:
    ada = factories.make_user("ada")
    assert run.first_admin() == []
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert run.first_admin() != []


@pytest.fixture
def podman_socket(work_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An engine's socket where Podman has it; in a short folder, because a socket's path is."""
    if DOCKER_SOCKET.exists():
        pytest.skip("this machine has an engine of its own")
    path = work_directory / "runtime" / "podman" / "podman.sock"
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path.parent.parent))
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        yield path
    path.unlink()
    path.parent.rmdir()
    path.parent.parent.rmdir()


@pytest.mark.django_db
def test_engine_of_this_machine_is_the_first_host(podman_socket: Path) -> None:
    run.first_admin()
    assert run.engine_socket() == podman_socket
    (line,) = run.first_host()
    assert str(podman_socket) in line
    host = Host.objects.get()
    assert (host.address, host.name) == (f"unix://{podman_socket}", socket.gethostname()[:100])
    assert run.first_host() == []
    assert Host.objects.count() == 1


def test_podman_of_root_is_found_where_there_is_no_other(
    podman_socket: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "PODMAN_SOCKET", podman_socket)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run.engine_socket() == podman_socket


@pytest.mark.django_db
def test_where_hosts_are_known_none_is_added(podman_socket: Path) -> None:
    factories.make_admin()
    factories.make_host("mine")
    assert run.first_host() == []
    assert [host.name for host in Host.objects.all()] == ["mine"]


def test_ordinary_file_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if DOCKER_SOCKET.exists():
        pytest.skip("this machine has an engine of its own")
    (tmp_path / "docker.sock").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run.engine_socket() is None


# The whole of it


@pytest.fixture
def start(work_directory: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []
    data = Path(tempfile.mkdtemp(prefix="whole-", dir=work_directory))  # its own: an admin made once stays

    def make(port: int = 0) -> Running:
        started.append(Running(data, port or free_port()))
        return started[-1]

    yield make
    for running in started:
        running.kill()


@pytest.mark.services
def test_whole_of_it_starts_serves_and_leaves_nothing_behind(start: Callable[..., Running]) -> None:
    site = start()
    assert '"status": "ok"' in site.answer("/health/")
    assert 'name="password"' in site.answer("/account/login/")
    site.until(lambda: "Ctrl-C stops it." in site.output)
    assert f"Drydock is at http://localhost:{site.port}/" in site.output
    assert len(re.findall(r"Sign in as admin with the password \S{12}\n", site.output)) == 1
    commands = " ".join(site.processes().values())
    for program in programs(port=site.port, data=site.data):
        assert " ".join(program.command[1:4]) in commands, program.name
    site.until(lambda: site.health("worker", "--queues quick", WORKER_QUEUE="quick") == 0)
    site.until(lambda: site.health("watch", "manage.py watch") == 0)

    second = start()
    assert second.process.wait(60) == 1
    second.reader.join(5)
    assert f"Drydock runs already on this data: http://localhost:{site.port}/" in second.output
    assert site.process.poll() is None

    assert site.stop() == 0
    assert site.output.endswith("\nStopping ...\nStopped.\n")
    assert site.processes() == {}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(site.url, timeout=5)

    again = start(site.port)
    assert '"status": "ok"' in again.answer("/health/")
    again.until(lambda: "Ctrl-C stops it." in again.output)
    assert "password" not in again.output
    assert again.stop() == 0
    assert again.processes() == {}


@pytest.mark.services
def test_program_that_is_killed_comes_back_and_the_killed_whole_takes_all_along(
    start: Callable[..., Running],
) -> None:
    site = start()
    site.answer("/health/")
    (web,) = (pid for pid, command in site.processes().items() if "uvicorn" in command)
    os.kill(web, signal.SIGKILL)
    site.until(lambda: "web ended with status -9; starting it again." in site.output)
    assert '"status": "ok"' in site.answer("/health/")
    site.process.kill()
    site.process.wait(10)
    deadline = time.monotonic() + 30
    while left := site.processes():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_sweeper_of_the_demo_lets_ctrl_c_pass(tmp_path: Path) -> None:
    """It outlives the demo that was killed; what ends the demo in order must not end it before."""
    command = [sys.executable, "-m", "config.demo.sweeper", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sweeper:
        assert sweeper.stdout
        sweeper.stdout.readline()
        sweeper.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            sweeper.wait(0.5)
        _, said = sweeper.communicate(timeout=20)
    assert (sweeper.returncode, said) == (0, b"")
