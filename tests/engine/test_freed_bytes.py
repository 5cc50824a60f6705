"""Freed bytes on a real engine: promised before, equal to the drop of the engine's own total after."""

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer, Step
from images.layers import Freed
from images.models import Container, Copy, ItemState, StoreKind
from tests.engine.freed import find, prove, prove_freed, registered

pytestmark = [pytest.mark.engine, pytest.mark.django_db]

BASE = Layer("base", 100_000)
TOOLS = Layer("tools", tools=True)


def test_images_that_share_nothing(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["a:1"], [Layer("a", 3000)]), Image(["b:1"], [Layer("b", 500)]))
    prove_freed(engine, 3500, "a:1", "b:1")


def test_images_on_a_common_base(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, *(Image([f"a:{n}"], [BASE, Layer("a", 3000 + n)]) for n in range(3)))
    prove_freed(engine, 6002, "a:0", "a:2")
    prove_freed(engine, 103_001, "a:1")


def test_chain_where_the_lower_image_frees_nothing_by_itself(engine: PrivateEngine) -> None:
    middle, top = Layer("middle", 2000), Layer("top", 300)
    with engine.client() as api:
        demo.load(
            api,
            Image(["low:1"], [BASE]),
            Image(["mid:1"], [BASE, middle]),
            Image(["top:1"], [BASE, middle, top]),
        )
    host = registered(engine.address)
    proof = prove_freed(engine, 0, "mid:1", host=host)
    assert list(proof.promised.blockers.values()) == [(find(host, "top:1").pk,)]
    prove_freed(engine, 102_300, "low:1", "top:1", host=host)


@pytest.mark.graph_driver  # of images of one archive, the containerd store (28.5) takes the layers for the first one's
def test_identical_layers_with_another_configuration(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["a:1"], [BASE], labels={"x": "1"}), Image(["b:1"], [BASE], labels={"x": "2"}))
    host = registered(engine.address)
    prove_freed(engine, 0, "a:1", host=host)
    prove_freed(engine, 100_000, "b:1", host=host)


def test_same_diff_over_different_parents_is_stored_twice(engine: PrivateEngine) -> None:
    same = Layer("same", 7000)
    with engine.client() as api:
        demo.load(api, Image(["a:1"], [Layer("x", 10), same]), Image(["b:1"], [Layer("y", 20), same]))
    host = registered(engine.address)
    prove_freed(engine, 7010, "a:1", host=host)
    prove_freed(engine, 7020, "b:1", host=host)


def test_two_references_go_together(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["a:1", "a:latest", "other/a:1"], [BASE]))
    prove_freed(engine, 100_000, "a:1")


def test_untagged_parents_of_a_classic_build_go_along(engine: PrivateEngine) -> None:
    files = {"f": b"x" * 999, "g": b"y" * 5000}
    with engine.client() as api:
        demo.load(api, Image(["base:1"], [BASE]))
        demo.build(api, "FROM base:1\nCOPY f /\nCOPY g /\nENV A=1\n", tag="built:1", files=files)
    host = registered(engine.address)
    proof = prove_freed(engine, 5999, "built:1", host=host)
    assert len(proof.promised.parents) == 2
    assert [copy.name for copy in Copy.objects.filter(host=host)] == ["base:1"]


def test_parent_that_two_builds_share_goes_with_the_second(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["base:1"], [BASE]))
        for name, text in (("one", "COPY g /"), ("two", "COPY h /")):
            files = {"f": b"x" * 999, "g": b"y" * 5000, "h": b"z" * 60}
            demo.build(api, f"FROM base:1\nCOPY f /\n{text}\n", tag=f"{name}:1", files=files)
    host = registered(engine.address)
    prove_freed(engine, 5000, "one:1", host=host)
    prove_freed(engine, 1059, "two:1", host=host)


def test_container_on_an_untagged_parent_keeps_it(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["base:1"], [TOOLS]))
        files = {"f": b"x" * 999, "g": b"y" * 5000}
        child = demo.build(api, "FROM base:1\nCOPY f /\nCOPY g /\n", tag="built:1", files=files)
        parent = next(row["ParentId"] for row in api.images(all=True) if row["Id"] == child)
        demo.run_container(api, parent, "on-parent", start=False)
    host = registered(engine.address)
    prove_freed(engine, 5000, "built:1", host=host)
    assert Copy.objects.filter(host=host, engine_id=parent).exists()


def test_image_built_from_another(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["base:1"], [BASE, Step("CMD"), Layer("more", 400)]))
        demo.build(api, "FROM base:1\nCOPY f /\n", tag="built:1", files={"f": b"x" * 999})
    host = registered(engine.address)
    if host.store_kind != StoreKind.CONTAINERD:
        assert prove(host, ["base:1"]).states == (ItemState.SKIPPED,), "a child needs it"
    prove_freed(engine, 101_399, "base:1", "built:1", host=host)


def test_container_of_an_image_removed_by_force_holds_its_layers(engine: PrivateEngine) -> None:
    """Such layers are on the disk but not in the engine's total; Drydock's measurement has them."""
    with engine.client() as api:
        demo.load(api, Image(["a:1"], [BASE, Layer("a", 3000)]), Image(["b:1"], [BASE, Layer("b", 500)]))
        demo.run_container(api, "a:1", "holder", start=False)
    host = registered(engine.address)
    forced = prove(host, ["a:1"], force=True)
    assert forced.promised.high == 0
    if host.store_kind == StoreKind.CONTAINERD:
        assert 0 <= forced.freed == forced.layers_size_drop < 16_000, "blobs alone, which no container holds"
        return
    assert (forced.freed, forced.layers_size_drop) == (0, 3000)
    assert Container.objects.get(host=host).image_id
    proof = prove(host, ["b:1"])
    assert (proof.promised.high, proof.freed, proof.layers_size_drop) == (500, 500, 100_500)


def test_force_removed_image_whose_base_another_image_uses(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(
            api,
            Image(["a:1"], [BASE, Layer("a", 3000)]),
            Image(["b:1"], [BASE, Layer("b", 500)]),
            Image(["c:1"], [BASE]),
        )
        demo.run_container(api, "a:1", "holder", start=False)
        api.remove_image("a:1", force=True)
        api.remove_image(api.images("c:1")[0]["Id"], force=True)
        demo.load(api, Image(["c:1"], [BASE]))
    prove_freed(engine, 500, "b:1")


def test_image_loaded_without_history(engine: PrivateEngine) -> None:
    with engine.client() as api:
        layers = [BASE, Layer("a", 3000)]
        demo.load(api, Image(["a:1"], layers, has_history=False), Image(["b:1"], [BASE, Layer("b", 1)]))
    prove_freed(engine, 103_001, "a:1", "b:1")


def test_dangling_image(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["b:1"], [BASE]))
        engine_id = demo.load_dangling(api, Image([], [BASE, Layer("old", 42)]))
    prove_freed(engine, 42, engine_id)


def test_build_cache_that_holds_layers_is_said_as_up_to(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["base:1"], [BASE]))
        demo.build(api, "FROM base:1\nCOPY f /\n", tag="kit:1", files={"f": b"x" * 999}, buildkit=True)
    host = registered(engine.address)
    proof = prove(host, ["kit:1"])
    promised: Freed = proof.promised
    assert (promised.low, promised.is_up_to) == (0, True)
    assert promised.high == 999 or host.store_kind == StoreKind.CONTAINERD
    assert promised.low <= proof.freed <= promised.high
