"""The whole of Drydock in one scene: from signing in to what a colleague may see, on engines that hold a shop.

With SCREENSHOTS=docs/screenshots in the environment the scene plays with the demo's full content, and pictures
of it are written into that folder: `SCREENSHOTS=docs/screenshots .venv/bin/pytest tests/browser/test_scene.py`.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.demo import content, images, seed
from config.demo.content import EngineContent
from config.demo.engines import PrivateEngine
from images.models import Host
from tests.browser.plugin import LiveSite, sign_in
from tests.engine.workers import wait_for
from tests.factories import make_admin

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.services]

SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
HEIGHT = 900
MakeEngine = Callable[..., PrivateEngine]


def reduced(what: EngineContent) -> EngineContent:
    """The same images with a hundredth of the bytes: they load in seconds."""

    def smaller(step: Any) -> Any:
        return replace(step, size_bytes=step.size_bytes // 100) if isinstance(step, images.Layer) else step

    small = tuple(replace(image, steps=[smaller(step) for step in image.steps]) for image in what.images)
    return replace(what, images=small)


def filled(make_engine: MakeEngine, what: EngineContent) -> PrivateEngine:
    engine = make_engine(what.name)
    with engine.client(timeout_seconds=600) as api:
        content.fill(api, what if SCREENSHOTS else reduced(what))
    return engine


@pytest.fixture
def engines(make_engine: MakeEngine) -> dict[str, PrivateEngine]:
    """By name: a production machine and a CI runner; for pictures the second production machine as well."""
    wanted = content.ENGINES if SCREENSHOTS else (content.PRODUCTION_1, content.CI_RUNNER)
    return {what.name: filled(make_engine, what) for what in wanted}


def layers_size(engine: PrivateEngine) -> int:
    """The engine's own total of image layers, in bytes."""
    with engine.client() as api:
        return int(api.df()["LayersSize"])


def names_on(engine: PrivateEngine) -> set[str]:
    with engine.client() as api:
        return {name for row in api.images() for name in row.get("RepoTags") or ()}


def shoot(page: "Page", name: str) -> None:
    """A picture for the README, when pictures are wanted."""
    if not SCREENSHOTS:
        return
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def exact_bytes(size: "Locator") -> int:
    """What a size says on hover."""
    found = re.fullmatch(r"([\d,]+) bytes?", size.get_attribute("title") or "")
    assert found, size.get_attribute("title")
    return int(found[1].replace(",", ""))


# What a person does


def add_group(page: "Page", name: str) -> None:
    page.goto("/groups/")
    page.get_by_role("link", name="Add a group").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name=re.compile("Add|Save")).click()
    page.locator("main table").get_by_role("link", name=name, exact=True).wait_for()


def add_host(page: "Page", engine: PrivateEngine, group: str) -> None:
    """On the page: the connection is tried before anything is saved."""
    page.goto("/hosts/add/")
    page.get_by_label("Name").fill(engine.name)
    page.get_by_label("Address").fill(str(engine.socket))
    page.get_by_label(group).check()
    page.get_by_role("button", name="Check the connection").click()
    page.get_by_text("Reached: Docker").wait_for()
    page.get_by_role("button", name="Add this host").click()
    page.get_by_role("status").get_by_text(f"{engine.name} was added").wait_for()


def find(page: "Page", text: str) -> "Locator":
    """Types into the search of the fleet list; the rows come while one types."""
    page.get_by_label("Search", exact=True).press_sequentially(text, delay=20)
    page.wait_for_url(lambda url: f"q={text.replace('/', '%2F').replace(':', '%3A')}" in url)
    return page.locator("#fleet tbody tr")


def choose(page: "Page", name: str, host: str) -> None:
    page.get_by_role("checkbox", name=f"Select {name} on {host}").check()


def mark(page: "Page") -> None:
    """A page that loads again forgets this."""
    page.evaluate("window.sameDocument = true")


def is_marked(page: "Page") -> bool:
    return page.evaluate("window.sameDocument") is True


def stat(page: "Page", label: str) -> "Locator":
    return page.locator(".stat", has=page.locator(".stat-label", has_text=label))


def pin(page: "Page", name: str, reason: str) -> None:
    page.goto("/images/")
    find(page, name)
    page.locator("#fleet tbody th a").first.click()
    page.get_by_role("link", name="Pin", exact=True).click()
    page.get_by_role("dialog").get_by_label("Reason").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name="Pin this image").click()
    page.get_by_text(f"Pinned on every host: {reason}").wait_for()


def make_policy(page: "Page") -> None:
    """In production: what is beyond the newest three or unused for a month goes, unless its tag says 1.9."""
    page.goto("/cleanup/policies/add/")
    page.get_by_role("textbox", name="Name").fill("Old versions in production")
    page.get_by_role("button", name="Beyond the newest 5").click()
    page.locator("#rules_delete").get_by_label("How many").fill("3")
    page.get_by_role("button", name="Unused for 30 days").click()
    page.locator("#rules_delete").get_by_label("Days").wait_for()
    page.get_by_role("button", name="A repository", exact=True).click()
    rule = page.locator("#rules_keep")
    rule.get_by_label("Pattern").fill("1.9.*")
    rule.get_by_label("Compared with").select_option("tag")
    page.get_by_label("production").check()
    page.get_by_label("Minimum age in hours").fill("0")
    page.get_by_role("button", name="Every night at 3").click()
    page.get_by_text("The next five times:").wait_for()
    page.get_by_role("button", name="Save the policy").click()
    page.get_by_role("status").get_by_text("The policy was saved.").wait_for()


def add_person(page: "Page", name: str, password: str) -> None:
    page.goto("/team/")
    page.get_by_role("link", name="Add a person").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Sign-in name").fill(name)
    dialog.get_by_label("First password").fill(password)
    dialog.get_by_role("button", name="Add").click()
    page.get_by_role("heading", name=name).first.wait_for()


def give_team_a_role(page: "Page", *, team: str, member: str, role: str, group: str) -> None:
    page.goto("/team/")
    page.get_by_role("link", name="Add a team").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(team)
    dialog.get_by_label(member).check()
    dialog.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name=team).wait_for()
    page.get_by_role("link", name="Give a role").click()
    dialog.get_by_label("Role").select_option(label=role)
    dialog.get_by_label("Where").select_option(label=group)
    dialog.get_by_role("button", name="Give").click()
    page.locator("main table").get_by_role("link", name=group).wait_for()


@pytest.fixture
def colleague(context: "BrowserContext", live_site: LiveSite) -> "Iterator[Page]":
    """The browser of somebody else."""
    browser = context.browser
    assert browser is not None
    other = browser.new_context(base_url=live_site.url, viewport={"width": 1440, "height": HEIGHT})
    other.set_default_timeout(10_000)
    yield other.new_page()
    other.close()


def test_the_whole_scene(page: "Page", colleague: "Page", engines: dict[str, PrivateEngine]) -> None:
    production = engines["prod-eu-1"]
    make_admin("ada")
    sign_in(page, "ada")
    add_group(page, "production")
    add_group(page, "ci")
    for name, engine in engines.items():
        add_host(page, engine, seed.GROUPS[name])
    the_fleet_is_read(page, engines)
    an_image_is_found_and_shows_its_layers(page)
    two_copies_are_removed_by_hand(page, production)
    pin(page, "shop/api:1.8.4", "Customers still run it")
    make_policy(page)
    the_plan_says_what_goes_and_why_the_rest_stays(page)
    the_run_frees_what_was_promised(page, production)
    add_person(page, "sam", "a first password")
    give_team_a_role(page, team="Support", member="sam", role="Viewer", group="production")
    a_viewer_sees_the_host_and_removes_nothing(colleague)
    page.goto("/")
    page.locator(".treemap").wait_for()
    page.locator("#cleanup_overview").get_by_text("freed").first.wait_for()
    shoot(page, "overview")


def the_fleet_is_read(page: "Page", engines: dict[str, PrivateEngine]) -> None:
    wait_for(seed.are_watched, 60, 0.2)
    # What only time can make: a history of use, of four months.
    seed.dates()
    page.goto("/images/")
    for name in engines:
        page.locator("#fleet").get_by_role("link", name=name).first.wait_for()
    assert Host.objects.count() == len(engines)


def an_image_is_found_and_shows_its_layers(page: "Page") -> None:
    found = find(page, "shop/worker")
    found.get_by_text("shop/worker").first.wait_for()
    assert "shop/web" not in page.locator("#fleet").inner_text()
    page.goto("/images/")
    shoot(page, "images")
    find(page, "nginx:1.27")
    page.locator("#fleet tbody th a").first.click()
    page.get_by_role("heading", name="Layers").wait_for()
    layers = page.locator("section", has=page.get_by_role("heading", name="Layers")).locator("tbody tr")
    assert layers.count() == 3
    assert "install -r nginx-1.27" in layers.nth(1).inner_text()
    shoot(page, "image")


def two_copies_are_removed_by_hand(page: "Page", engine: PrivateEngine) -> None:
    before = layers_size(engine)
    page.goto("/images/")
    find(page, "shop/web")
    for version in ("3.4.0", "3.5.0"):
        choose(page, f"shop/web:{version}", engine.name)
    bar = page.locator("#selection")
    bar.get_by_text("2 selected").wait_for()
    promised = exact_bytes(bar.locator(".selection-sum .size"))
    assert promised > 0
    bar.get_by_role("button", name="Remove…").click()
    dialog = page.get_by_role("dialog", name="Remove images")
    dialog.get_by_text("2 copies will be removed.").wait_for()
    # Held still, so that the page is there before the work is done.
    engine.pause()
    dialog.get_by_role("button", name=re.compile("Remove 2 images, free ")).click()
    page.wait_for_url("**/jobs/*/")
    mark(page)
    page.locator("#job_live .badge", has_text=re.compile("Queued|Running")).first.wait_for()
    assert page.locator("progress").first.get_attribute("value") == "0"
    engine.cont()
    page.locator("#job_live .badge", has_text="Succeeded").wait_for()
    items = page.get_by_role("region", name="Items").locator("tbody tr")
    outcomes = {name: outcome for name, outcome, *_ in map(str.split, items.all_inner_texts())}
    assert outcomes == {"shop/web:3.4.0": "Removed", "shop/web:3.5.0": "Removed"}
    assert is_marked(page), "the page followed the work without loading again"
    assert exact_bytes(stat(page, "Freed").locator(".size")) == promised
    assert before - layers_size(engine) == promised
    assert not names_on(engine) & {"shop/web:3.4.0", "shop/web:3.5.0"}


def the_plan_says_what_goes_and_why_the_rest_stays(page: "Page") -> None:
    page.get_by_role("button", name="Preview").click()
    page.get_by_text("would go, which frees").wait_for()
    host = page.locator("details", has=page.locator(".fold-title", has_text="prod-eu-1"))
    going = host.get_by_role("region", name="What would go from prod-eu-1").locator("tbody tr")
    staying = host.get_by_role("region", name="What stays on prod-eu-1").locator("tbody tr")
    going.first.wait_for()
    reason = going.filter(has_text="shop/api:2.0.0").locator(".reason").inner_text()
    assert reason == "Last used 35 days ago; the limit is 30."
    reasons = {
        "shop/api:1.8.4": "Pinned: Customers still run it",
        "shop/api:1.9.0": "1.9.0 matches 1.9.*, which stays.",
        "shop/api:2.1.0": "In use by 2 containers",
        "nginx:1.21": "In use by the container old-proxy.",
        "postgres:16.4": "No delete rule selects it.",
    }
    for name, why in reasons.items():
        assert why in staying.filter(has_text=name).first.inner_text()
    shoot(page, "plan")


def the_run_frees_what_was_promised(page: "Page", engine: PrivateEngine) -> None:
    before = layers_size(engine)
    page.get_by_role("link", name="Run now: remove").click()
    engine.pause()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Remove .*, free ")).click()
    page.wait_for_url("**/cleanup/runs/*/")
    mark(page)
    stat(page, "Freed").get_by_text("Measured on the engines when they are done.").wait_for()
    promised = exact_bytes(stat(page, "Promised").locator(".size"))
    engine.cont()
    page.locator("#run_head .badge", has_text="Succeeded").wait_for()
    stat(page, "Freed").get_by_text("Exactly what was promised.").wait_for()
    items = page.get_by_role("region", name="Images of prod-eu-1 in this run").locator("tbody tr")
    items.filter(has_text="shop/api:2.0.0").locator(".badge", has_text="Removed").wait_for()
    assert is_marked(page), "the page followed the run without loading again"
    assert exact_bytes(stat(page, "Freed").locator(".size")) == promised > 0
    if not SCREENSHOTS:  # there a second machine has its part in the sum
        assert before - layers_size(engine) == promised
    assert "shop/api:2.0.0" not in names_on(engine)
    assert {"shop/api:1.8.4", "shop/api:1.9.0"} <= names_on(engine)
    shoot(page, "run")


def a_viewer_sees_the_host_and_removes_nothing(colleague: "Page") -> None:
    sign_in(colleague, "sam", "a first password")
    colleague.get_by_label("Current password").or_(colleague.get_by_label("Old password")).fill(
        "a first password"
    )
    for field in colleague.locator("input[name^=new_password]").all():
        field.fill("a password of my own")
    colleague.get_by_role("button", name="Change password").click()
    colleague.get_by_text("Your password was changed.").wait_for()
    colleague.goto("/hosts/")
    hosts = colleague.locator("#hosts tbody")
    hosts.get_by_role("link", name="prod-eu-1").wait_for()
    assert hosts.get_by_role("link", name="ci-runner-1").count() == 0
    colleague.goto("/images/")
    choose(colleague, "shop/api:2.1.0", "prod-eu-1")
    colleague.locator("#selection").get_by_text("1 selected").wait_for()
    assert colleague.get_by_role("button", name="Remove…").count() == 0
    answer = colleague.goto("/images/remove/")
    assert answer is not None
    assert answer.status == 403
    colleague.get_by_role("heading", name="You are not allowed to do this").wait_for()
