"""Pages that change by themselves: one stream for the whole browser, however many tabs."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from images.inventory import picture
from images.live import progress
from images.models import Host, Job
from tests import factories
from tests.browser.plugin import LiveSite, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

pytestmark = [
    pytest.mark.browser,
    pytest.mark.services,
    pytest.mark.usefixtures("live_site", "live_redis"),
]


@pytest.fixture
def job(live_site: LiveSite) -> Job:
    factories.make_admin("root")
    return Job.objects.create(
        kind="remove", host=factories.make_host("ci-1"), state="running", worker="test", progress_total=1000,
        started_at=timezone.now(), heartbeat_at=timezone.now(),
    )  # fmt: skip


def tell(job: Job, **data: Any) -> None:
    progress.publish(f"job:{job.pk}", host_id=job.host_id, data={"id": job.pk, "state": "running"} | data)


def test_progress_moves_and_the_end_shows_without_a_reload(page: "Page", job: Job) -> None:
    sign_in(page, "root")
    page.goto(f"/jobs/{job.pk}/")
    page.evaluate("window.sameDocument = true")
    Job.objects.filter(pk=job.pk).update(progress_done=250, progress_rate=5.0)
    tell(job, done=250, total=1000, unit="items", rate=5.0, left=150.0)
    page.locator("[data-live-field=done]", has_text="250").wait_for()
    assert page.locator("progress").first.get_attribute("value") == "250"
    page.locator("[data-live-field=left]", has_text="left").wait_for()
    Job.objects.filter(pk=job.pk).update(state="succeeded", ended_at=timezone.now(), progress_done=1000)
    tell(job, state="succeeded")
    page.locator(".badge", has_text="Succeeded").wait_for()
    assert page.evaluate("window.sameDocument") is True


def test_eight_tabs_are_all_live(page: "Page", context: "BrowserContext", job: Job) -> None:
    """Browsers open six connections to a server: a stream for each tab would leave none for the seventh."""
    sign_in(page, "root")
    tabs = [page, *(context.new_page() for _ in range(7))]
    for tab in tabs:
        tab.goto(f"/jobs/{job.pk}/", timeout=10_000)
    Job.objects.filter(pk=job.pk).update(progress_done=77)
    tell(job, done=77, total=1000, unit="items", rate=1.0, left=9.0)
    for tab in tabs:
        tab.bring_to_front()
        tab.locator("[data-live-field=done]", has_text="77").wait_for()


@pytest.fixture(params=["one stream for all tabs", "a stream of its own"])
def any_page(page: "Page", request: pytest.FixtureRequest) -> "Page":
    """Browsers without shared workers (on Android, say) have a stream for each page."""
    if request.param == "a stream of its own":
        page.add_init_script("delete window.SharedWorker")
    return page


def test_stream_that_was_cut_comes_back_and_brings_what_was_missed(
    any_page: "Page", job: Job, live_site: LiveSite
) -> None:
    page = any_page
    sign_in(page, "root")
    page.goto(f"/jobs/{job.pk}/")
    page.evaluate("window.sameDocument = true")
    Job.objects.filter(pk=job.pk).update(progress_done=100)
    tell(job, done=100, total=1000, unit="items")
    page.locator("[data-live-field=done]", has_text="100").wait_for()
    live_site.kill("web")
    Job.objects.filter(pk=job.pk).update(progress_done=480)
    tell(job, done=480, total=1000, unit="items")
    live_site.start("web")
    live_site.wait_until_it_answers()
    page.locator("[data-live-field=done]", has_text="480").wait_for()
    Job.objects.filter(pk=job.pk).update(state="succeeded", ended_at=timezone.now(), progress_done=1000)
    tell(job, state="succeeded")
    page.locator(".badge", has_text="Succeeded").wait_for()
    assert page.evaluate("window.sameDocument") is True


def test_open_list_offers_what_has_changed_and_keeps_the_selection(page: "Page", job: Job) -> None:
    old = factories.make_copy(job.host, "shop/api:1")
    sign_in(page, "root")
    page.goto("/images/")
    page.locator(f"input[name=copy][value='{old.pk}']").check()
    factories.make_copy(job.host, "shop/api:2")
    picture.recount(job.host)
    page.get_by_text("ci-1 has changed since.").wait_for()
    assert page.locator("input[name=copy]").count() == 1  # nothing moves under the mouse
    page.get_by_role("link", name="Show it as it is now").click()
    page.locator("#fleet tr", has_text="shop/api").nth(1).wait_for()
    assert page.get_by_text("has changed since.").count() == 0
    assert page.locator(f"input[name=copy][value='{old.pk}']").is_checked()


def test_ages_grow_while_nothing_happens(page: "Page", job: Job) -> None:
    Host.objects.update(state="online", synced_at=timezone.now())
    page.clock.install()
    sign_in(page, "root")
    page.goto("/images/")
    page.locator(".pictures summary", has_text=re.compile("seen (now|[0-9]+ s ago)")).wait_for()
    Host.objects.update(synced_at=timezone.now() - timedelta(hours=7))
    page.clock.fast_forward(61_000)
    page.clock.run_for(2_000)
    page.locator(".pictures summary", has_text="seen 7 h ago").wait_for()


def test_stream_that_a_proxy_refused_is_opened_again(
    page: "Page", context: "BrowserContext", job: Job
) -> None:
    """An answer that is no stream ends an EventSource for good: the browser does not try again by itself."""
    refused: list[str] = []

    def answer(route: "Route") -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        route.fulfill(status=502, body="the server restarts")

    page.add_init_script("delete window.SharedWorker")
    context.route("**/events/**", answer)
    sign_in(page, "root")
    page.goto(f"/jobs/{job.pk}/")
    Job.objects.filter(pk=job.pk).update(progress_done=480)
    tell(job, done=480, total=1000, unit="items")
    page.locator("[data-live-field=done]", has_text="480").wait_for()
    assert refused


def test_page_shows_the_truth_after_a_reload_without_script(
    context: "BrowserContext", page: "Page", job: Job
) -> None:
    sign_in(page, "root")
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(
        java_script_enabled=False, storage_state=context.storage_state(), base_url=str(page.url)
    )
    view = plain.new_page()
    view.goto(f"/jobs/{job.pk}/")
    Job.objects.filter(pk=job.pk).update(state="failed", error_code="job_lost", ended_at=timezone.now())
    view.reload()
    view.get_by_text("The worker that carried this out went silent.").wait_for()
    plain.close()


def test_job_is_cancelled_from_its_page(page: "Page", job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state="queued", worker="", started_at=None)
    sign_in(page, "root")
    page.goto(f"/jobs/{job.pk}/")
    page.get_by_role("link", name="Cancel this job").click()
    page.get_by_role("button", name="Cancel the job").click()
    page.locator(".badge", has_text="Cancelled").wait_for()
