"""Holdings as they come from the database."""

import time
from typing import Any

import pytest

from images.inventory.holdings import freed_by_host, host_holdings
from images.layers import Freed
from images.models import Container, Copy, Host, Image, ImageLayer, Layer, StoreKind
from tests import factories as make

pytestmark = pytest.mark.django_db


def freed(*copies: Copy) -> Freed:
    return next(iter(freed_by_host([copy.pk for copy in copies]).values()))


def test_two_engine_ids_of_one_content_hold_each_others_layers() -> None:
    host, image = make.make_host(), make.make_image(make.make_layer(70))
    one, two = make.make_copy(host, "a:1", image=image), make.make_copy(host, "b:1", image=image)
    assert freed(one).high == 0
    assert freed(one).blockers == {one.pk: (two.pk,)}
    assert freed(one, two).high == 70


def test_each_store_kind_has_its_own_sizes() -> None:
    chain = "sha256:" + "1" * 64
    layers = [make.make_layer(70, chain), make.make_layer(75, chain, StoreKind.CONTAINERD)]
    image = make.make_image(*layers)
    graph = make.make_copy(make.make_host(), "a:1", image=image)
    blobs = make.make_copy(
        make.make_host(store_kind=StoreKind.CONTAINERD), "a:1", image=image, content_bytes=20
    )
    assert (freed(graph).low, freed(graph).high) == (70, 70)
    assert (freed(blobs).low, freed(blobs).high) == (75, 95)


def test_hosts_hold_no_layers_for_each_other() -> None:
    image = make.make_image(make.make_layer(70))
    copies = [make.make_copy(make.make_host(), "a:1", image=image) for _ in range(2)]
    assert [result.high for result in freed_by_host([copy.pk for copy in copies]).values()] == [70, 70]


def test_container_of_an_image_removed_by_force_holds_its_layers() -> None:
    host, base, top = make.make_host(), make.make_layer(70), make.make_layer(7)
    gone = make.make_image(base, make.make_layer(3))
    copy = make.make_copy(host, "a:1", image=make.make_image(base, top))
    Container.objects.create(host=host, image=gone, container_id="c1")
    assert freed(copy).high == 7


def test_parent_with_a_digest_reference_stays() -> None:
    host, base = make.make_host(), make.make_layer(70)
    names: tuple[str, ...]
    for names, expected in ((), 77), (("a@sha256:" + "1" * 64,), 7):
        Copy.objects.all().delete()
        parent = make.make_copy(host, *names, image=make.make_image(base), is_intermediate=True)
        image = make.make_image(base, make.make_layer(7))
        child = make.make_copy(host, "b:1", image=image, parent_engine_id=parent.engine_id)
        assert freed(child).high == expected


def test_podman_and_a_holding_build_cache_are_said_as_up_to() -> None:
    for fields in ({"engine_kind": "podman"}, {"build_cache_holds_layers": True}):
        copy = make.make_copy(make.make_host(**fields), "a:1")
        assert (freed(copy).low, freed(copy).high, freed(copy).is_up_to) == (0, 1000, True)


def _big_host() -> Host:
    """1000 images of 10 layers: 20 bases of 5 layers each, and 5 layers of their own."""
    host = make.make_host()
    Layer.objects.bulk_create(
        Layer(chain_id=f"c{n}", diff_id=f"c{n}", size_bytes=n, store_kind=StoreKind.GRAPH)
        for n in range(5100)
    )
    layers = list(Layer.objects.order_by("size_bytes"))
    Image.objects.bulk_create(Image(content_key=f"big{n}") for n in range(1000))
    images = list(Image.objects.filter(content_key__startswith="big").order_by("pk"))
    rows: list[ImageLayer] = []
    for n, image in enumerate(images):
        stack = layers[n % 20 * 5 : n % 20 * 5 + 5] + layers[100 + n * 5 : 105 + n * 5]
        rows += [ImageLayer(image=image, layer=layer, position=p) for p, layer in enumerate(stack)]
    ImageLayer.objects.bulk_create(rows)
    now = host.added_at
    Copy.objects.bulk_create(
        Copy(host=host, image=image, engine_id=f"e{n}", first_seen_at=now, arrived_at=now, last_seen_at=now)
        for n, image in enumerate(images)
    )
    return host


def test_thousand_images_take_no_time(django_assert_num_queries: Any) -> None:
    host = _big_host()
    with django_assert_num_queries(4):
        host_holdings(host)
    started = time.process_time()
    holdings = host_holdings(host)
    loaded = time.process_time()
    whole = holdings.freed(Copy.objects.values_list("pk", flat=True))
    computed = time.process_time()
    own = holdings.own_bytes_all()
    totals = holdings.totals()
    done = time.process_time()
    print(f"load {loaded - started:.3f} s, freed {computed - loaded:.3f} s, rest {done - computed:.3f} s")
    assert (whole.high, len(own)) == (totals.total, 1000)
    assert done - started < 0.6, "four times the budget of 0.15 s: the machine may be busy"
