"""Pulling on a real engine from a real registry, with everything that can go wrong produced for real."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from config.demo import images as demo
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images.commands.build import build_start
from images.commands.pull import pull_start
from images.errors import explain
from images.jobs.life import job_carry_out
from images.models import Copy, Host, Job, JobState, Reference, Registry
from tests import factories
from tests.conftest import free_port
from tests.engine.freed import registered
from tests.registry import PASSWORD, USERNAME, PrivateRegistry

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.django_db(transaction=True)]

BASE = Layer("base", 300_000)


@pytest.fixture
def host(engine: PrivateEngine) -> Host:
    return registered(engine.address)


def fill(engine: PrivateEngine, registry: PrivateRegistry, *tags: str, layer: str = "own") -> None:
    """Puts an image of two layers into the registry under each tag, and takes it off the engine."""
    names = [f"{registry.host}/{tag}" for tag in tags]
    auth = {"username": USERNAME, "password": PASSWORD} if registry.with_password else None
    with engine.client() as api:
        raw: Any = api
        for number, name in enumerate(names):
            demo.load(api, Image([name], [BASE, Layer(f"{layer}{number}", 200_000)]))
            for line in raw.push(name, stream=True, decode=True, auth_config=auth or {}):
                assert "error" not in line, line
            api.remove_image(name)


def pulled(host: Host, reference: str, **options: Any) -> Job:
    [job] = pull_start(by=factories.make_user(), hosts=[host], reference=reference, **options)
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)


def test_pull_brings_the_image_and_says_what_each_layer_did(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    fill(engine, registry, "shop/api:1.0")
    job = pulled(host, f"{registry.host}/shop/api:1.0")
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert [layer["state"] for layer in job.detail["layers"]] == ["done", "done"]
    assert job.progress_done == job.progress_total
    assert job.progress_total or STORE == "containerd"  # which tells no bytes of layers that come at once
    assert job.result["digest"].startswith("sha256:")
    copy = Copy.objects.get(host=host, repository=f"{registry.host}/shop/api")
    assert (job.result["image"], job.result["was_here"]) == (copy.image_id, False)


def test_no_tag_means_latest(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    fill(engine, registry, "shop/api:latest", "shop/api:2")
    job = pulled(host, f"{registry.host}/shop/api")
    assert job.subject == f"{registry.host}/shop/api:latest"
    tags = Reference.objects.filter(host=host).exclude(tag="").values_list("tag", flat=True)
    assert list(tags) == ["latest"]


def test_every_tag_comes_when_asked_for(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    fill(engine, registry, "shop/api:1", "shop/api:2", "shop/api:3")
    job = pulled(host, f"{registry.host}/shop/api", all_tags=True)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    tags = Reference.objects.filter(host=host).exclude(tag="").values_list("tag", flat=True)
    assert sorted(tags) == ["1", "2", "3"]
    before = {tag: Copy.objects.get(host=host, tag=tag).engine_id for tag in "123"}
    fill(engine, registry, "shop/api:2", layer="newer")
    with engine.client() as api:
        api.tag(before["2"], f"{registry.host}/shop/api", "2")
    again = pulled(host, f"{registry.host}/shop/api", all_tags=True)
    moved = Copy.objects.get(host=host, tag="2")
    assert moved.engine_id not in before.values()
    assert again.result["moved"] == {f"{registry.host}/shop/api:2": before["2"]}


def test_pull_by_digest(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    fill(engine, registry, "shop/api:1")
    digest = pulled(host, f"{registry.host}/shop/api:1").result["digest"]
    engine.wipe()
    job = pulled(host, f"{registry.host}/shop/api@{digest}")
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert Reference.objects.get(host=host, digest=digest).copy.image_id == job.result["image"]
    assert not Reference.objects.filter(host=host, tag="1").exists()


def test_second_pull_finds_everything_here(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    fill(engine, registry, "shop/api:1")
    pulled(host, f"{registry.host}/shop/api:1")
    job = pulled(host, f"{registry.host}/shop/api:1")
    assert (job.result["was_here"], job.result["replaced"]) == (True, "")


def test_moved_tag_says_what_it_replaced(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    fill(engine, registry, "shop/api:1")
    first = pulled(host, f"{registry.host}/shop/api:1").result["engine_id"]
    fill(engine, registry, "shop/api:1", layer="other")
    with engine.client() as api:
        api.tag(first, f"{registry.host}/shop/api", "1")
    job = pulled(host, f"{registry.host}/shop/api:1")
    assert job.result["replaced"] == first
    assert Copy.objects.get(host=host, engine_id=first).is_dangling


def test_account_with_the_longest_prefix_is_used(
    engine: PrivateEngine, host: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry(with_password=True)
    fill(engine, registry, "shop/api:1")
    Registry.objects.create(name="wrong", prefix=registry.host, username="mallory", password="no")
    refused = pulled(host, f"{registry.host}/shop/api:1")
    assert (refused.state, refused.error_code) == (JobState.FAILED, "registry_unauthorized")
    Registry.objects.create(name="shop", prefix=f"{registry.host}/shop", username=USERNAME, password=PASSWORD)
    job = pulled(host, f"{registry.host}/shop/api:1")
    assert (job.state, job.result["account"]) == (JobState.SUCCEEDED, "shop")
    assert PASSWORD not in str(job.parameters) + str(job.result)


def test_what_is_not_there_is_said(host: Host, make_registry: Callable[..., PrivateRegistry]) -> None:
    registry = make_registry()
    job = pulled(host, f"{registry.host}/shop/nothing:1")
    assert (job.state, job.error_code) == (JobState.FAILED, "image_not_found")
    assert job.error_values["subject"] == f"{registry.host}/shop/nothing:1"


def test_registry_that_is_down_is_said(host: Host, make_registry: Callable[..., PrivateRegistry]) -> None:
    registry = make_registry()
    registry.stop()
    assert pulled(host, f"{registry.host}/shop/api:1").error_code == "registry_refused"


def test_proxy_of_the_engine_that_is_down_is_not_taken_for_the_registry(
    make_engine: Callable[..., PrivateEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    behind = registered(make_engine("behind").address)
    job = pulled(behind, "registry.example.com/shop/api:1")
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_proxy"), job.error_raw
    assert "connection refused" in job.error_raw
    assert job.error_values["registry"] == "registry.example.com"
    text = "FROM registry.example.com/shop/base:1\nRUN true\n"
    for builder in ("buildkit", "classic"):
        [job] = build_start(by=factories.make_user(), hosts=[behind], dockerfile_text=text, builder=builder)
        job_carry_out(job.pk)
        job.refresh_from_db()
        assert (job.state, job.error_code) == (JobState.FAILED, "registry_proxy"), job.error_raw


def test_registry_that_nobody_knows_is_said(host: Host) -> None:
    assert pulled(host, "registry.invalid/shop/api:1").error_code == "registry_dns"


def test_pull_comes_to_several_hosts_though_one_is_dead(
    engine: PrivateEngine,
    host: Host,
    make_engine: Callable[..., PrivateEngine],
    make_registry: Callable[..., PrivateRegistry],
) -> None:
    registry, other = make_registry(), registered(make_engine("other").address)
    fill(engine, registry, "shop/api:1")
    dead = factories.make_host("dead", address="unix:///run/nobody.sock")
    reference = f"{registry.host}/shop/api:1"
    made = pull_start(by=factories.make_user(), hosts=[host, dead, other], reference=reference)
    for job in made:
        job_carry_out(job.pk)
        job.refresh_from_db()
    assert [(job.state, job.error_code) for job in made] == [
        ("succeeded", ""), ("failed", "host_no_socket"), ("succeeded", ""),
    ]  # fmt: skip
    assert Reference.objects.filter(name=reference).count() == 2


@pytest.mark.graph_driver
def test_registry_that_never_answers_is_given_up_by_the_engine_itself(
    host: Host, hung_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the containerd store it waits for ever, and Drydock gives up: see test_transfer_faults.py."""
    monkeypatch.setattr("images.jobs.attempts.ATTEMPTS", 1)
    job = pulled(host, f"127.0.0.1:{hung_port}/shop/api:1")
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_timeout"), job.error_raw
    assert "mirror" in explain(job.error_code, job.error_values).remedy


def test_host_without_a_way_out_is_said(make_engine: Callable[..., PrivateEngine]) -> None:
    """An engine in a network of its own, in which there is nothing: neither a route nor a DNS server."""
    host = registered(make_engine("alone", before_exec=without_network).address)
    job = pulled(host, "192.0.2.1:5000/shop/api:1")
    assert (job.error_code, job.error_values["registry"]) == ("registry_unreachable", "192.0.2.1:5000"), (
        job.error_raw
    )
    job = pulled(host, "registry.example.com/shop/api:1")
    assert job.error_code == "registry_dns", job.error_raw


def without_network() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")
