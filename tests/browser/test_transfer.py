"""Saving, loading and copying from the pages, with a real engine behind them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.demo.engines import PrivateEngine
from config.demo.images import Image
from images.models import Copy, Host, Job
from tests import factories
from tests.browser.plugin import LiveSite, sign_in
from tests.engine.freed import find, registered
from tests.engine.moves import archive, loaded, noise, tags, tags_inside, until, zeros

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.services]

API = Image(["shop/api:1"], [noise("base", 400_000), noise("api", 300_000)])


@pytest.fixture
def host(live_site: LiveSite, engine: PrivateEngine) -> Host:
    factories.make_admin("root")
    loaded(engine, API)
    host = registered(engine.address)
    Host.objects.filter(pk=host.pk).update(name="ci-1")
    return host


def test_image_is_copied_to_another_host_from_its_page(page: "Page", host: Host, make_engine: Any) -> None:
    other = make_engine("other")
    target = registered(other.address)
    Host.objects.filter(pk=target.pk).update(name="prod-1")
    sign_in(page, "root")
    page.goto(f"/images/{find(host, 'shop/api:1').image_id}/")
    page.get_by_label("More for the copy on ci-1").click()
    page.get_by_role("link", name="Copy to hosts…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("shop/api:1 on ci-1").wait_for()
    assert dialog.get_by_label("prod-1").is_checked()  # the only one there is
    dialog.get_by_role("button", name="Copy").click()
    page.locator(".badge", has_text="Succeeded").wait_for(timeout=30_000)
    page.get_by_text("Now on the host:").wait_for()
    layers = page.locator("[id^=layer_]")
    assert layers.filter(has_text="Done").count() == layers.count() > 0, (
        "each as the other engine unpacked it"
    )
    assert page.get_by_role("link", name="shop/api:1").first.is_visible()
    assert tags(other) == {"shop/api:1"}


def test_saved_file_is_an_archive_and_the_download_begins_by_itself(
    page: "Page", host: Host, tmp_path: Path
) -> None:
    sign_in(page, "root")
    page.goto("/images/")
    page.get_by_label("Select shop/api:1 on ").first.check()
    page.get_by_role("button", name="Save…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("shop/api:1 on ci-1").wait_for()
    with page.expect_download(timeout=30_000) as download:
        dialog.get_by_role("button", name="Save…").click()
    path = tmp_path / "saved"
    download.value.save_as(path)
    assert download.value.suggested_filename == "shop-api-1.tar"
    assert tags_inside(path.read_bytes()) == {"shop/api:1"}
    page.locator(".badge", has_text="Succeeded").wait_for()
    page.get_by_text("Your browser has all of shop-api-1.tar").wait_for()


def test_file_is_loaded_and_its_images_named(
    page: "Page", host: Host, engine: PrivateEngine, tmp_path: Path
) -> None:
    path = tmp_path / "images.tar"
    path.write_bytes(archive(Image(["shop/web:2"], [noise("web", 300_000)])))
    sign_in(page, "root")
    page.goto("/images/")
    page.get_by_role("link", name="Load images").click()
    page.get_by_label("Archive").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    page.locator(".badge", has_text="Succeeded").wait_for(timeout=30_000)
    page.get_by_role("link", name="shop/web:2").first.wait_for()
    assert tags(engine) == {"shop/api:1", "shop/web:2"}
    assert Copy.objects.filter(host=host, repository="shop/web").exists()


def test_file_goes_to_more_hosts_than_there_are_workers(
    page: "Page", host: Host, engine: PrivateEngine, tmp_path: Path
) -> None:
    """The site of the tests carries out two jobs at once: the browser sends the file once more for the third host."""
    path = tmp_path / "images.tar"
    path.write_bytes(archive(Image(["shop/web:3"], [noise("web", 300_000)])))
    others = [factories.make_host(address=engine.address) for _ in range(2)]
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    sign_in(page, "root")
    page.goto("/load/?host=" + ",".join(str(each.pk) for each in [host, *others]))
    page.get_by_label("Archive").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/jobs/**", timeout=60_000)
    page.locator("td .badge", has_text="Succeeded").nth(2).wait_for(timeout=30_000)
    assert len(sent) == 2
    assert sent[1].startswith(f"{sent[0]}?jobs=")


def test_file_that_is_no_archive_says_so_on_the_jobs_page(page: "Page", host: Host, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" * 5_000_000)
    sign_in(page, "root")
    page.goto(f"/load/?host={host.pk}")
    page.get_by_label("Archive").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("This file is no archive of images.").wait_for(timeout=30_000)


def test_upload_is_cancelled(page: "Page", host: Host, tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    with path.open("wb") as file:
        file.writelines(zeros("big:1", 300_000_000))
    sign_in(page, "root")
    page.goto(f"/load/?host={host.pk}")
    # A slow line, so that there is something to cancel.
    session = page.context.new_cdp_session(page)
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 10_000_000},
    )
    page.get_by_label("Archive").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    told = page.locator("[data-upload-text]")
    told.filter(has_text="of 300").wait_for()
    told.filter(has_text="MB/s").filter(has_text=" left").wait_for()
    bar = page.locator("[data-upload-progress] progress")
    assert 0 < float(bar.get_attribute("value") or 0) < float(bar.get_attribute("max") or 0)
    page.get_by_role("button", name="Cancel the upload").click()
    page.get_by_text("The upload was cancelled.").wait_for()
    assert page.get_by_role("button", name="Upload").is_visible()
    job = until(Job.objects.get(kind="load"))
    assert job.error_code == "transfer_abandoned"


def test_page_without_script_says_that_it_needs_it(page: "Page", host: Host) -> None:
    sign_in(page, "root")
    browser = page.context.browser
    assert browser is not None
    plain = browser.new_context(
        java_script_enabled=False, storage_state=page.context.storage_state(), base_url=page.url
    )
    view = plain.new_page()
    view.goto("/load/")
    view.get_by_text("Uploading an archive needs JavaScript").wait_for()
    plain.close()
