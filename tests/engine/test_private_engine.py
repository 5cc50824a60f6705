"""The engines that the other tests run on."""

from collections.abc import Callable
from typing import Any

import pytest

from config.demo import images
from config.demo.engines import PrivateEngine, _processes

pytestmark = pytest.mark.engine


def test_loaded_image_has_the_layers_dates_and_labels_that_were_asked_for(engine: PrivateEngine) -> None:
    base = images.Layer("base", 5000, "/bin/sh -c #(nop) ADD file:1 in /")
    image = images.Image(
        ["shop/api:1.0"], [base, images.Step("CMD"), images.Layer("app", 700)], labels={"a": "b"}
    )
    with engine.client() as api:
        engine_id = images.load(api, image)["shop/api:1.0"]
        document = images.inspect(api, engine_id)
        assert len(document["RootFS"]["Layers"]) == 2
        assert document["Config"]["Labels"] == {"a": "b"}
        assert document["Created"].startswith("2026-01-01")
        raw: Any = api
        assert [entry["Size"] for entry in raw.history(engine_id)] == [700, 0, 5000]
        assert api.df()["LayersSize"] == 5700


def test_engine_is_empty_again(engine: PrivateEngine) -> None:
    base = images.Layer("base", tools=True)
    with engine.client() as api:
        images.load(api, images.Image(["base:1", "base:latest"], [base]))
        images.load_dangling(api, images.Image([], [base, images.Layer("extra", 10)]))
        images.build(api, "FROM base:1\nRUN true\nCOPY f /\n", tag="built:1", files={"f": b"1"})
        images.build(api, "FROM base:1\nCOPY f /\n", tag="built:2", files={"f": b"2"}, buildkit=True)
        images.run_container(api, "built:1")
        engine.wipe()
        assert (api.images(all=True), api.df()["LayersSize"]) == ([], 0)


def test_killed_engine_comes_back_and_leaves_nothing(make_engine: Callable[..., PrivateEngine]) -> None:
    engine = make_engine("killed", tcp_port=0)
    with engine.client() as api:
        images.load(api, images.Image(["base:1"], [images.Layer("base", tools=True)]))
        images.run_container(api, "base:1")
    engine.kill()
    assert not engine.ping()
    engine.start()
    engine.pause()
    assert not engine.ping(0.2)
    engine.cont()
    assert engine.ping()
    engine.stop()
    assert not [line for _, line in _processes() if engine.runtime.name in " ".join(line)]
