"""Pictures, events and freed bytes on other engines: see extra.py."""

import time

import pytest
from django.utils import timezone

from config.demo import images as samples
from config.demo.engines import PrivateEngine
from images.engine import read
from images.engine.client import Connection, open_engine
from images.hosts import freshness
from images.hosts.watch import Watcher
from images.inventory.holdings import host_holdings
from images.models import Copy, Host, Image
from tests.engine.extra import BY_HAND, EXTRA, AddressOf, emptied, load
from tests.engine.test_sync import APP, BASE
from tests.engine.test_watch import within

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]
each = pytest.mark.parametrize("name", EXTRA)


def synced(name: str, address: str) -> Host:
    host, _ = Host.objects.get_or_create(name=name, defaults={"address": address})
    freshness.host_sync(host.pk)
    host.refresh_from_db()
    assert host.is_online, (host.error_code, host.error_raw)
    return host


IMAGES = (
    samples.Image(["base:1"], [BASE]),
    samples.Image(["app:1", "app:latest"], [BASE, APP, samples.Step("CMD run")], labels={"team": "blue"}),
)


@each
def test_sync_tells_images_containers_and_store(name: str, address_of: AddressOf) -> None:
    with emptied(address_of(name)) as api:
        load(api, *IMAGES)
        container = samples.run_container(api, "app:1", "web", start=False)
        host = synced(name, address_of(name))
        print(
            name,
            host.engine_kind,
            host.engine_version,
            host.api_version,
            host.store_kind,
            host.storage_driver,
        )
        for copy in Copy.objects.filter(host=host):
            print(
                copy,
                [str(r) for r in copy.references.all()],
                copy.size_bytes,
                copy.own_bytes,
                copy.content_bytes,
            )
        assert host.image_count == 2
        app = Copy.objects.get(tag="1", repository__endswith="app")
        assert app.container_count == 1
        assert app.references.filter(tag="latest").exists()
        assert "team=blue" in app.search_text
        assert app.image.image_layers.count() == 2
        with open_engine(Connection.of(host)) as engine:
            assert freshness.picture_take(host, engine).is_unchanged
        api.remove_container(container)


@each
def test_watch_tells_changes_soon(name: str, address_of: AddressOf) -> None:
    with emptied(address_of(name)) as api:
        load(api, IMAGES[0])
        host = synced(name, address_of(name))
        watcher = Watcher()
        watcher.round()
        watcher.round()
        try:
            within(20, lambda: Host.objects.get(pk=host.pk).is_watched(timezone.now()), "watched")
            times = []
            load(api, IMAGES[1])
            times.append(
                within(4, lambda: Copy.objects.filter(repository__endswith="app").exists(), "loaded")
            )
            api.tag("base:1", "base", "2")
            times.append(within(4, lambda: Copy.objects.filter(references__tag="2").exists(), "tagged"))
            container = samples.run_container(api, "app:1", "web", start=False)
            times.append(within(4, lambda: Copy.objects.filter(container_count=1).exists(), "in use"))
            api.remove_container(container)
            times.append(within(4, lambda: not Copy.objects.filter(container_count=1).exists(), "free"))
            api.remove_image("base:2")
            times.append(within(4, lambda: not Copy.objects.filter(references__tag="2").exists(), "untagged"))
            api.remove_image("app:1")
            api.remove_image("app:latest")
            times.append(
                within(4, lambda: not Copy.objects.filter(repository__endswith="app").exists(), "gone")
            )
            print(name, "seconds:", [round(t, 2) for t in times])
        finally:
            watcher.release()


@each
def test_freed_is_as_predicted_or_said_to_be_an_estimate(name: str, address_of: AddressOf) -> None:
    with emptied(address_of(name)) as api:
        load(api, *IMAGES, samples.Image(["big:1"], [BASE, APP, samples.Layer("big", 3_000_000, "RUN big")]))
        host = synced(name, address_of(name))
        going = list(Copy.objects.filter(repository__endswith="big").values_list("pk", flat=True))
        freed = host_holdings(host).freed(going)
        with open_engine(Connection.of(host)) as engine:
            before = read.layers_size(engine)
            api.remove_image("big:1")
            time.sleep(1)
            after = read.layers_size(engine)
        measured = None if before is None or after is None else before - after
        print(
            name,
            "promised",
            freed.low,
            freed.high,
            "exact" if freed.is_exact else "estimate",
            "freed",
            measured,
        )
        assert not freed.is_exact or freed.high == measured
        assert measured is not None or host.engine_kind == "podman", "Podman 4 tells no total"


@pytest.mark.podman
def test_one_content_is_one_image_on_every_store(engine: PrivateEngine, address_of: AddressOf) -> None:
    """A graph driver names it by its config, the containerd store by a manifest, Podman in its own way."""
    addresses = {"docker": engine.address, "podman": address_of("podman")} | BY_HAND
    for name, address in addresses.items():
        with emptied(address) as api:
            load(api, *IMAGES)
            synced(name, address)
    for image in Image.objects.all():
        print(image, sorted(f"{c.host} {c.short_id} {c}" for c in image.copies.all()))
    assert Copy.objects.count() == 2 * len(addresses)
    assert Image.objects.count() == 2
