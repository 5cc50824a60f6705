"""Adding a host over ssh in a browser: check, compare, confirm, save; and what happens when its key changes."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from config.demo.engines import PrivateEngine
from images import ssh_keys
from images.models import Host
from tests.browser.plugin import LiveSite, sign_in
from tests.engine.workers import wait_for
from tests.factories import make_admin
from tests.sshd import PrivateSshd

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.ssh]


def look(page: "Page", name: str) -> None:
    """Pictures for whoever sets SCREENSHOTS to a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def check(page: "Page") -> None:
    """On the form of a host, or on its page, where it is in a menu."""
    if (menu := page.locator("details.menu.is-button summary")).count():
        menu.click()
    page.get_by_role("button", name="Check the connection").click()


def test_host_is_added_over_ssh_and_a_changed_key_accepted(
    live_site: LiveSite, page: "Page", engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd]
) -> None:
    sshd = make_sshd()
    make_admin("root")
    sign_in(page, "root")
    page.goto("/hosts/add/")
    page.get_by_label("Name").fill("far")
    page.get_by_label("Over ssh").check()
    page.get_by_label("Address").fill(sshd.address(engine.socket))
    page.get_by_label("Private key").fill(sshd.key)
    check(page)
    page.get_by_text("answers.").wait_for()
    fingerprint = ssh_keys.HostKey.of(sshd.host_key).fingerprint
    page.get_by_text(fingerprint).wait_for()
    look(page, "add")
    page.get_by_label("I compared it").check()
    page.get_by_role("button", name="Add this host").click()
    page.get_by_text("over ssh").wait_for()
    wait_for(lambda: Host.objects.get().is_online, 20)
    look(page, "host")

    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    host = Host.objects.get()
    page.goto(f"/hosts/{host.pk}/")
    check(page)
    page.get_by_text("shows another host key").first.wait_for()
    look(page, "changed")
    page.get_by_role("link", name="Accept a new key").click()
    page.set_viewport_size({"width": 390, "height": 800})
    check(page)
    page.get_by_text(ssh_keys.HostKey.of(sshd.host_key).fingerprint).last.wait_for()
    look(page, "accept")
    page.locator("#check").get_by_label("I compared it").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("was saved").wait_for()
    assert Host.objects.get().ssh_host_key == sshd.host_key
    wait_for(lambda: Host.objects.get().is_online, 20)


def test_key_that_drydock_made_is_shown_by_its_public_half(
    live_site: LiveSite, page: "Page", engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd]
) -> None:
    make_admin("root")
    sign_in(page, "root")
    page.goto("/hosts/add/")
    page.get_by_label("Name").fill("far")
    page.get_by_label("Over ssh").check()
    sshd = make_sshd()
    page.get_by_label("Address").fill(sshd.address(engine.socket))
    page.get_by_role("button", name="Make a key").click()
    line = page.get_by_label("Line for authorized_keys").input_value()
    look(page, "made")
    with (sshd.directory / "authorized_keys").open("a") as file:
        file.write(line + "\n")
    check(page)
    page.get_by_text("answers.").wait_for()
    page.get_by_label("I compared it").check()
    page.get_by_role("button", name="Add this host").click()
    page.get_by_text("over ssh").wait_for()
    assert ssh_keys.public_line(Host.objects.get().ssh_key) in line
    assert "PRIVATE KEY" not in page.content()
