"""The images that builds begin with: pulled beforehand with the account that fits, or said to be missing."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.pull import pull_start
from images.jobs.life import job_carry_out
from images.models import Host, JobState, Registry, StoreKind, User
from tests.conftest import closing
from tests.engine.builds.building import BASE, built, log
from tests.engine.moves import noise
from tests.registry import PASSWORD, USERNAME, PrivateRegistry
from tests.way import way_to

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


def push(api: Any, name: str) -> None:
    auth = {"username": USERNAME, "password": PASSWORD}
    assert not [
        line for line in api.push(name, stream=True, decode=True, auth_config=auth) if "error" in line
    ]


def only_in_registry(engine: PrivateEngine, name: str, *layers: Layer) -> None:
    """An image that the engine has pushed and forgotten."""
    with engine.client() as api:
        demo.load(api, Image([name], layers, config={"Env": ["PATH=/bin"]}))
        push(api, name)
    engine.wipe()


@pytest.mark.registry
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_base_that_does_not_exist_is_said(
    host: Host, person: User, make_registry: Callable[..., PrivateRegistry], builder: str
) -> None:
    name = f"{make_registry().host}/shop/nothing:1"
    job = built(host, person, dockerfile_text=f"FROM {name}\nRUN true\n", builder=builder)
    assert (job.error_code, job.error_values["subject"]) == ("build_base_missing", name)


def test_base_of_a_registry_that_nobody_knows_is_said(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text="FROM registry.invalid/shop/api:1\nRUN true\n")
    assert (job.error_code, job.error_values["registry"]) == ("registry_dns", "registry.invalid")


@pytest.mark.registry
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_private_base_is_pulled_with_the_account_that_fits(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    builder: str,
) -> None:
    registry = make_registry(with_password=True)
    name = f"{registry.host}/shop/base:1"
    only_in_registry(engine, name, Layer("tools", tools=True))
    text = f"ARG TAG=0\nFROM {registry.host}/shop/base:$TAG\nRUN echo ok > /ok\n"
    refused = built(host, person, dockerfile_text=text, build_args={"TAG": "1"}, builder=builder)
    assert (refused.state, refused.error_code) == (JobState.FAILED, "build_base_missing")
    Registry.objects.create(name="shop", prefix=registry.host, username=USERNAME, password=PASSWORD)
    options: Any = {"dockerfile_text": text, "build_args": {"TAG": "1"}, "builder": builder}
    for pulls in (False, True):
        job = built(host, person, pull=pulls, **options)
        assert job.state == JobState.SUCCEEDED, job.error_raw
        assert [step["name"] for step in job.detail["steps"] if step["kind"] == "base"] == [name]
        assert job.result["accounts"] == {name: "shop"}
        assert PASSWORD not in str(job.parameters) + str(job.detail) + log(job)
    again = built(host, person, **options)
    assert not [step for step in again.detail["steps"] if step["kind"] == "base"], "it is here by now"


@pytest.mark.registry
def test_private_base_whose_line_is_cut_is_tried_again(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("images.jobs.attempts.PAUSE_SECONDS", 0.1)
    registry = make_registry(with_password=True)
    with way_to(registry.port) as way:
        name = f"{way.host}/shop/base:1"
        only_in_registry(engine, name, Layer("tools", tools=True))
        Registry.objects.create(name="shop", prefix=way.host, username=USERNAME, password=PASSWORD)
        way.sign, way.cut = b"GET /v2/shop/base/manifests/", 1
        job = built(host, person, dockerfile_text=f"FROM {name}\nRUN echo ok > /ok\n")
        assert (job.state, way.cut_count) == (JobState.SUCCEEDED, 1), job.error_raw
        assert "trying again (1/2)" in log(job)


@pytest.mark.registry
def test_private_base_that_waits_for_a_pull_is_not_taken_for_one_whose_registry_hangs(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine downloads three layers at a time, of all pulls together; the others' wait without a word."""
    registry = make_registry(with_password=True)
    with way_to(registry.port) as way:
        for at in (registry.host, way.host):
            Registry.objects.create(name=at, prefix=at, username=USERNAME, password=PASSWORD)
        big, base = f"{way.host}/shop/big:1", f"{registry.host}/shop/base:1"
        only_in_registry(engine, big, *(noise(f"l{n}", 2_000_000) for n in range(3)))
        only_in_registry(engine, base, noise("s", 1000))
        monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
        way.slow_bytes = 300_000
        [first] = pull_start(by=person, hosts=[host], reference=big)
        thread = threading.Thread(target=closing(job_carry_out), args=(first.pk,))
        thread.start()
        try:
            time.sleep(1.5)
            began = time.monotonic()
            job = built(host, person, dockerfile_text=f"FROM {base}\nLABEL a=b\n")
            assert time.monotonic() - began > 4, "it did not have to wait, so nothing is shown here"
            assert job.state == JobState.SUCCEEDED, job.error_raw
        finally:
            thread.join(60)


@pytest.mark.registry
def test_private_image_that_a_step_mounts_is_pulled_with_the_account_that_fits(
    engine: PrivateEngine, host: Host, person: User, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry(with_password=True)
    name = f"{registry.host}/shop/data:1"
    with engine.client() as api:
        demo.load(api, Image([name], [Layer("own", content=b"mine")]))
        push(api, name)
        api.remove_image(name)
    text = f"FROM {BASE}\nRUN --mount=type=bind,from={name},target=/data cat /data/own\n"
    refused = built(host, person, dockerfile_text=text)
    assert (refused.error_code, refused.error_values.get("subject")) == ("build_base_missing", name)
    Registry.objects.create(name="shop", prefix=registry.host, username=USERNAME, password=PASSWORD)
    job = built(host, person, dockerfile_text=text)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert job.result["accounts"] == {name: "shop"}
    assert "mine" in log(job)


@pytest.mark.registry
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_base_that_moved_in_its_registry_is_taken_when_it_is_asked_for(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    builder: str,
) -> None:
    name = f"{make_registry().host}/shop/base:1"
    with engine.client() as api:
        raw: Any = api
        for content in ("new", "old"):
            demo.load(api, Image([name], [Layer(f"{content}.txt", 10)]))
            if content == "new":
                push(api, name)
        ids = {"old": raw.inspect_image(name)["RootFS"]["Layers"][0]}
        for pull in (False, True):
            options: Any = {"tags": [f"app:{pull}"], "labels": {"a": "b"}, "builder": builder}
            job = built(host, person, dockerfile_text=f"FROM {name}\n", pull=pull, **options)
            assert job.state == JobState.SUCCEEDED, job.error_raw
            base = raw.inspect_image(f"app:{pull}")["RootFS"]["Layers"][0]
            # With the containerd store BuildKit asks the registry whether it is told to or not.
            asks = pull or (host.store_kind == StoreKind.CONTAINERD and builder == "buildkit")
            assert (base == ids["old"]) is not asks
