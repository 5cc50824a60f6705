"""What can happen in the middle of a pull or a push, produced for real: cut, cancelled, killed, hung, full."""

import shutil
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image
from images.commands.pull import pull_start
from images.commands.push import push_start
from images.engine import archive
from images.engine.client import Connection, open_engine
from images.errors import UserError, explain
from images.jobs.life import job_cancel, job_carry_out
from images.models import Copy, Host, Job, JobState, Reference
from tests import factories
from tests.conftest import closing
from tests.engine.freed import registered
from tests.engine.moves import loaded, noise, tags, zeros
from tests.engine.workers import wait_for
from tests.registry import PrivateRegistry, make_certificate, own_address
from tests.way import Way, way_to

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.django_db(transaction=True)]

MakeRegistry = Callable[..., PrivateRegistry]
SIZE = 20_000_000
SLOW = 2_000_000  # bytes a second


@pytest.fixture
def registry(make_registry: MakeRegistry) -> PrivateRegistry:
    return make_registry()


@pytest.fixture
def way(registry: PrivateRegistry) -> Iterator[Way]:
    with way_to(registry.port) as made:
        yield made


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.jobs.attempts.PAUSE_SECONDS", 0.1)


def in_registry(engine: PrivateEngine, at: str, size: int = SIZE) -> str:
    """A name of an image that only the registry has."""
    name = f"{at}/shop/api:1"
    loaded(engine, Image([name], [noise("data", size)]))
    with engine.client() as api:
        raw: Any = api
        assert not [line for line in raw.push(name, stream=True, decode=True) if "error" in line]
    engine.wipe()
    return name


def pull_of(host: Host, name: str, **options: Any) -> Job:
    [job] = pull_start(by=factories.make_user(), hosts=[host], reference=name, **options)
    return job


def push_of(engine: PrivateEngine, name: str, size: int = SIZE) -> Job:
    loaded(engine, Image([name], [noise("data", size)]))
    copy = Copy.objects.get(host=registered(engine.address), references__name=name)
    [job] = push_start(by=factories.make_user(), copies=[copy], reference=name)
    return job


def ended(job: Job) -> Job:
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)


def begun(job: Job, way: Way) -> threading.Thread:
    """Carries it out beside the test, and waits until bytes are on the way."""
    thread = threading.Thread(target=closing(job_carry_out), args=(job.pk,))
    before = way.passed_bytes
    thread.start()
    wait_for(lambda: way.passed_bytes > before + 500_000, 30)
    return thread


@pytest.mark.usefixtures("pause")
def test_pull_that_is_cut_off_is_tried_again(engine: PrivateEngine, way: Way) -> None:
    name = in_registry(engine, way.host)
    way.sign, way.cut = b"GET /v2/shop/api/manifests/", 1
    job = ended(pull_of(registered(engine.address), name))
    assert (job.state, way.cut_count) == (JobState.SUCCEEDED, 1), job.error_raw
    assert "trying again (1/2)" in "".join(job.log.values_list("text", flat=True))


@pytest.mark.usefixtures("pause")
@pytest.mark.parametrize("kind", ["pull", "push"])
def test_line_that_is_cut_in_the_middle_of_a_layer_loses_nothing(
    engine: PrivateEngine, way: Way, kind: str
) -> None:
    """Twice, with some megabytes of the layer's twenty on this side and some still to come."""
    if kind == "pull":
        job = pull_of(registered(engine.address), in_registry(engine, way.host))
    else:
        job = push_of(engine, f"{way.host}/shop/api:1")
    way.passed_bytes, way.cut_after, way.cut = 0, 5_000_000, 2
    job = ended(job)
    assert (job.state, way.cut_count) == (JobState.SUCCEEDED, 2), job.error_raw
    way.cut_after = 0
    engine.wipe()
    job = ended(pull_of(registered(engine.address), f"{way.host}/shop/api:1"))
    assert job.state == JobState.SUCCEEDED, "what is in the registry is whole"
    assert job.result["digest"]


@pytest.mark.usefixtures("pause")
def test_pull_that_is_cut_off_again_and_again_is_given_up(engine: PrivateEngine, way: Way) -> None:
    name = in_registry(engine, way.host)
    way.sign, way.cut = b"GET /v2/", 1000
    job = ended(pull_of(registered(engine.address), name))
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_cut"), job.error_raw
    assert "trying again (2/2)" in "".join(job.log.values_list("text", flat=True))


@pytest.mark.usefixtures("pause")
def test_push_that_is_cut_off_is_tried_again_and_sends_no_layer_twice(
    engine: PrivateEngine, registry: PrivateRegistry, way: Way
) -> None:
    way.sign, way.cut = b"PUT /v2/shop/api/manifests/", 1
    job = ended(push_of(engine, f"{way.host}/shop/api:1"))
    assert (job.state, way.cut_count) == (JobState.SUCCEEDED, 1), job.error_raw
    assert job.result["digest"] == registry.digest("shop/api", "1")
    assert [layer["state"] for layer in job.detail["layers"]] == ["exists"]
    assert way.passed_bytes < 1.5 * SIZE


@pytest.mark.parametrize("kind", ["pull", "push"])
def test_cancel_ends_it_within_two_seconds_in_the_engine_too(
    engine: PrivateEngine, registry: PrivateRegistry, way: Way, kind: str
) -> None:
    name = f"{way.host}/shop/api:1"
    job = (
        pull_of(registered(engine.address), in_registry(engine, way.host))
        if kind == "pull"
        else push_of(engine, name)
    )
    way.slow_bytes = SLOW
    thread = begun(job, way)
    job.refresh_from_db()
    began = time.monotonic()
    job_cancel(by=factories.make_user(), job=job)
    thread.join(15)
    assert time.monotonic() - began < 2
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.CANCELLED, "")
    wait_for(lambda: way.open_count == 0 or not _moves(way), 10)
    assert engine.ping()
    if kind == "pull":
        assert name not in tags(engine)
    else:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            registry.digest("shop/api", "1")


def _moves(way: Way) -> bool:
    before = way.passed_bytes
    time.sleep(0.5)
    return way.passed_bytes > before


@pytest.mark.parametrize("kind", ["pull", "push"])
def test_engine_that_is_killed_in_the_middle_is_said(engine: PrivateEngine, way: Way, kind: str) -> None:
    job = (
        pull_of(registered(engine.address), in_registry(engine, way.host))
        if kind == "pull"
        else push_of(engine, f"{way.host}/shop/api:1")
    )
    way.slow_bytes = SLOW
    thread = begun(job, way)
    engine.kill()
    thread.join(20)
    assert not thread.is_alive()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_gone"), job.error_raw
    assert explain(job.error_code, job.error_values).remedy
    engine.stop()


def test_registry_that_hangs_on_a_pull_is_said(
    engine: PrivateEngine, hung_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
    began = time.monotonic()
    job = ended(pull_of(registered(engine.address), f"127.0.0.1:{hung_port}/shop/api:1"))
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_silent")
    assert time.monotonic() - began < 10


@pytest.mark.graph_driver  # with the containerd store pulls do not wait for each other
def test_pull_that_waits_for_another_is_not_taken_for_one_whose_registry_hangs(
    engine: PrivateEngine, make_registry: MakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine downloads three layers at a time, of all pulls together; the others' wait without a word."""
    registry = make_registry()
    with way_to(registry.port) as way:
        big, small = f"{way.host}/shop/big:1", f"{registry.host}/shop/small:1"
        loaded(
            engine,
            Image([big], [noise(f"l{n}", 2_000_000) for n in range(3)]),
            Image([small], [noise("s", 1000)]),
        )
        with engine.client() as api:
            raw: Any = api
            for name in (big, small):
                assert not [line for line in raw.push(name, stream=True, decode=True) if "error" in line]
        engine.wipe()
        host = registered(engine.address)
        way.slow_bytes = 300_000
        monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
        first, second = pull_of(host, big), pull_of(host, small)
        thread = threading.Thread(target=closing(job_carry_out), args=(first.pk,))
        thread.start()
        time.sleep(1.5)
        began = time.monotonic()
        job = ended(second)
        assert time.monotonic() - began > 4, "it did not have to wait, so nothing is shown here"
        assert (job.state, job.error_code) == (JobState.SUCCEEDED, ""), job.error_raw
        thread.join(30)
        first.refresh_from_db()
        assert first.state == JobState.SUCCEEDED, first.error_raw


def test_silence_on_a_pull_from_docker_hub_offers_the_mirrors_of_this_host(
    make_engine: Callable[..., PrivateEngine],
    hung_port: int,
    monkeypatch: pytest.MonkeyPatch,
    client: Client,
) -> None:
    monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
    mirror = f"http://127.0.0.1:{hung_port}"
    engine = make_engine("mirrored", arguments=("--registry-mirror", mirror))
    job = ended(pull_of(registered(engine.address), "redis:7"))
    assert (job.state, job.error_code) == (JobState.FAILED, "registry_silent"), job.error_raw
    client.force_login(factories.make_admin())
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert f"{mirror}/" in page, "the mirrors that this host has"
    assert "registry-mirrors" in page, "how to set them"
    assert "another registry" in page


def test_ca_that_the_engine_does_not_know_is_said_of_a_pull(
    engine: PrivateEngine, make_registry: MakeRegistry, work_directory: Path
) -> None:
    address = own_address()
    registry = make_registry(certificate=make_certificate(work_directory, address), address=address)
    job = ended(pull_of(registered(engine.address), f"{registry.host}/shop/api:1"))
    assert (job.error_code, job.error_values["registry"]) == ("registry_tls", registry.host)
    told = explain(job.error_code, job.error_values)
    assert f"/etc/docker/certs.d/{registry.host}/ca.crt" in told.remedy


def test_registry_is_used_once_its_ca_lies_where_the_remedy_says(
    engine: PrivateEngine, make_registry: MakeRegistry, work_directory: Path
) -> None:
    address = own_address()
    certificate = make_certificate(work_directory, address)
    registry = make_registry(certificate=certificate, address=address)
    name = f"{registry.host}/shop/api:1"
    loaded(engine, Image([name], [noise("data", 1000)]))
    host, folder = registered(engine.address), Path("/etc/docker/certs.d") / registry.host
    folder.mkdir(parents=True)
    try:
        (folder / "ca.crt").write_text(certificate[0].read_text())
        copy = Copy.objects.get(host=host, references__name=name)
        [job] = push_start(by=factories.make_admin(), copies=[copy], reference=name)
        assert ended(job).state == JobState.SUCCEEDED
        engine.wipe()
        job = ended(pull_of(host, name))
    finally:
        shutil.rmtree(folder)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert name in tags(engine)


def test_image_that_is_not_there_for_a_platform_is_said(
    engine: PrivateEngine, registry: PrivateRegistry
) -> None:
    in_registry(engine, registry.host, 1000)
    registry.make_list("shop/api", "1", "many", architecture="arm64")
    host, name = registered(engine.address), f"{registry.host}/shop/api:many"
    job = ended(pull_of(host, name))
    assert (job.state, job.error_code) == (JobState.FAILED, "platform_not_found"), job.error_raw
    assert ended(pull_of(host, name, platform="linux/arm64")).state == JobState.SUCCEEDED
    assert name in tags(engine)


# A disk that is full, a budget that does not suffice


def test_disk_that_fills_up_is_said_of_pull_and_load(
    engine: PrivateEngine,
    registry: PrivateRegistry,
    small_disk: Callable[[], PrivateEngine],
) -> None:
    name = in_registry(engine, registry.host, 250_000_000)
    small = small_disk()
    host = registered(small.address)
    job = ended(pull_of(host, name))
    assert (job.state, job.error_code) == (JobState.FAILED, "disk_full"), job.error_raw
    assert not tags(small)
    with open_engine(Connection.of(host)) as opened, pytest.raises(UserError) as full:
        list(archive.load(opened, zeros("big:1", 300_000_000), host=host.name))
    assert full.value.code == "disk_full"


def test_pull_that_does_not_fit_into_the_budget_stops_before_it_came(
    engine: PrivateEngine, registry: PrivateRegistry, way: Way
) -> None:
    name = in_registry(engine, way.host)
    host = registered(engine.address)
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=SIZE // 2)
    way.slow_bytes = SLOW
    before = way.passed_bytes
    job = ended(pull_of(host, name))
    assert (job.state, job.error_code) == (JobState.FAILED, "image_over_budget"), job.error_raw
    assert job.error_values["subject"] == name
    assert "0.02 GB would come" in explain(job.error_code, job.error_values).what
    wait_for(lambda: not _moves(way), 10)
    assert way.passed_bytes - before < SIZE // 2
    assert name not in tags(engine)


def test_pull_above_the_budget_is_done_when_that_was_said_and_it_is_shown(
    engine: PrivateEngine, registry: PrivateRegistry, client: Client
) -> None:
    name = in_registry(engine, registry.host)
    host = registered(engine.address)
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=SIZE // 2)
    job = ended(pull_of(host, name, above_budget=True))
    assert job.state == JobState.SUCCEEDED, job.error_raw
    most = 2 * SIZE if STORE == "containerd" else SIZE  # which keeps what came beside what it unpacked
    assert SIZE // 2 - 1000 < job.result["over_budget_bytes"] < most
    client.force_login(factories.make_admin())
    assert "is over its image budget by" in client.get(f"/jobs/{job.pk}/").content.decode()


def test_what_is_here_already_fits_into_any_budget(engine: PrivateEngine, registry: PrivateRegistry) -> None:
    name = in_registry(engine, registry.host, 1_000_000)
    host = registered(engine.address)
    assert ended(pull_of(host, name)).state == JobState.SUCCEEDED
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=1000)
    assert ended(pull_of(host, name)).state == JobState.SUCCEEDED
    assert Reference.objects.filter(host=host, name=name).exists()
