"""Choosing in the list with a mouse: across pages, all that match, groups that unfold, and IDs to paste."""

import re
from typing import TYPE_CHECKING

import pytest

from images.fleet.listing import PAGE_SIZE
from images.models import Copy, Host, HostGroup, Job
from tests import factories
from tests.browser.plugin import LiveSite, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def fleet(live_site: LiveSite, page: "Page") -> None:
    """A page and a bit of images of a host that is left alone."""
    host = factories.make_host("prod-1")
    for number in range(PAGE_SIZE + 3):
        factories.make_copy(host, f"shop/app{number:03}:1")
    Host.objects.update(image_count=PAGE_SIZE + 3)
    factories.make_admin("root")
    sign_in(page, "root")
    page.goto("/images/?sort=name")


def chosen(page: "Page", count: int) -> None:
    page.locator("#selection").get_by_text(f"{count} selected").wait_for()


def test_choice_goes_along_from_page_to_page(page: "Page") -> None:
    page.get_by_label("Select shop/app000:1 on prod-1").check()
    chosen(page, 1)
    page.get_by_role("link", name="Next").click()
    page.get_by_label(f"Select shop/app{PAGE_SIZE:03}:1 on prod-1").check()
    chosen(page, 2)
    with page.expect_response("**/images/selection/"):  # what is chosen is told again
        page.go_back()
    page.get_by_label("Select shop/app000:1 on prod-1").wait_for()
    assert page.get_by_label("Select shop/app000:1 on prod-1").is_checked()
    page.locator("#selection").get_by_role("button", name="Remove…").click()
    page.get_by_text("2 copies will be removed.").wait_for()


def test_all_that_match_are_chosen_and_removed(page: "Page") -> None:
    page.goto("/images/?sort=name&q=app00")
    page.get_by_label("Select shop/app000:1 on prod-1").check()
    chosen(page, 1)
    page.get_by_role("button", name="Select all that match").click()
    chosen(page, 10)
    page.locator("#selection").get_by_role("button", name="Remove…").click()
    page.get_by_role("button", name="Remove 10 images").click()
    page.wait_for_url("**/jobs/**")
    [job] = Job.objects.all()
    assert sorted(job.items.values_list("name", flat=True)) == [f"shop/app{n:03}:1" for n in range(10)]


def test_all_that_match_a_filter_that_is_not_understood_is_refused_in_words(page: "Page") -> None:
    page.goto("/images/?sort=name&older=never")
    page.get_by_label("Select shop/app000:1 on prod-1").check()
    chosen(page, 1)
    page.get_by_role("button", name="Select all that match").click()
    page.locator("#selection").get_by_text("Which images are meant is not clear").wait_for()
    assert page.locator("#selection").get_by_role("button", name="Remove…").count() == 0
    page.get_by_text("Export", exact=True).click()
    page.get_by_role("link", name="CSV").click()
    page.get_by_text("Which images are meant is not clear").wait_for()
    assert "/export/" in page.url
    page.go_back()
    page.get_by_role("link", name="Clear", exact=True).click()
    page.get_by_label("Select shop/app052:1 on prod-1").check()
    chosen(page, 1)


@pytest.mark.parametrize("is_dialog", [True, False])
def test_double_click_starts_one_removal(page: "Page", is_dialog: bool) -> None:
    if is_dialog:
        page.get_by_label("Select shop/app000:1 on prod-1").check()
        chosen(page, 1)
        page.locator("#selection").get_by_role("button", name="Remove…").click()
    else:
        page.goto(f"/images/remove/?copy={Copy.objects.get(repository='shop/app000').pk}")
    page.get_by_role("button", name="Remove 1 image").dblclick()
    page.wait_for_url("**/jobs/*/")
    assert Job.objects.count() == 1


def test_form_that_was_refused_is_sent_again(page: "Page") -> None:
    HostGroup.objects.get_or_create(name="production")
    page.goto("/groups/")
    page.get_by_role("link", name="Add a group").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("production")
    dialog.get_by_role("button", name=re.compile("Add|Save")).click()
    dialog.get_by_text("There is a group of this name already.").wait_for()
    dialog.get_by_label("Name").fill("ci")
    dialog.get_by_role("button", name=re.compile("Add|Save")).click()
    page.locator("main table").get_by_role("link", name="ci", exact=True).wait_for()


def test_group_unfolds_to_its_copies(page: "Page") -> None:
    page.goto("/images/?by=repository&sort=name&q=app001")
    page.locator("#fleet [data-unfold]").click()
    page.get_by_label("Select shop/app001:1 on prod-1").check()
    chosen(page, 1)


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_ids_are_copied_also_where_a_browser_has_no_clipboard(page: "Page", has_clipboard: bool) -> None:
    """Without TLS it has none."""
    if not has_clipboard:
        page.add_init_script("delete Navigator.prototype.clipboard")
        page.reload()
        assert page.evaluate("navigator.clipboard === undefined")
    page.get_by_label("Select shop/app001:1 on prod-1").check()
    chosen(page, 1)
    page.get_by_role("button", name="Copy IDs").click()
    page.locator("[data-copy].is-copied").wait_for()
    page.locator("input[type=search]").first.click()
    page.keyboard.press("Control+V")
    found = Copy.objects.get(repository="shop/app001")
    assert page.locator("input[type=search]").first.input_value() == found.short_id
