"""The site runs, and a browser can use it."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.plugin import LiveSite, sign_in
from tests.factories import make_admin, make_copy, make_host

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_admin_signs_in_and_finds_an_image_in_the_fleet_list(live_site: LiveSite, page: "Page") -> None:
    make_admin("root")
    make_copy(make_host("prod-1", is_enabled=False), "shop/api:2.1.0")
    sign_in(page, "root")
    page.goto("/images/")
    page.locator("main table").get_by_text("shop/api").first.wait_for()


def test_every_program_keeps_running(live_site: LiveSite) -> None:
    for name, child in live_site.children.items():
        assert child.poll() is None, live_site.log(name)
