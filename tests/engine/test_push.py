"""Pushing from a real engine to a real registry, with what can go wrong produced for real."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from config.demo import images as demo
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images.commands.pull import pull_start
from images.commands.push import push_start
from images.jobs.life import job_carry_out
from images.models import Copy, Host, Job, JobState, Reference, Registry, RemoteTag
from images.remote_tags import NEVER, behind
from tests import factories
from tests.conftest import free_port
from tests.engine.freed import registered
from tests.hub import running_hub
from tests.registry import PASSWORD, USERNAME, PrivateRegistry, make_certificate, own_address

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.django_db(transaction=True)]

MakeRegistry = Callable[..., PrivateRegistry]
BASE = Layer("base", 300_000)


def holding(engine: PrivateEngine, *names: str, layer: str = "own") -> Host:
    """The engine's host, with an image of two layers under these names."""
    with engine.client() as api:
        demo.load(api, Image(list(names), [BASE, Layer(layer, 200_000)]))
    return registered(engine.address)


def pushed(host: Host, name: str) -> Job:
    copy = Copy.objects.get(host=host, references__name=name)
    [job] = push_start(by=factories.make_user(), copies=[copy], reference=name)
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)


def test_push_brings_the_image_and_its_digest_is_the_registrys_own(
    engine: PrivateEngine, make_registry: MakeRegistry
) -> None:
    registry = make_registry()
    name = f"{registry.host}/shop/api:1.0"
    host = holding(engine, name)
    job = pushed(host, name)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert job.result["digest"] == registry.digest("shop/api", "1.0")
    assert [layer["state"] for layer in job.detail["layers"]] == ["done", "done"]
    assert job.progress_done == job.progress_total
    assert job.progress_total or STORE == "containerd"  # which tells no bytes of layers that go at once
    assert job.result["account"] == ""


def test_digest_is_in_the_inventory_after_a_push(engine: PrivateEngine, make_registry: MakeRegistry) -> None:
    registry = make_registry()
    name = f"{registry.host}/shop/api:1.0"
    host = holding(engine, name)
    known = Reference.objects.filter(host=host).exclude(digest="").exists()
    assert known == (STORE == "containerd"), "which has digests of its own"
    job = pushed(host, name)
    reference = Reference.objects.exclude(digest="").get(host=host)
    assert reference.name == f"{registry.host}/shop/api@{job.result['digest']}"
    assert reference.copy.image_id == job.result["image"]


def test_layers_that_the_registry_has_are_not_sent_again(
    engine: PrivateEngine, make_registry: MakeRegistry
) -> None:
    registry = make_registry()
    names = [f"{registry.host}/shop/api:{tag}" for tag in ("1", "2")]
    host = holding(engine, *names)
    pushed(host, names[0])
    job = pushed(host, names[1])
    assert [layer["state"] for layer in job.detail["layers"]] == ["exists", "exists"]


def test_two_accounts_on_one_registry_host(engine: PrivateEngine, make_registry: MakeRegistry) -> None:
    registry = make_registry(with_password=True)
    registry.let_in({"alice": "s3cret", "bob": "b0b"})
    for name, password in (("alice", "s3cret"), ("bob", "b0b")):
        prefix = f"{registry.host}/{name}"
        Registry.objects.create(name=f"of {name}", prefix=prefix, username=name, password=password)
    names = {who: f"{registry.host}/{who}/api:1" for who in ("alice", "bob")}
    host = holding(engine, *names.values())
    for who, name in names.items():
        job = pushed(host, name)
        assert (job.state, job.result["account"]) == (JobState.SUCCEEDED, f"of {who}"), job.error_raw
    registry.let_in({"bob": "b0b"})
    assert pushed(host, names["alice"]).error_code == "registry_unauthorized"
    assert pushed(host, names["bob"]).state == JobState.SUCCEEDED


def test_wrong_password_and_no_password_are_said(engine: PrivateEngine, make_registry: MakeRegistry) -> None:
    registry = make_registry(with_password=True)
    name = f"{registry.host}/shop/api:1"
    host = holding(engine, name)
    job = pushed(host, name)
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_unauthorized")
    Registry.objects.create(name="ours", prefix=registry.host, username=USERNAME, password="wr0ng")
    job = pushed(host, name)
    assert (job.error_code, job.result["account"]) == ("registry_unauthorized", "ours")
    assert "wr0ng" not in f"{job.error_raw} {job.parameters} {job.result} {job.error_values}"
    Registry.objects.update(password=PASSWORD)
    assert pushed(host, name).state == JobState.SUCCEEDED


def test_registry_that_is_down_is_said(engine: PrivateEngine) -> None:
    name = f"127.0.0.1:{free_port()}/shop/api:1"
    job = pushed(holding(engine, name), name)
    assert job.error_code == "registry_refused"


def test_registry_that_nobody_knows_is_said(engine: PrivateEngine) -> None:
    name = "registry.invalid/shop/api:1"
    job = pushed(holding(engine, name), name)
    assert job.error_code == "registry_dns", job.error_raw


def test_ca_that_the_engine_does_not_know_is_said(
    engine: PrivateEngine, make_registry: MakeRegistry, work_directory: Path
) -> None:
    address = own_address()
    registry = make_registry(certificate=make_certificate(work_directory, address), address=address)
    name = f"{registry.host}/shop/api:1"
    job = pushed(holding(engine, name), name)
    assert job.error_code == "registry_tls", job.error_raw
    assert job.error_values["registry"] == registry.host


def test_plain_registry_where_the_engine_wants_tls_is_said(
    engine: PrivateEngine, make_registry: MakeRegistry
) -> None:
    registry = make_registry(address=own_address())
    name = f"{registry.host}/shop/api:1"
    job = pushed(holding(engine, name), name)
    assert job.error_code == "registry_http_https", job.error_raw


def test_hung_registry_meets_a_deadline(
    engine: PrivateEngine, hung_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
    name = f"127.0.0.1:{hung_port}/shop/api:1"
    job = pushed(holding(engine, name), name)
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_silent")


def test_hung_engine_is_not_taken_for_a_hung_registry(
    engine: PrivateEngine, hung_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
    monkeypatch.setattr("images.engine.quiet.ANSWER_SECONDS", 1.0)
    name = f"127.0.0.1:{hung_port}/shop/api:1"
    host = holding(engine, name)
    timer = threading.Timer(1.0, engine.pause)
    timer.start()
    try:
        job = pushed(host, name)
    finally:
        timer.join()
        engine.cont()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_timeout")


def test_limit_that_is_used_up_is_said_of_a_pull(engine: PrivateEngine) -> None:
    host = registered(engine.address)
    with running_hub() as hub:
        hub.remaining = 0
        [job] = pull_start(by=factories.make_user(), hosts=[host], reference=f"{hub.host}/library/redis:7")
        job_carry_out(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_rate_limited"), job.error_raw


def test_name_that_is_gone_is_not_pushed(engine: PrivateEngine, make_registry: MakeRegistry) -> None:
    name = f"{make_registry().host}/shop/api:1"
    host = holding(engine, name)
    with engine.client() as api:
        api.remove_image(name)
    assert pushed(host, name).error_code == "image_gone"


def test_name_that_was_moved_meanwhile_is_not_pushed(
    engine: PrivateEngine, make_registry: MakeRegistry
) -> None:
    registry = make_registry()
    name = f"{registry.host}/shop/api:1"
    host = holding(engine, name)
    with engine.client() as api:
        demo.load(api, Image([name], [BASE, Layer("other", 100_000)]))
    assert pushed(host, name).error_code == "reference_moved"
    assert "shop" not in registry.catalog()


def test_pushed_tag_makes_other_hosts_copies_behind_at_once(
    engine: PrivateEngine, make_engine: Callable[..., PrivateEngine], make_registry: MakeRegistry
) -> None:
    registry = make_registry()
    name = f"{registry.host}/shop/api:1"
    Registry.objects.create(name="ours", prefix=registry.host, use_http=True)
    host = holding(engine, name)
    pushed(host, name)
    other = registered(make_engine().address)
    [job] = pull_start(by=factories.make_user(), hosts=[other], reference=name)
    job_carry_out(job.pk)
    RemoteTag.objects.create(name=name, checked_at=NEVER)
    pushed(host, name)
    assert not Copy.objects.filter(behind()).exists()
    with engine.client() as api:
        demo.load(api, Image([name], [BASE, Layer("newer", 100_000)]))
    host = registered_again(host)
    pushed(host, name)
    [copy] = Copy.objects.filter(behind())
    assert copy.host == other


def registered_again(host: Host) -> Host:
    """The same host with a new picture."""
    from images.engine.client import Connection, open_engine
    from images.inventory import picture

    with open_engine(Connection.of(host)) as opened:
        picture.sync(host, opened)
    return host
