"""From an image's page into a registry and back: the dialog, the layers, the digest, and "newer in registry"."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Copy, Host, Job, Registry
from tests import factories
from tests.browser.plugin import LiveSite, sign_in
from tests.engine.freed import registered
from tests.engine.workers import wait_for
from tests.registry import PASSWORD, USERNAME, PrivateRegistry

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.registry]

BASE = Layer("base", 3_000_000)


@pytest.fixture
def registry(make_registry: Callable[..., PrivateRegistry]) -> PrivateRegistry:
    return make_registry(with_password=True)


@pytest.fixture
def host(live_site: LiveSite, engine: PrivateEngine) -> Host:
    factories.make_admin("root")
    with engine.client() as api:
        demo.load(api, Image(["shop/api:1"], [BASE, Layer("own", 2_000_000)]))
    return registered(engine.address)


def choose(page: "Page", action: str) -> None:
    """Opens the menu of the only copy and takes an entry of it."""
    page.locator("td .menu summary").click()
    page.locator("td .menu-items").get_by_text(action).click()
    page.locator("dialog[open]").wait_for()


def wait_for_success(page: "Page") -> None:
    """Of the job whose page has opened."""
    page.wait_for_url("**/jobs/*/")
    page.locator("#job_live .badge", has_text="Succeeded").first.wait_for()


def newest(kind: str) -> Any:
    return Job.objects.filter(kind=kind).latest("pk")


def test_image_is_tagged_pushed_and_found_behind_when_its_tag_moves(
    live_site: LiveSite, page: "Page", host: Host, engine: PrivateEngine, registry: PrivateRegistry
) -> None:
    sign_in(page, "root")

    # An account is entered and tried by a worker at once.
    page.goto("/registries/")
    page.get_by_role("link", name="Add a registry").first.click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Name", exact=False).first.fill("Ours")
    dialog.get_by_label("Registry").fill(registry.host)
    dialog.get_by_label("User name").fill(USERNAME)
    dialog.get_by_label("Password or token").fill(PASSWORD)
    dialog.get_by_label("Plain http", exact=False).check()
    dialog.get_by_role("button", name="Add and test").click()
    page.locator(".badge", has_text="Works").wait_for()

    # The new name comes from the suggestions.
    copy = Copy.objects.get(host=host)
    page.goto(f"/images/{copy.image_id}/")
    choose(page, "Tag…")
    field = page.locator("dialog[open] input[name=reference]")
    name = f"{registry.host}/shop/api:1"
    offered = page.locator(f"datalist#{field.get_attribute('list')} option").first
    assert offered.get_attribute("value") == name
    field.fill(name)
    page.locator("dialog[open]").get_by_role("button", name="Tag", exact=True).click()
    wait_for_success(page)

    # The push shows its layers, its account and the digest under which the registry has it.
    page.goto(f"/images/{copy.image_id}/")
    choose(page, "Push…")
    page.locator("dialog[open]").get_by_text(f"{name}, with the account Ours").wait_for()
    page.locator("dialog[open]").get_by_role("button", name="Push", exact=True).click()
    wait_for_success(page)
    digest = registry.digest("shop/api", "1", signed_in=True)
    page.locator("dd", has_text=digest).wait_for()
    assert page.locator("[id^=layer_]").count() == 2
    assert page.locator("dl.facts dd", has_text="Ours").count() == 1

    # Somebody else moves the tag: after a look the copy is behind, and one click pulls what is new.
    newer = move_tag(engine, name)
    # The tag went to the newer image and came back: the page is looked at when the watch has followed
    # all of it. That our copy has the name says nothing, as it had it before.
    wait_for(lambda: Copy.objects.filter(host=host, engine_id=newer).exclude(references__name=name).exists())
    wait_for(lambda: Copy.objects.filter(pk=copy.pk, references__name=name).exists())
    page.goto(f"/images/{copy.image_id}/")
    page.get_by_role("button", name="Check for newer").click()
    page.get_by_text("points at something newer").wait_for(timeout=20_000)
    page.goto("/images/?behind=1")
    page.locator(".badge", has_text="Newer in registry").first.wait_for()
    page.goto(f"/images/{copy.image_id}/")
    page.locator(".newer").get_by_role("link", name="Pull").click()
    page.locator("dialog[open]").get_by_role("button", name="Pull", exact=True).click()
    wait_for_success(page)
    page.get_by_text("The name belonged to").wait_for()
    assert newest("pull").result["digest"] == registry.digest("shop/api", "1", signed_in=True)


def move_tag(engine: PrivateEngine, name: str) -> str:
    """Pushes another image under the name, and puts the name back to where it was. Returns the other's ID."""
    repository, _, tag = name.rpartition(":")
    with engine.client() as client:
        api: Any = client
        before = api.inspect_image(name)["Id"]
        demo.load(api, Image([name], [BASE, Layer("newer", 1_000_000)]))
        newer: str = api.inspect_image(name)["Id"]
        auth = {"username": USERNAME, "password": PASSWORD}
        for line in api.push(name, stream=True, decode=True, auth_config=auth):
            assert "error" not in line, line
        api.tag(before, repository, tag)
        return newer


def test_registry_page_says_why_a_login_fails(
    live_site: LiveSite, page: "Page", registry: PrivateRegistry
) -> None:
    factories.make_admin("root")
    Registry.objects.create(
        name="Ours", prefix=registry.host, username=USERNAME, password="wrong", use_http=True
    )
    sign_in(page, "root")
    page.goto("/registries/")
    page.get_by_role("button", name="Test the login").click()
    page.locator(".badge", has_text="Failed").wait_for()
    page.get_by_text("does not let this account in").wait_for()
    page.get_by_label("Which account would be used for").fill(f"{registry.host}/shop/api:1")
    page.locator("#answer", has_text="Ours").wait_for()
