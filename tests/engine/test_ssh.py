"""Engines over ssh: a real ssh server in front of a private engine."""

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from config.demo import images as samples
from config.demo.engines import PrivateEngine
from images import ssh_keys
from images.engine import read, scratch, ssh
from images.engine.client import Connection, Engine, EngineCut, open_engine
from images.errors import UserError
from images.forms.ssh import restriction
from images.hosts import checks, freshness
from images.hosts.watch import Watcher
from images.jobs import life
from images.models import CheckState, Copy, Host, HostState, Job, JobState
from images.removal import removal_start
from tests import factories
from tests.conftest import free_port
from tests.engine.test_sync import APP, BASE
from tests.engine.workers import Bench, wait_for
from tests.hub import running_hub
from tests.sshd import PrivateSshd

pytestmark = [pytest.mark.engine, pytest.mark.ssh, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sshd(make_sshd: Callable[..., PrivateSshd]) -> PrivateSshd:
    return make_sshd()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up sooner than in earnest."""
    monkeypatch.setattr(ssh, "CONNECT_SECONDS", 3.0)


def connection_to(engine: PrivateEngine, sshd: PrivateSshd) -> Connection:
    return Connection(sshd.address(engine.socket), ssh_key=sshd.key, ssh_host_key=sshd.host_key)


def host_of(engine: PrivateEngine, sshd: PrivateSshd, **fields: Any) -> Host:
    values = {"state": "new", "store_kind": "", "synced_at": None, "use_known_since": None} | fields
    return factories.make_host(
        "far", address=sshd.address(engine.socket), ssh_key=sshd.key, ssh_host_key=sshd.host_key, **values
    )


def problem(connection: Connection, **options: Any) -> UserError:
    with pytest.raises(UserError) as caught, open_engine(connection, **options):
        pass
    shown = f"{caught.value} {caught.value.raw} {caught.value.values}"
    assert "PRIVATE KEY" not in shown
    assert "%(" not in str(caught.value)
    return caught.value


def clients(address: str) -> list[int]:
    """The ssh processes that go to the port of this address."""
    port, found = address.rpartition("@")[2].partition(":")[2].partition("/")[0], []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == b"ssh" and port.encode() in words:
                found.append(int(entry.name))
    return found


def ping_until_it_fails(opened: Engine) -> None:
    for _ in range(20):  # ssh takes a moment to notice
        opened.ping()
        time.sleep(0.05)


# Using an engine


def test_host_is_synced_and_its_images_are_removed(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    with engine.client() as api:
        samples.load(api, samples.Image(["app:1"], [BASE, APP]))
    host = host_of(engine, sshd)
    freshness.host_sync(host.pk)
    host.refresh_from_db()
    assert (host.state, host.engine_kind, host.image_count) == (HostState.ONLINE, "docker", 1)
    with mock.patch.object(life, "dispatch"):
        job = removal_start(by=factories.make_admin(), copies=Copy.objects.all())[0]
    life.job_carry_out(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, job.error_raw
    with engine.client() as api:
        assert api.images() == []


def test_tunnel_is_shared_and_ends_when_nobody_uses_it(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    connection = connection_to(engine, sshd)

    def use() -> None:
        with open_engine(connection) as opened:
            read.info(opened)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_engine(connection) as opened:
        read.list_images(opened)
    assert len(clients(connection.address)) == 1
    assert sshd.log.count("Accepted publickey") == 1
    ssh.TUNNELS.close_idle(60)
    assert len(clients(connection.address)) == 1
    ssh.TUNNELS.close_idle(0)
    wait_for(lambda: not clients(connection.address), 2)


def test_tunnel_that_died_is_opened_again(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    connection = connection_to(engine, sshd)
    with open_engine(connection) as opened:
        sshd.stop()
        with pytest.raises(UserError) as caught:
            ping_until_it_fails(opened)
        assert caught.value.code == "host_gone"
    assert problem(connection).code == "host_ssh_refused"
    sshd.start()
    with open_engine(connection) as opened:
        opened.ping()


def test_way_that_fell_silent_is_not_used_again(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    connection = connection_to(engine, sshd)
    with open_engine(connection):
        pass
    before = clients(connection.address)
    sshd.pause()
    assert problem(connection, reach_seconds=0.5).code == "host_timeout"
    assert problem(connection, reach_seconds=0.5).code == "host_ssh_timeout"
    sshd.cont()
    with open_engine(connection, reach_seconds=2):
        assert clients(connection.address) != before


@pytest.mark.parametrize(
    "options",
    [
        {"restriction": 'restrict,port-forwarding,command="/bin/false"'},
        {"settings": ("AllowTcpForwarding local",)},
        {
            "settings": (
                "PermitTTY no",
                "ForceCommand /bin/false",
                "X11Forwarding no",
                "AllowAgentForwarding no",
            )
        },
    ],
)
def test_little_has_to_be_allowed(
    engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd], options: Any
) -> None:
    with open_engine(connection_to(engine, make_sshd(**options))) as opened:
        opened.ping()


def test_key_may_be_limited_to_the_socket_of_one_engine(
    engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd]
) -> None:
    with open_engine(connection_to(engine, make_sshd(restriction=restriction(str(engine.socket))))) as opened:
        opened.ping()
    elsewhere = connection_to(engine, make_sshd(restriction=restriction("/run/other.sock")))
    assert problem(elsewhere).code == "host_ssh_no_way"


# What goes wrong, in words


def test_what_is_wrong_is_said_in_words(
    engine: PrivateEngine, sshd: PrivateSshd, hung_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = connection_to(engine, sshd)
    stranger = ssh_keys.new_private_key()
    assert problem(replace(good, ssh_key=stranger)).code == "host_ssh_auth"
    assert problem(replace(good, ssh_host_key="")).code == "host_key_unknown"
    missing = problem(replace(good, address=sshd.address("/nowhere/docker.sock")))
    assert (missing.code, missing.values["path"]) == ("host_ssh_no_socket", "/nowhere/docker.sock")
    down = replace(good, address=f"ssh://root@127.0.0.1:{free_port()}")
    assert problem(down).code == "host_ssh_refused"
    assert problem(replace(good, address="ssh://root@no-such-name.invalid")).code == "host_unknown_name"
    silent = replace(good, address=f"ssh://root@127.0.0.1:{hung_port}")
    began = time.monotonic()
    assert problem(silent).code == "host_ssh_timeout"
    assert time.monotonic() - began < 5
    monkeypatch.setenv("PATH", "/nowhere")
    assert problem(good).code == "host_no_ssh_client"


def test_host_key_that_changed_is_refused(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    connection = connection_to(engine, sshd)
    with open_engine(connection):
        pass
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    error = problem(connection)
    assert error.code == "host_key_changed"
    old, new = ssh_keys.HostKey.of(connection.ssh_host_key), ssh_keys.HostKey.of(sshd.host_key)
    assert (error.values["expected"], error.values["found"]) == (old.fingerprint, new.fingerprint)
    assert sshd.log.count("Accepted publickey") == 1, "nothing was proved to a stranger"
    with open_engine(replace(connection, ssh_host_key=sshd.host_key)):
        pass


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"settings": ("AllowStreamLocalForwarding no",)}, "host_ssh_forwarding"),
        ({"settings": ("AllowTcpForwarding no",)}, "host_ssh_forwarding"),
        ({"settings": ("DisableForwarding yes",)}, "host_ssh_forwarding"),
        ({"restriction": 'restrict,command="false"'}, "host_ssh_no_way"),
    ],
)
def test_forwarding_that_is_forbidden_is_said(
    engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd], options: Any, code: str
) -> None:
    assert problem(connection_to(engine, make_sshd(**options))).code == code


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that every user of this machine may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="drydock-t-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_user_who_may_not_open_the_socket_is_said(sshd: PrivateSshd, open_folder: Path) -> None:
    """`nobody` is on every machine, but has no shell to look with: that part is run without ssh."""
    path = open_folder / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o600)
        wanted = Connection(sshd.address(path, user="nobody"), ssh_key=sshd.key, ssh_host_key=sshd.host_key)
        assert problem(wanted).code == "host_ssh_no_way"
        with mock.patch.object(ssh, "_look", lambda route: looked_at_by("nobody", route.parts.path)):
            error = problem(wanted)
    assert (error.code, error.values["user"]) == ("host_ssh_permission", "nobody")


def looked_at_by(user: str, path: str) -> str:
    command = ["sh", "-c", ssh.look_script(path)]
    return subprocess.run(command, user=user, capture_output=True, text=True, check=True).stdout.strip()


# Checking an address


def checked(connection: Connection) -> Any:
    check = checks.address_check_start(by=factories.make_user(), connection=connection)
    checks.address_check_carry_out(check.pk)
    check.refresh_from_db()
    assert check.ssh_key == ""
    return check


def test_check_learns_the_host_key_and_reaches_the_engine(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    check = checked(replace(connection_to(engine, sshd), ssh_host_key=""))
    assert check.state == CheckState.REACHED, check.error_raw
    assert check.result["ssh_host_key"] == sshd.host_key
    assert check.result["engine_kind"] == "docker"


def test_check_compares_with_the_key_that_was_confirmed(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    connection = connection_to(engine, sshd)
    assert checked(connection).state == CheckState.REACHED
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    check = checked(connection)
    assert (check.state, check.error_code) == (CheckState.FAILED, "host_key_changed")
    assert check.result["ssh_host_key"] == sshd.host_key, "it is shown, so that it can be accepted"


def test_check_tells_the_host_key_also_when_the_own_key_is_refused(
    engine: PrivateEngine, sshd: PrivateSshd
) -> None:
    stranger = replace(connection_to(engine, sshd), ssh_key=ssh_keys.new_private_key(), ssh_host_key="")
    check = checked(stranger)
    assert (check.error_code, check.result["ssh_host_key"]) == ("host_ssh_auth", sshd.host_key)


def test_check_says_what_answers_there(sshd: PrivateSshd, hung_port: int, make_engine: Any) -> None:
    def code(address: str) -> str:
        return str(checked(Connection(address, ssh_key=sshd.key)).error_code)

    assert code(f"ssh://root@127.0.0.1:{free_port()}") == "host_ssh_refused"
    assert code("ssh://root@no-such-name.invalid") == "host_unknown_name"
    assert code(f"ssh://root@127.0.0.1:{hung_port}") == "host_ssh_timeout"
    with running_hub() as registry:
        assert code(f"ssh://root@{registry.host}") == "host_not_ssh"


# Watching, cutting, and what is left


def test_changes_are_known_within_two_seconds_and_watching_survives_a_restart_of_the_ssh_server(
    engine: PrivateEngine, sshd: PrivateSshd, watcher: Watcher
) -> None:
    host = host_of(engine, sshd)
    watcher.round()
    watcher.round()

    def is_watched() -> bool:
        host.refresh_from_db()
        return host.is_online and host.watched_since is not None

    def appears(name: str) -> None:
        with engine.client() as api:
            samples.load(api, samples.Image([f"{name}:1"], [BASE]))
        wait_for(lambda: Copy.objects.filter(references__name=f"{name}:1").exists(), 2)

    wait_for(is_watched, 15)
    appears("one")
    sshd.stop()
    wait_for(lambda: Host.objects.filter(state=HostState.OFFLINE).exists(), 10)
    sshd.start()
    wait_for(is_watched, 15)
    appears("two")


def test_cut_ends_a_read_over_a_hung_server_within_two_seconds(
    engine: PrivateEngine, sshd: PrivateSshd
) -> None:
    connection = connection_to(engine, sshd)
    times: list[float] = []

    def read_until_cut() -> None:
        with open_engine(connection) as opened:
            sshd.pause()
            threading.Timer(0.3, cut, (opened,)).start()
            read.list_images(opened)

    def cut(opened: Engine) -> None:
        times.append(time.monotonic())
        opened.cut()

    with pytest.raises(EngineCut):
        read_until_cut()
    assert time.monotonic() - times[0] < 2
    wait_for(lambda: not clients(connection.address), 2)


def test_cut_ends_a_connection_that_ssh_still_makes(sshd: PrivateSshd, hung_port: int) -> None:
    cuts: list[Callable[[], None]] = []
    connection = Connection(f"ssh://root@127.0.0.1:{hung_port}", ssh_key=sshd.key, ssh_host_key=sshd.host_key)
    threading.Timer(0.5, lambda: cuts[0]()).start()
    began = time.monotonic()
    with pytest.raises(EngineCut), open_engine(connection, give_cut=cuts.append):
        pass
    assert time.monotonic() - began < 1.5
    wait_for(lambda: not clients(connection.address), 2)


def be_cut(connection: Connection) -> None:
    with open_engine(connection) as opened:
        opened.cut()
        read.info(opened)


def test_one_who_is_cut_leaves_the_others_alone(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    connection = connection_to(engine, sshd)
    with open_engine(connection) as other:
        with pytest.raises(EngineCut):
            be_cut(connection)
        other.ping()


def test_no_file_holds_the_key(
    engine: PrivateEngine, sshd: PrivateSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path) if len(str(tmp_path)) < 60 else None)
    connection = connection_to(engine, sshd)
    secret = sshd.key.splitlines()[2]
    with open_engine(connection):
        folder = scratch.folder()
        for path in folder.rglob("*"):
            assert not path.is_file() or secret not in path.read_text()
        assert folder.stat().st_mode & 0o077 == 0
        for pid in clients(connection.address):
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    assert secret not in repr(connection)
    assert secret not in repr(connection.route)


def test_far_side_is_never_given_the_key(
    engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd], tmp_path: Path
) -> None:
    took = tmp_path / "took"
    sshd = make_sshd(restriction=f'command="cat > {took}"')
    assert (
        problem(replace(connection_to(engine, sshd), address=sshd.address("/nowhere"))).code
        == "host_ssh_no_way"
    )
    assert took.read_text() == ""


@pytest.mark.services
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_worker_that_ends_leaves_no_ssh_behind(
    workers: Bench, engine: PrivateEngine, sshd: PrivateSshd, how: str
) -> None:
    host = host_of(engine, sshd)
    worker = workers.started("quick")
    workers.send("sync_host", host.pk, queue="quick")
    wait_for(lambda: Host.objects.get().state == HostState.ONLINE, 15)
    left = clients(host.address)
    assert len(left) == 1
    getattr(worker, how)()
    wait_for(lambda: not clients(host.address), 3)
    secret = sshd.key.splitlines()[2]
    found = subprocess.run(
        ["grep", "-rlF", "-e", secret, tempfile.gettempdir(), str(workers.directory)],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert found == ""


@pytest.mark.services
def test_healthy_host_syncs_within_two_seconds_beside_hung_ssh_servers(
    workers: Bench, engine: PrivateEngine, sshd: PrivateSshd, hung_port: int
) -> None:
    keys: dict[str, Any] = {"ssh_key": sshd.key, "ssh_host_key": sshd.host_key}
    address = f"ssh://root@127.0.0.1:{hung_port}"
    hung = [factories.make_host(address=address, synced_at=None, **keys) for _ in range(6)]
    healthy = host_of(engine, sshd)
    workers.started("quick", 4)
    for host in (*hung, healthy):
        workers.send("sync_host", host.pk, queue="quick")
    wait_for(lambda: Host.objects.get(pk=healthy.pk).synced_at, 2)
    pks = [host.pk for host in hung]
    wait_for(lambda: not Host.objects.filter(pk__in=pks).exclude(state=HostState.OFFLINE).exists(), 20)
    codes = set(Host.objects.filter(pk__in=pks).values_list("error_code", flat=True))
    assert codes == {"host_ssh_timeout"}
    wait_for(lambda: not clients(address), 3)


@pytest.mark.services
def test_hung_job_is_cancelled_within_two_seconds(
    workers: Bench, engine: PrivateEngine, sshd: PrivateSshd
) -> None:
    host = host_of(engine, sshd)
    workers.started("engine")
    engine.pause()
    job = Job.objects.create(host=host, kind="ask", queue="engine")
    workers.send("carry_out", job.pk, queue="engine")
    wait_for(lambda: Job.objects.get().state == JobState.RUNNING, 15)
    wait_for(lambda: clients(host.address), 5)
    life.job_cancel(by=factories.make_admin(), job=job)
    assert wait_for(lambda: Job.objects.get().state == JobState.CANCELLED, 5) < 2
    engine.cont()


def test_folders_of_dead_processes_are_tidied_up(tmp_path: Path) -> None:
    left, own = tmp_path / f"{scratch.PREFIX}dead", scratch.folder()
    left.mkdir()
    os.utime(left, (1, 1))
    scratch.tidy(tmp_path)
    assert not left.exists()
    os.utime(own, (1, 1))
    scratch.tidy(own.parent)
    assert own.exists(), "one that is in use stays"


def test_a_ping_over_the_tunnel_takes_a_few_milliseconds(engine: PrivateEngine, sshd: PrivateSshd) -> None:
    def median(connection: Connection) -> float:
        with open_engine(connection) as opened:
            return sorted(_timed(opened) for _ in range(200))[100]

    direct, far = median(Connection(engine.address)), median(connection_to(engine, sshd))
    print(f"ping: {direct * 1000:.2f} ms direct, {far * 1000:.2f} ms over ssh")
    assert far < direct + 0.02


def _timed(engine: Engine) -> float:
    began = time.perf_counter()
    engine.ping()
    return time.perf_counter() - began
