"""Adding, editing, checking hosts; what happens when one does not answer."""

import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone

from images import tasks
from images.engine import read
from images.engine.client import Connection
from images.engine.snapshots import EngineInfo
from images.errors import UserError
from images.hosts import changes, checks, freshness, identity, last_use
from images.models import AuditEntry, CheckState, Host, HostCheck, HostGroup, HostState, User
from tests import factories

pytestmark = pytest.mark.django_db

KEY = "-----BEGIN PRIVATE KEY-----\nsecret\n"


@pytest.fixture
def admin() -> User:
    return factories.make_admin()


@pytest.fixture
def woken(monkeypatch: Any) -> list[tuple[str, int]]:
    """The tasks that were sent instead of sending them."""
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(changes, "wake", lambda task, pk: sent.append((task, pk)))
    return sent


def test_added_host_is_audited_and_its_picture_taken(
    admin: User, woken: list[tuple[str, int]], django_capture_on_commit_callbacks: Any
) -> None:
    group = HostGroup.objects.create(name="ci")
    with django_capture_on_commit_callbacks(execute=True):
        host = changes.host_add(
            by=admin, name="a", address="tcp://10.0.0.1:2376", use_tls=True, tls_key=KEY, groups=[group]
        )
    assert woken == [("images.tasks.sync_host", host.pk)]
    assert list(host.groups.all()) == [group]
    entry = AuditEntry.objects.get(action="host.add")
    assert (entry.host, entry.actor) == (host, admin)
    assert "secret" not in str(entry.detail)


def test_key_is_stored_encrypted(admin: User, django_db_blocker: Any) -> None:
    host = changes.host_add(by=admin, name="a", address="tcp://10.0.0.1:2376", use_tls=True, tls_key=KEY)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT tls_key FROM images_host WHERE id = %s", [host.pk])
        assert "secret" not in cursor.fetchone()[0]
    assert Host.objects.get().tls_key == KEY


def test_name_that_is_taken_is_said(admin: User) -> None:
    factories.make_host("a")
    with pytest.raises(UserError) as caught:
        changes.host_add(by=admin, name="a", address="unix:///x")
    assert caught.value.code == "host_name_taken"


def test_another_address_is_another_engine(admin: User) -> None:
    host = factories.make_host("a", engine_id="ID", engine_version="28", inventory_digest="x")
    changes.host_edit(by=admin, host=host, name="b", address="unix:///else.sock")
    host.refresh_from_db()
    assert (host.name, host.state, host.engine_id, host.use_known_since) == ("b", HostState.NEW, "", None)
    assert host.inventory_digest == ""


def test_removed_host_leaves_its_images_to_others(admin: User) -> None:
    one, two = factories.make_host("one"), factories.make_host("two")
    copy = factories.make_copy(one, "app:1")
    factories.make_copy(two, "app:1", image=copy.image)
    changes.host_remove(by=admin, host=one)
    assert list(Host.objects.all()) == [two]
    assert copy.image.copies.count() == 1
    assert AuditEntry.objects.get(action="host.remove").target == "one"


def test_host_registered_twice_is_noticed() -> None:
    one = factories.make_host("one", engine_id="ID", address="unix:///a")
    two = factories.make_host("two", engine_id="ID", address="unix:///b")
    three = factories.make_host("three", address="unix:///a")
    factories.make_host("other", address="unix:///c")
    factories.make_host("beside", engine_id="ID", address="unix:///d", root_directory="/srv/docker")
    assert set(identity.hosts_like(one)) == {two, three}
    assert set(identity.hosts_like(three)) == {one}


def test_failing_host_is_tried_less_and_less_often() -> None:
    host = factories.make_host("a")
    since = host.state_since
    waits = []
    for _ in range(9):
        before = timezone.now()
        freshness.host_failed(host, UserError("host_refused", address=host.address, raw="refused"))
        host.refresh_from_db()
        assert host.next_attempt_at is not None
        waits.append(round((host.next_attempt_at - before).total_seconds()))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert (host.state, host.error_code, host.failure_count) == (HostState.OFFLINE, "host_refused", 9)
    assert host.error_values == {"address": host.address}
    assert host.state_since is not None
    assert since is not None
    assert host.state_since > since
    offline_since = host.state_since
    freshness.host_failed(host, UserError("host_timeout", address="x", seconds=1))
    host.refresh_from_db()
    assert host.state_since == offline_since


def test_host_that_answers_again_is_online_at_once() -> None:
    host = factories.make_host("a")
    freshness.host_failed(host, UserError("host_refused", address=host.address))
    host.refresh_from_db()
    freshness.host_reached(host, EngineInfo(engine_id="E", engine_version="28.5", store_kind="containerd"))
    host.refresh_from_db()
    assert (host.state, host.failure_count, host.next_attempt_at) == ("online", 0, None)
    assert host.error_code == "host_refused", "which error was the last one stays on record"
    assert (host.engine_version, host.store_kind) == ("28.5", "containerd")


def test_only_hosts_that_may_be_tried_are_due() -> None:
    now = timezone.now()
    old = now - timedelta(hours=1)
    stale = factories.make_host("stale", synced_at=old)
    down = factories.make_host("down", state="offline", next_attempt_at=now - timedelta(seconds=1))
    factories.make_host("fresh", synced_at=now)
    factories.make_host("waiting", state="offline", next_attempt_at=now + timedelta(minutes=1))
    factories.make_host("off", synced_at=old, is_enabled=False)
    assert set(Host.objects.due_for_sync(now, every=timedelta(minutes=10))) == {stale, down}


def test_one_sync_at_a_time_on_one_host() -> None:
    host = factories.make_host("a")
    with freshness._lease(host):
        with pytest.raises(UserError) as caught, freshness._lease(host):
            pass
        assert caught.value.code == "host_busy"
        freshness.host_sync(host.pk)
        host.refresh_from_db()
        assert host.is_online, "a host that is busy is not offline"
    with freshness._lease(host):
        pass


def test_lease_of_a_dead_worker_runs_out() -> None:
    past = timezone.now() - timedelta(seconds=1)
    host = factories.make_host("a", sync_worker="dead", sync_lease_until=past)
    with freshness._lease(host):
        pass


def test_sync_of_a_host_that_is_gone_or_off_does_nothing() -> None:
    freshness.host_sync(4711)
    host = factories.make_host("a", is_enabled=False)
    freshness.host_sync(host.pk)
    host.refresh_from_db()
    assert host.is_online


def test_refresh_is_a_job_and_asked_for_once(admin: User) -> None:
    host = factories.make_host("a")
    job = freshness.host_refresh(by=admin, host=host)
    assert (job.kind, job.queue, job.created_by) == ("sync", "quick", admin)
    assert freshness.host_refresh(by=admin, host=host) == job


def test_check_forgets_the_key_and_says_what_is_wrong(admin: User, woken: list[tuple[str, int]]) -> None:
    connection = Connection("unix:///nowhere/docker.sock", key=KEY)
    check = checks.address_check_start(by=admin, connection=connection)
    assert check.state == CheckState.WAITING
    checks.address_check_carry_out(check.pk)
    check.refresh_from_db()
    assert (check.state, check.error_code, check.tls_key) == (CheckState.FAILED, "host_no_socket", "")
    assert check.ended_at is not None
    assert "secret" not in repr(connection)


class SocketProxy(BaseHTTPRequestHandler):
    """Lets a version through and nothing else, as proxies in front of an engine's socket can."""

    def do_GET(self) -> None:
        is_version = self.path.endswith("/version")
        body = b'{"ApiVersion": "1.41", "Version": "20.10.1"}' if is_version else b"<h1>403 Forbidden</h1>"
        self.send_response(200 if is_version else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_check_of_an_engine_that_refuses_to_say_what_it_is_ends(admin: User) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SocketProxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"tcp://127.0.0.1:{proxy.server_port}"
        check = checks.address_check_start(by=admin, connection=Connection(address, key=KEY))
        checks.address_check_carry_out(check.pk)
        proxy.shutdown()
    check.refresh_from_db()
    assert (check.state, check.error_code, check.tls_key) == (CheckState.FAILED, "host_refused_info", "")
    assert "403" in check.error_raw


def test_check_that_fails_in_a_way_nobody_thought_of_ends_too(
    admin: User, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(checks, "open_engine", fail)
    check = checks.address_check_start(by=admin, connection=Connection("unix:///x", key=KEY))
    checks.address_check_carry_out(check.pk)
    check.refresh_from_db()
    assert (check.state, check.error_code, check.tls_key) == (CheckState.FAILED, "unexpected", "")
    assert "RuntimeError" in caplog.text
    assert "secret" not in check.error_raw + caplog.text


def test_old_checks_are_forgotten(admin: User) -> None:
    check = HostCheck.objects.create(address="unix:///x", tls_key=KEY)
    assert checks.checks_forget(timezone.now()) == 0
    assert checks.checks_forget(check.created_at + timedelta(days=2)) == 1


def test_gap_in_watching_makes_use_unknown_until_it_is_closed() -> None:
    then = timezone.now() - timedelta(days=3)
    now = timezone.now()
    host = factories.make_host("a", use_known_since=then, watched_since=then)
    Host.objects.update(watcher="w", watcher_lease_until=now + timedelta(minutes=1))
    host.refresh_from_db()
    assert host.is_use_known(now)
    last_use.watch_ended(Host.objects.all())
    host.refresh_from_db()
    assert not host.is_use_known(now)
    last_use.watch_began(host, now, is_continuous=True)
    host.refresh_from_db()
    assert host.use_known_since == then
    last_use.watch_ended(Host.objects.all())
    last_use.watch_began(host, now, is_continuous=False)
    host.refresh_from_db()
    assert host.use_known_since == now


def test_another_engine_at_the_address_forgets_what_was_known_of_use() -> None:
    host = factories.make_host(
        "a", engine_id="old", use_known_before_gap=timezone.now(), last_event_key="1:x"
    )
    freshness.host_reached(host, EngineInfo(engine_id="new"))
    host.refresh_from_db()
    assert (host.use_known_since, host.use_known_before_gap, host.last_event_key) == (None, None, "")


@pytest.mark.django_db(transaction=True)
def test_hung_engines_do_not_hold_up_the_worker(monkeypatch: Any) -> None:
    """A worker hands every sync to a thread of its own, so it is free again at once."""
    gate, began = threading.Event(), threading.Semaphore(0)

    def hang(host_id: int) -> None:
        began.release()
        gate.wait(10)

    monkeypatch.setattr(freshness, "host_sync", hang)
    for number in range(50):
        tasks.sync_host(number)
    assert all(began.acquire(timeout=2) for _ in range(50))
    gate.set()


@pytest.mark.parametrize(
    ("facts", "version", "kind", "store"),
    [
        (
            {"ID": "A", "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]},
            {},
            "docker",
            "graph",
        ),
        ({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, {}, "docker", "containerd"),
        (
            {"DriverStatus": None},
            {"Components": [{"Name": "Podman Engine", "Version": "5.4.2"}]},
            "podman",
            "podman",
        ),
        ({}, {"Components": None}, "docker", "graph"),
    ],
)
def test_engines_are_told_apart(
    facts: dict[str, Any], version: dict[str, Any], kind: str, store: str
) -> None:
    class Api:
        def info(self) -> dict[str, Any]:
            return facts

        def version(self) -> dict[str, Any]:
            return version

    class Opened:
        api = Api()

    info = read.info(Opened())  # type: ignore[arg-type]
    assert (info.engine_kind, info.store_kind) == (kind, store)
