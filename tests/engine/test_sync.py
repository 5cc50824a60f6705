"""Syncs of real engines: what is stored, what a sync costs, and that nothing is read twice."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from config.demo import images as samples
from config.demo.engines import STORE, PrivateEngine
from images.engine.client import Connection, Engine, open_engine
from images.hosts import freshness
from images.models import Container, Copy, Host, Image, ImageLayer
from tests import factories

pytestmark = [pytest.mark.engine, pytest.mark.django_db]

BASE = samples.Layer("base/rootfs", 500_000, "/bin/sh -c #(nop) ADD file:1 in /", tools=True)
APP = samples.Layer("app/code", 20_000, "COPY app /app")


def host_of(engine: PrivateEngine, name: str = "one") -> Host:
    return factories.make_host(name, address=engine.address, state="new", store_kind="", synced_at=None)


@contextmanager
def opened(host: Host) -> Iterator[tuple[Engine, list[str]]]:
    """An engine for the host, and the paths it is asked for."""
    with open_engine(Connection.of(host)) as engine:
        asked: list[str] = []
        send = engine.api.send

        def noted(request: object, **options: object) -> object:
            asked.append(request.path_url.split("?")[0].split("/", 2)[2])  # type: ignore[attr-defined]
            return send(request, **options)

        engine.api.send = noted
        yield engine, asked


def synced(host: Host) -> Host:
    freshness.host_sync(host.pk)
    host.refresh_from_db()
    assert host.is_online, (host.error_code, host.error_raw)
    return host


def tags_of(copy: Copy) -> list[str]:
    """Without the digests, which every image of the containerd store has."""
    return sorted(copy.references.filter(digest="").values_list("name", flat=True))


def test_sync_stores_images_layers_references_and_containers(engine: PrivateEngine) -> None:
    with engine.client() as api:
        samples.load(
            api,
            samples.Image(["base:1"], [BASE]),
            samples.Image(
                ["app:1.0", "app:latest"], [BASE, APP, samples.Step("CMD run")], labels={"Team": "Blue"}
            ),
        )
        samples.run_container(api, "app:1.0", "web", start=False)
        total = api.df()["LayersSize"]
    host = synced(host_of(engine))

    app = Copy.objects.get(tag="1.0")
    assert app.repository == "app"
    assert app.is_latest
    assert not app.is_dangling
    assert tags_of(app) == ["app:1.0", "app:latest"]
    assert "team=blue" in app.search_text
    assert app.container_count == 1
    assert app.last_used_at is not None
    assert [step["makes_layer"] for step in app.image.history] == [True, True, False]
    assert Container.objects.get().image == app.image
    assert host.total_bytes == pytest.approx(total, rel=0.01 if STORE == "containerd" else 0)
    assert (host.image_count, host.container_count) == (2, 1)
    assert host.store_kind == ("containerd" if STORE == "containerd" else "graph")
    top = ImageLayer.objects.get(image=app.image, position=1).layer
    assert app.own_bytes == top.size_bytes or (STORE == "containerd" and app.own_bytes > top.size_bytes)
    assert host.unused_bytes == 0 or STORE == "containerd"  # manifest and configuration


def test_an_unchanged_host_costs_one_image_list_and_one_container_list(engine: PrivateEngine) -> None:
    with engine.client() as api:
        samples.load(api, samples.Image(["base:1"], [BASE]))
    host = synced(host_of(engine))
    with opened(host) as (connected, asked):
        assert freshness.picture_take(host, connected).is_unchanged
    assert asked == ["images/json", "containers/json"]


@pytest.mark.graph_driver
def test_contents_are_inspected_once_for_all_hosts(
    engine: PrivateEngine, make_engine: Callable[..., PrivateEngine]
) -> None:
    image = samples.Image(["base:1"], [BASE])
    second = make_engine("second")
    for each in (engine, second):
        with each.client() as api:
            samples.load(api, image)
    synced(host_of(engine))
    host = host_of(second, "two")
    with opened(host) as (connected, asked):
        freshness.picture_take(host, connected)
    assert not [path for path in asked if path.startswith("images/sha256")]
    assert Image.objects.count() == 1
    assert Copy.objects.count() == 2


def test_a_vanished_image_and_a_moved_tag_are_followed(engine: PrivateEngine) -> None:
    with engine.client() as api:
        samples.load(api, samples.Image(["base:1"], [BASE]), samples.Image(["app:1"], [BASE, APP]))
        host = synced(host_of(engine))
        api.tag("app:1", "base", "1", force=True)
        host = synced(host)
        assert Copy.objects.filter(is_dangling=True).count() == 1
        assert tags_of(Copy.objects.get(is_dangling=False)) == ["app:1", "base:1"]
        api.remove_image(Copy.objects.get(is_dangling=True).engine_id)
        synced(host)
    assert Copy.objects.count() == 1


def test_untagged_parents_of_a_classic_build_are_intermediate(engine: PrivateEngine) -> None:
    with engine.client() as api:
        samples.load(api, samples.Image(["base:1"], [BASE]))
        samples.build(
            api, "FROM base:1\nRUN echo hi > /x\nCOPY f /f\nCMD x\n", tag="built:1", files={"f": b"123"}
        )
    host = synced(host_of(engine))
    assert Copy.objects.filter(is_intermediate=True).count() == 2
    assert host.image_count == 2


@pytest.mark.graph_driver  # the containerd store (28.5) keeps it without a name
def test_image_removed_by_force_is_still_held_by_its_container(engine: PrivateEngine) -> None:
    with engine.client() as api:
        samples.load(api, samples.Image(["app:1"], [BASE, APP]))
        samples.run_container(api, "app:1", "web", start=False)
        host = synced(host_of(engine))
        api.remove_image("app:1", force=True)
        before = host.total_bytes
        host = synced(host)
    assert host.total_bytes == before
    container = Container.objects.get()
    assert container.copy is None
    assert container.image is not None
    assert Copy.objects.count() == 0


def test_buildkit_cache_that_holds_layers_is_noticed(engine: PrivateEngine) -> None:
    with engine.client() as api:
        samples.load(api, samples.Image(["base:1"], [BASE]))
        samples.build(api, "FROM base:1\nCOPY f /f\n", tag="built:1", files={"f": b"123"}, buildkit=True)
    assert synced(host_of(engine)).build_cache_holds_layers


def test_a_stopped_engine_is_offline_and_comes_back(engine: PrivateEngine) -> None:
    host = synced(host_of(engine))
    engine.pause()
    began = time.monotonic()
    freshness.host_sync(host.pk)
    assert time.monotonic() - began < freshness.PING_SECONDS + 1
    host.refresh_from_db()
    assert (host.state, host.error_code) == ("offline", "host_timeout")
    assert host.next_attempt_at is not None
    engine.cont()
    assert synced(host).state == "online"
