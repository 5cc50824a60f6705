"""Saving to and loading from a browser, through the running site, on a real engine."""

import bz2
import contextlib
import gzip
import lzma
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import zstandard

from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Copy, Host, Job, JobState
from tests import factories
from tests.browser.plugin import LiveSite
from tests.conftest import closing
from tests.engine.freed import find, registered
from tests.engine.moves import Person, archive, loaded, noise, person, tags, tags_inside, until, zeros

pytestmark = [pytest.mark.engine, pytest.mark.services]

BASE = noise("base", 400_000)
API = Image(["shop/api:1", "shop/api:latest"], [BASE, noise("api", 300_000)])
WEB = Image(["shop/web:2"], [BASE, noise("web", 300_000)])


@pytest.fixture
def ada(live_site: LiveSite) -> Iterator[Person]:
    user = factories.make_user("ada")
    factories.grant(user, "operator")
    with person(live_site, user) as ada:
        yield ada


@pytest.fixture
def host(live_site: LiveSite, engine: PrivateEngine) -> Host:
    return registered(engine.address)


def filled(engine: PrivateEngine, *images: Image) -> Host:
    loaded(engine, *images)
    return registered(engine.address)


def key_of(host: Host, name: str) -> str:
    return find(host, name).image.content_key


def broken_download(person: Person, job: Job, breaks: Callable[[], object]) -> None:
    """Begins a download and breaks it; the browser must be able to tell that it is not whole."""

    def read() -> None:
        with person.http.stream("GET", f"/transfers/{job.pk}/") as response:
            assert response.status_code == 200
            for number, _ in enumerate(response.iter_raw()):
                if number == 5:
                    breaks()

    with pytest.raises(httpx.TransportError):
        read()


def unpacked(job: Job) -> int:
    """How many layers the engine has told of, all of which are done."""
    layers = job.detail["layers"]
    assert {layer["state"] for layer in layers} == {"done"}
    assert all(layer["extracted"] == layer["total"] > 0 for layer in layers)
    return len(layers)


@pytest.mark.parametrize("packing", ["", "gzip"])
def test_what_was_saved_and_loaded_is_the_same_image(
    engine: PrivateEngine, ada: Person, packing: str
) -> None:
    host = filled(engine, API)
    before = key_of(host, "shop/api:1")
    job = ada.save(find(host, "shop/api:1"), **({"gzip": "on"} if packing else {}))
    content = ada.download(job)
    job = until(job)
    assert (job.state, job.error_code, job.error_raw) == (JobState.SUCCEEDED, "", "")
    assert job.result["sent_bytes"] == len(content)
    assert tags_inside(content) == {"shop/api:1", "shop/api:latest"}
    assert content.startswith(b"\x1f\x8b") == bool(packing)
    engine.wipe()
    [load] = ada.load([host], len(content))
    assert ada.upload(load, content).status_code == 200
    load = until(load)
    assert (load.state, load.error_raw) == (JobState.SUCCEEDED, "")
    assert tags(engine) == {"shop/api:1", "shop/api:latest"}
    assert key_of(host, "shop/api:latest") == before
    assert sorted(load.result["references"]) == ["shop/api:1", "shop/api:latest"]
    assert load.progress_done == load.progress_total == len(content)
    assert unpacked(load) == len(API.layers), "each layer that the engine unpacked was told"


def test_name_that_was_moved_before_its_turn_came_is_not_saved(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, API, WEB)
    job = ada.save(find(host, "shop/api:1"))
    with engine.client() as api:
        api.tag("shop/web:2", "shop/api", "1", force=True)
    assert ada.http.get(f"/transfers/{job.pk}/").status_code >= 400
    job = until(job)
    assert (job.state, job.error_code) == (JobState.FAILED, "reference_moved"), job.error_raw


def test_names_that_a_load_takes_from_other_images_are_told(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, Image(["shop/api:1"], [noise("older", 100_000)]))
    older, content = find(host, "shop/api:1").engine_id, archive(API)
    [load] = ada.load([host], len(content))
    assert ada.upload(load, content).status_code == 200
    assert until(load).result["moved"] == {"shop/api:1": older}
    page = ada.http.get(f"/jobs/{load.pk}/").text
    assert f"shop/api:1 belonged to {older[7:19]} before." in page


def test_several_images_go_into_one_archive_and_share_their_layers(
    engine: PrivateEngine, ada: Person
) -> None:
    host = filled(engine, API, WEB)
    job = ada.save(find(host, "shop/api:1"), find(host, "shop/web:2"))
    content = ada.download(job)
    assert tags_inside(content) == {"shop/api:1", "shop/api:latest", "shop/web:2"}
    assert len(content) < 1_200_000  # three layers and not four
    assert job.parameters["about_bytes"] == pytest.approx(len(content), rel=0.1)
    assert job.parameters["file"].endswith(".tar")


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd", "zstd of several frames"])
def test_packed_archives_are_taken(engine: PrivateEngine, host: Host, ada: Person, packing: str) -> None:
    content = archive(API, WEB)
    compress = zstandard.ZstdCompressor().compress
    packed = {
        "gzip": lambda: gzip.compress(content),
        "bzip2": lambda: bz2.compress(content),
        "xz": lambda: lzma.compress(content, preset=0),
        "zstd": lambda: compress(content),
        "zstd of several frames": lambda: compress(content[:700_000]) + compress(content[700_000:]),
    }[packing]()
    [job] = ada.load([host], len(packed))
    assert ada.upload(job, packed).status_code == 200
    job = until(job)
    assert (job.state, job.error_raw) == (JobState.SUCCEEDED, "")
    assert tags(engine) == {"shop/api:1", "shop/api:latest", "shop/web:2"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "archive_empty"),
        (b"hello, this is not an archive" * 1000, "archive_unknown"),
        (os.urandom(2_000_000), "archive_unknown"),
        (gzip.compress(b"packed, and still no archive" * 1000), "archive_unknown"),
        (b"".join(Layer("etc/passwd", 2000).stream()), "archive_not_images"),
        (archive(API)[:500_000], "archive_broken"),
        (zstandard.ZstdCompressor().compress(archive(API))[:300_000], "archive_broken"),
    ],
    ids=["empty", "text", "noise", "packed text", "tar of files", "cut off", "cut off zstd"],
)
def test_what_is_no_archive_is_refused_with_a_word(
    host: Host, ada: Person, content: bytes, code: str
) -> None:
    [job] = ada.load([host], len(content))
    with contextlib.suppress(httpx.TransportError):  # refused in the middle
        ada.upload(job, content)
    job = until(job)
    assert (job.state, job.error_code) == (JobState.FAILED, code), job.error_raw
    assert not Copy.objects.filter(host=host).exists()


def test_garbage_is_refused_before_all_of_it_came(host: Host, ada: Person) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 4_000_000_000:
            sent += 1_000_000
            yield bytes(1_000_000)

    [job] = ada.load([host], 4_000_000_000)
    with contextlib.suppress(httpx.TransportError):
        assert ada.upload(job, endless()).status_code == 409
    assert until(job).error_code == "archive_unknown"
    assert sent < 100_000_000


def test_one_upload_goes_to_several_hosts_and_one_that_fails_stops_no_other(
    engine: PrivateEngine, host: Host, make_engine: Any, ada: Person
) -> None:
    other = make_engine("other")
    dead = factories.make_host("dead", address="unix:///run/nobody.sock")
    second = registered(other.address)
    content = archive(API)
    jobs = ada.load([host, dead, second], len(content))
    assert ada.upload(jobs[0], content).status_code == 200
    states = {job.host_id: until(job) for job in jobs}
    assert states[host.pk].state == states[second.pk].state == JobState.SUCCEEDED
    assert (states[dead.pk].state, states[dead.pk].error_code) == (JobState.FAILED, "host_no_socket")
    assert tags(engine) == tags(other) == {"shop/api:1", "shop/api:latest"}


def test_more_hosts_than_workers_do_not_wait_for_each_other_for_ever(
    engine: PrivateEngine, host: Host, ada: Person
) -> None:
    """The site of the tests carries out two jobs at once; the third host gets the archive when one is free."""
    hosts = [host, *(factories.make_host(address=engine.address) for _ in range(2))]
    jobs = ada.load(hosts, 10)
    assert ada.upload_to_all(jobs, archive(API)) == 2
    assert [until(job, seconds=60).state for job in jobs] == [JobState.SUCCEEDED] * 3


def test_download_that_is_abandoned_ends_the_job(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, Image(["big:1"], [Layer("data", 60_000_000)]))
    job = until(ada.save(find(host, "big:1")), phase="waiting")
    with ada.http.stream("GET", f"/transfers/{job.pk}/") as response:
        assert response.status_code == 200
        next(response.iter_raw())
    job = until(job)
    assert (job.state, job.error_code) == (JobState.FAILED, "transfer_abandoned")
    assert ada.http.get(f"/transfers/{job.pk}/").status_code == 409


def test_upload_that_is_abandoned_ends_the_job_and_leaves_nothing(
    engine: PrivateEngine, host: Host, ada: Person
) -> None:
    class Gone(Exception):
        pass

    def half() -> Iterator[bytes]:
        yield archive(API)[:600_000]
        raise Gone

    [job] = ada.load([host], 1_000_000)
    with pytest.raises(Gone):
        ada.upload(job, half())
    job = until(job)
    assert (job.state, job.error_code) == (JobState.FAILED, "transfer_abandoned")
    assert not tags(engine)


def test_download_breaks_off_when_the_engine_is_killed(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, Image(["big:1"], [Layer("data", 300_000_000)]))
    job = until(ada.save(find(host, "big:1")), phase="waiting")
    broken_download(ada, job, engine.kill)
    job = until(job)
    assert (job.state, job.error_code) == (JobState.FAILED, "host_gone")


def test_cancel_ends_a_download(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, Image(["big:1"], [Layer("data", 300_000_000)]))
    job = until(ada.save(find(host, "big:1")), phase="waiting")
    began = time.monotonic()
    broken_download(ada, job, lambda: ada.post(f"/jobs/{job.pk}/cancel/"))
    assert until(job).state == JobState.CANCELLED
    assert time.monotonic() - began < 5


def test_cancel_ends_an_upload(engine: PrivateEngine, host: Host, ada: Person) -> None:
    [job] = ada.load([host], 10**9)

    def slow() -> Iterator[bytes]:
        for number, piece in enumerate(zeros("big:1", 10**9)):
            if number == 5:
                threading.Thread(target=closing(lambda: ada.post(f"/jobs/{job.pk}/cancel/"))).start()
            if number > 5:
                time.sleep(0.05)
            yield piece

    with contextlib.suppress(httpx.TransportError):
        assert ada.upload(job, slow()).status_code == 409
    assert until(job).state == JobState.CANCELLED
    assert not tags(engine)


def test_save_without_a_browser_does_not_hold_the_worker(
    engine: PrivateEngine, ada: Person, live_site: LiveSite
) -> None:
    """Killed web: its sign of life goes out, and the job ends with a word."""
    host = filled(engine, Image(["big:1"], [Layer("data", 300_000_000)]))
    job = until(ada.save(find(host, "big:1")), phase="waiting")
    broken_download(ada, job, lambda: live_site.kill("web"))
    job = until(job, seconds=40)
    assert (job.state, job.error_code) == (JobState.FAILED, "transfer_abandoned")


def test_image_that_is_gone_is_said(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, WEB)
    copy = find(host, "shop/web:2")
    engine.wipe()
    job = until(ada.save(copy), phase="waiting")
    with pytest.raises(httpx.HTTPStatusError):
        ada.download(job)
    job = until(job)
    assert (job.state, job.error_code) == (JobState.FAILED, "copy_gone")


def test_redis_keeps_nothing(engine: PrivateEngine, ada: Person, redis_url: str) -> None:
    import redis

    host = filled(engine, WEB)
    job = ada.save(find(host, "shop/web:2"))
    ada.download(job)
    until(job)
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter("drydock:relay:*"):
            assert 0 < client.ttl(key) <= 600
            assert client.memory_usage(key) < 1000


def test_job_row_names_no_more_than_it_must(engine: PrivateEngine, ada: Person) -> None:
    host = filled(engine, WEB)
    job = Job.objects.get(pk=ada.save(find(host, "shop/web:2")).pk)
    assert set(job.parameters) == {"names", "images", "file", "gzip", "about_bytes"}
    until(job, phase="waiting")
    assert ada.post(f"/jobs/{job.pk}/cancel/").status_code == 302
    assert until(job).state == JobState.CANCELLED
