"""The keyboard alone is enough: skipping, searching, choosing, asking, going back."""

from typing import TYPE_CHECKING

import pytest

from tests import factories
from tests.browser.plugin import LiveSite, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

PRESSES = 60  # more than there are stops before anything that these tests look for


@pytest.fixture(autouse=True)
def fleet(live_site: LiveSite, page: "Page") -> None:
    """Three images on a host that is left alone, and the fleet list open before an admin."""
    host = factories.make_host("prod-1")
    for name in ("shop/api:1.0", "shop/api:2.0", "shop/web:3.0"):
        factories.make_copy(host, name)
    factories.make_admin("root")
    sign_in(page, "root")
    page.goto("/images/")


def has_focus(locator: "Locator") -> bool:
    return bool(locator.evaluate("element => element === document.activeElement"))


def tab_to(page: "Page", locator: "Locator") -> None:
    """Presses Tab until the element has the focus, as a person would."""
    for _ in range(PRESSES):
        page.keyboard.press("Tab")
        if has_focus(locator):
            return
    raise AssertionError(f"{PRESSES} times Tab do not lead to {locator}")


def choose_first(page: "Page") -> None:
    page.keyboard.press("/")
    tab_to(page, page.locator("#fleet input[name=copy]").first)
    page.keyboard.press("Space")
    page.locator("#selection").get_by_text("1 selected").wait_for()


def test_first_stop_skips_the_menu(page: "Page") -> None:
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    assert has_focus(link)
    assert link.bounding_box()["x"] >= 0, "it shows while it has the focus"  # type: ignore[index]
    page.keyboard.press("Enter")
    assert has_focus(page.locator("#main"))
    page.keyboard.press("Tab")
    assert page.locator("main :focus").count() == 1


def test_slash_goes_to_the_search_which_finds_while_one_types(page: "Page") -> None:
    page.keyboard.press("/")
    assert has_focus(page.locator("#id_q"))
    page.keyboard.type("web")
    page.locator("#fleet").get_by_text("1 copy").wait_for()
    assert has_focus(page.locator("#id_q")), "what comes in leaves the focus where it is"
    assert page.locator("#id_q").input_value() == "web", "a slash is not typed into the field"
    page.keyboard.type("/")
    assert page.locator("#id_q").input_value() == "web/", "in the field it is a letter like any other"


def test_list_is_sorted_with_enter(page: "Page") -> None:
    tab_to(page, page.locator("#fleet thead").get_by_role("link", name="Size"))
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=*")
    page.locator("#fleet th[aria-sort=descending]", has_text="Size").wait_for()


def test_dialog_takes_the_focus_keeps_it_and_gives_it_back(page: "Page") -> None:
    choose_first(page)
    opener = page.locator("#selection").get_by_role("button", name="Remove…")
    tab_to(page, opener)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Remove images")
    dialog.wait_for()
    assert dialog.locator(":focus").count() == 1
    tab_to(page, dialog.get_by_role("button", name="Cancel"))
    for _ in range(8):
        # After its last stop the browser's own bar has its turn; nothing of the page behind ever does.
        page.keyboard.press("Tab")
        assert page.locator(":focus:not(dialog *):not(body)").count() == 0
    tab_to(page, dialog.get_by_role("button", name="Cancel"))
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert has_focus(opener)


@pytest.mark.parametrize("key", ["Enter", " "])
def test_cancel_closes_the_dialog_and_leaves_the_page_as_it_was(page: "Page", key: str) -> None:
    page.goto("/images/?q=web")
    choose_first(page)
    opener = page.locator("#selection").get_by_role("button", name="Remove…")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Remove images")
    dialog.get_by_role("button", name="Cancel").focus()
    page.evaluate("window.sameDocument = true")
    page.keyboard.press(key)
    dialog.wait_for(state="detached")
    page.wait_for_timeout(500)  # a link would be followed now
    assert page.evaluate("window.sameDocument") is True
    assert page.url.endswith("/images/?q=web")
    page.locator("#selection").get_by_text("1 selected").wait_for()
    assert has_focus(opener)


def test_images_are_removed_without_a_mouse(page: "Page") -> None:
    choose_first(page)
    tab_to(page, page.locator("#selection").get_by_role("button", name="Remove…"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("dialog").get_by_role("button", name="Remove 1 image"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*/")


@pytest.mark.parametrize(("menu", "item"), [("Export", "CSV"), ("root", "Preferences")])
def test_menu_opens_with_enter_and_its_items_come_next(page: "Page", menu: str, item: str) -> None:
    summary = page.locator("details.menu > summary", has_text=menu)
    tab_to(page, summary)
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name=item)
    link.wait_for()
    page.keyboard.press("Tab")
    assert has_focus(link)


def test_menu_of_a_row_is_whole_in_a_small_window_and_escape_closes_it(page: "Page") -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.locator("#fleet tbody th a").first.click()
    button = page.locator("td details.menu summary").first
    button.focus()
    page.keyboard.press("Enter")
    items = page.locator("td .menu-items")
    items.locator("a").first.wait_for()
    box = items.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390, "nothing of it is beyond the edge"
    page.keyboard.press("Escape")
    items.wait_for(state="hidden")
    assert has_focus(button)
    page.keyboard.press("Enter")
    items.get_by_role("link", name="Tag…").click()
    page.get_by_role("dialog").wait_for()
    assert not items.is_visible(), "it makes room for the dialog"
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert has_focus(button)


def test_menu_of_a_small_window_opens_with_space(page: "Page") -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    tab_to(page, page.get_by_role("checkbox", name="Show the menu"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("link", name="Hosts", exact=True))
    page.keyboard.press("Enter")
    page.wait_for_url("**/hosts/")
