"""Trying an account out: real registries, with everything that can be wrong with one produced for real."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from images.accounts import registries
from images.accounts.registries import registry_add, registry_edit, registry_try_carry_out
from images.engine.registry_api import RegistryLogin, open_registry
from images.errors import PROBLEMS, UserError
from images.models import Registry
from tests import factories
from tests.conftest import free_port
from tests.hub import Hub, running_hub
from tests.registry import PASSWORD, USERNAME, PrivateRegistry, make_certificate

pytestmark = [pytest.mark.registry, pytest.mark.django_db]

MakeRegistry = Callable[..., PrivateRegistry]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


def tried(host: str, **fields: Any) -> Registry:
    """An account that was added and tried; over plain http unless told otherwise."""
    fields = {"use_http": True} | fields
    registry = registry_add(by=factories.make_admin(), name=host, prefix=host, **fields)
    registry_try_carry_out(registry.pk)
    registry.refresh_from_db()
    assert registry.checked_at is not None
    assert not registry.error_code or registry.error_code in PROBLEMS
    return registry


def test_registry_without_accounts_works(make_registry: MakeRegistry) -> None:
    assert tried(make_registry().host).error_code == ""


def test_right_password_works_and_a_wrong_one_is_said(make_registry: MakeRegistry) -> None:
    host = make_registry(with_password=True).host
    registry = tried(host, username=USERNAME, password=PASSWORD)
    assert registry.error_code == ""
    registry_edit(by=factories.make_user(), registry=registry, password="wrong")
    registry_try_carry_out(registry.pk)
    registry.refresh_from_db()
    assert (registry.error_code, registry.error_values) == ("registry_login", {"registry": host})
    assert "wrong" not in registry.error_raw
    assert PASSWORD not in registry.error_raw


def test_registry_that_wants_an_account_says_so(make_registry: MakeRegistry) -> None:
    assert tried(make_registry(with_password=True).host).error_code == "registry_needs_account"


def test_own_ca_is_needed_and_is_enough(make_registry: MakeRegistry, work_directory: Path) -> None:
    certificate = make_certificate(work_directory)
    host = make_registry(certificate=certificate, with_password=True).host
    account: dict[str, Any] = {"username": USERNAME, "password": PASSWORD, "use_http": False}
    registry = tried(host, **account)
    assert registry.error_code == "registry_check_tls"
    registry_edit(by=factories.make_user(), registry=registry, ca=certificate[0].read_text())
    registry_try_carry_out(registry.pk)
    registry.refresh_from_db()
    assert registry.error_code == "", registry.error_raw


def test_certificate_bundle_of_the_environment_does_not_count(
    make_registry: MakeRegistry, work_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(work_directory)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    host = make_registry(certificate=certificate).host
    assert tried(host, use_http=False).error_code == "registry_check_tls"


def test_certificate_for_another_name_is_said(make_registry: MakeRegistry, work_directory: Path) -> None:
    certificate = make_certificate(work_directory, "127.0.0.9")
    host = make_registry(certificate=certificate).host
    registry = tried(host, use_http=False, ca=certificate[0].read_text())
    assert registry.error_code == "registry_check_tls"


def test_plain_registry_that_is_asked_with_tls_is_said(make_registry: MakeRegistry) -> None:
    assert tried(make_registry().host, use_http=False).error_code == "registry_check_http"


def test_registry_with_tls_that_is_asked_without_is_said(
    make_registry: MakeRegistry, work_directory: Path
) -> None:
    registry = make_registry(certificate=make_certificate(work_directory))
    assert tried(registry.host).error_code == "registry_check_https"


def test_registry_that_is_down_is_said() -> None:
    assert tried(f"127.0.0.1:{free_port()}").error_code == "registry_refused"


def test_name_that_nobody_knows_is_said() -> None:
    assert tried("registry.invalid").error_code == "registry_dns"


def test_registry_that_hangs_meets_a_deadline(hung_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.engine.registry_api.ANSWER_SECONDS", 0.5)
    assert tried(f"127.0.0.1:{hung_port}").error_code == "registry_timeout"


def test_what_is_no_registry_is_said() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Nothing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert tried(f"127.0.0.1:{server.server_port}").error_code == "registry_not_one"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Nothing(BaseHTTPRequestHandler):
    """A web server that has no such page."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        pass


def test_account_is_tried_where_tokens_are_given(hub: Hub) -> None:
    assert tried(hub.host, username="alice", password="s3cret").error_code == ""
    assert hub.asked == ["GET /v2/", "GET /token", "GET /v2/"]


def test_wrong_password_where_tokens_are_given(hub: Hub) -> None:
    assert tried(hub.host, username="alice", password="nonsense").error_code == "registry_login"


def test_tokens_that_nobody_gets_without_an_account(hub: Hub) -> None:
    hub.wants_account = True
    assert tried(hub.host).error_code == "registry_needs_account"


def test_password_for_tls_is_not_sent_to_a_realm_without(hub: Hub) -> None:
    with open_registry(RegistryLogin(hub.host, "alice", "s3cret")) as api, pytest.raises(UserError):
        api._token({"realm": hub.realm}, "")
    assert hub.asked == []


def test_registry_in_trouble_is_said(hub: Hub) -> None:
    hub.is_broken = True
    assert tried(hub.host).error_code == "registry_server_error"


def test_try_that_was_overtaken_by_an_edit_writes_nothing(make_registry: MakeRegistry) -> None:
    registry = registry_add(by=factories.make_admin(), name="a", prefix=make_registry().host, use_http=True)
    stale = Registry.objects.get(pk=registry.pk)
    registry_edit(by=factories.make_user(), registry=registry, username="alice", password="s3cret")
    registries.outcome_write(stale, None, None)
    registry.refresh_from_db()
    assert registry.checked_at is None
