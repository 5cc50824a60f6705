"""A pull from the host's page: the layers as they come, what was there already, and one that is stopped."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Host
from tests import factories
from tests.browser.plugin import LiveSite, sign_in
from tests.engine.freed import registered
from tests.engine.moves import loaded, noise, tags
from tests.registry import PrivateRegistry
from tests.way import Way, way_to

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.registry]

BASE = Layer("base", content=b"b" * 200_000)
SLOW = 800_000  # bytes a second


@pytest.fixture
def way(make_registry: Callable[..., PrivateRegistry]) -> Iterator[Way]:
    with way_to(make_registry().port) as made:
        yield made


@pytest.fixture
def host(live_site: LiveSite, engine: PrivateEngine, way: Way) -> Host:
    """Holds the base of two images that the registry has."""
    factories.make_admin("root")
    for number in (1, 2):
        name = f"{way.host}/shop/api:{number}"
        loaded(engine, Image([name], [BASE, noise("data", 6_000_000)]))
        with engine.client() as api:
            raw: Any = api
            assert not [line for line in raw.push(name, stream=True, decode=True) if "error" in line]
            if number == 2:
                api.remove_image(name)
    return registered(engine.address)


def pull(page: "Page", host: Host, name: str) -> None:
    page.goto(f"/hosts/{host.pk}/")
    page.get_by_role("link", name="Pull an image").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Image", exact=True).fill(name)
    dialog.get_by_role("button", name="Pull", exact=True).click()
    page.wait_for_url("**/jobs/*/")


def state(page: "Page", text: str) -> Any:
    return page.locator("#job_live .badge", has_text=text).first


def test_layers_fill_their_bars_and_what_is_here_says_so(
    page: "Page", host: Host, engine: PrivateEngine, way: Way
) -> None:
    from playwright.sync_api import expect

    sign_in(page, "root")
    way.slow_bytes = SLOW
    pull(page, host, f"{way.host}/shop/api:2")
    layers = page.locator("[id^=layer_]")
    layers.filter(has_text="Already there").wait_for()
    coming = layers.filter(has_text="Downloading")
    coming.wait_for()
    bar = coming.locator("progress")
    value = bar.get_attribute("value")
    expect(bar, "the bar moves").not_to_have_attribute("value", str(value), timeout=10_000)
    assert " of 6" in coming.inner_text()
    whole = page.locator("#job_live > section").first
    for text in ("kB/s", "left"):
        whole.get_by_text(text).first.wait_for()
        coming.filter(has_text=text).wait_for()
    way.slow_bytes = 0
    state(page, "Succeeded").wait_for()
    assert layers.count() == 2
    assert layers.filter(has_text="Done").count() == 1
    assert f"{way.host}/shop/api:2" in tags(engine)


def test_pull_is_cancelled_from_its_page(page: "Page", host: Host, engine: PrivateEngine, way: Way) -> None:
    sign_in(page, "root")
    way.slow_bytes = SLOW
    pull(page, host, f"{way.host}/shop/api:2")
    page.locator("[id^=layer_]").filter(has_text="Downloading").wait_for()
    page.get_by_role("link", name="Cancel this job").click()
    page.get_by_role("button", name="Cancel the job").click()
    state(page, "Cancelled").wait_for(timeout=5000)
    assert f"{way.host}/shop/api:2" not in tags(engine)
