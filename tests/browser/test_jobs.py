"""The notice of an ended job on whatever page is open, and the page of a batch."""

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from images.jobs import life
from images.live import progress
from images.models import Host, HostGroup, Job, User
from images.templatetags.drydock import human_size
from tests import factories
from tests.browser.plugin import LiveSite, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.services,
    pytest.mark.usefixtures("live_site", "live_redis"),
]


@pytest.fixture
def host(live_site: LiveSite) -> Host:
    return factories.make_host("ci-1", groups=(HostGroup.objects.create(name="ci"),))


@pytest.fixture
def ada(host: Host) -> User:
    ada = factories.make_user("ada")
    factories.grant(ada, "maintainer", host.groups.get())
    return ada


def running(host: Host, by: User | None, subject: str, **fields: Any) -> Job:
    now = timezone.now()
    values = {"kind": "pull", "state": "running", "worker": "test", "started_at": now, "heartbeat_at": now}
    return Job.objects.create(host=host, created_by=by, subject=subject, **(values | fields))


def end(job: Job, state: str = "succeeded", **fields: Any) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, ended_at=timezone.now(), **fields)
    life.announce(Job.objects.get(pk=job.pk))


def test_end_of_my_job_shows_on_any_page_and_is_dismissed_by_key(page: "Page", host: Host, ada: User) -> None:
    mine, other = running(host, ada, "shop/api:1"), running(host, factories.make_user(), "shop/other:1")
    sign_in(page, "ada")
    page.goto("/images/")
    end(other)
    end(mine)
    notice = page.locator(".notice")
    notice.wait_for()
    assert "Pull shop/api:1" in notice.inner_text()
    assert page.locator("#notices").get_attribute("aria-live") == "polite"
    page.wait_for_timeout(1500)  # nothing else comes after it
    assert notice.count() == 1
    notice.get_by_role("button", name="Dismiss").focus()
    page.keyboard.press("Enter")
    notice.wait_for(state="detached")
    # The next one is told as well, and the first one not again.
    end(running(host, ada, "shop/api:2"), "failed", error_code="image_not_found")
    notice.wait_for()
    assert "shop/api:2" in notice.inner_text()
    notice.get_by_role("link").click()
    page.wait_for_url("**/jobs/*/")


def test_no_more_than_three_at_once(page: "Page", host: Host, ada: User) -> None:
    sign_in(page, "ada")
    page.goto("/hosts/")
    for n in range(5):
        end(running(host, ada, f"shop/api:{n}"))
        page.locator(".notice", has_text=f"shop/api:{n}").wait_for()
    assert page.locator(".notice:visible").count() == 3


def test_page_of_the_job_itself_needs_no_notice(page: "Page", host: Host, ada: User) -> None:
    job = running(host, ada, "shop/api:1")
    sign_in(page, "ada")
    page.goto(f"/jobs/{job.pk}/")
    end(job)
    page.locator(".badge", has_text="Succeeded").wait_for()
    page.wait_for_timeout(1500)
    assert page.locator(".notice").count() == 0


def test_host_out_of_sight_is_not_told(page: "Page", host: Host, ada: User) -> None:
    job = running(factories.make_host("secret"), ada, "hidden:1")
    sign_in(page, "ada")
    page.goto("/hosts/")
    end(job)
    end(running(host, ada, "shown:1"))
    page.locator(".notice", has_text="shown:1").wait_for()
    assert page.locator(".notice", has_text="hidden:1").count() == 0


def test_every_tab_tells_it(page: "Page", context: "BrowserContext", host: Host, ada: User) -> None:
    """All tabs hear of it through the one stream of the shared worker."""
    sign_in(page, "ada")
    tabs = [page, context.new_page()]
    for tab in tabs:
        tab.goto("/hosts/")
    end(running(host, ada, "shop/api:1"))
    for tab in tabs:
        tab.bring_to_front()
        tab.locator(".notice").wait_for()


@pytest.fixture
def batch(host: Host, ada: User) -> list[Job]:
    hosts = [host, *(factories.make_host(f"ci-{n}", groups=(host.groups.get(),)) for n in (2, 3))]
    key = uuid.uuid4()
    return [running(each, ada, "shop/api:1", batch=key, progress_total=100) for each in hosts]


def test_batch_shows_its_hosts_side_by_side_and_one_failure_stops_no_other(
    page: "Page", batch: list[Job]
) -> None:
    sign_in(page, "ada")
    page.goto(f"/jobs/batches/{batch[0].batch}/")
    page.evaluate("window.sameDocument = true")
    end(batch[0], "failed", error_code="image_not_found", error_values={"subject": "shop/api:1"})
    first, second = (page.locator(f"#batch_job_{job.pk}") for job in batch[:2])
    first.get_by_text("There is no shop/api:1.").wait_for()
    assert second.locator(".badge").inner_text() == "Running"
    data = {"id": batch[1].pk, "state": "running", "done": 60, "total": 100, "unit": "items", "rate": 1.0}
    progress.publish(f"job:{batch[1].pk}", host_id=batch[1].host_id, data=data)
    second.locator("[data-live-field=done]", has_text="60").wait_for()
    end(batch[1], progress_done=100)
    second.locator(".badge", has_text="Succeeded").wait_for()
    assert page.evaluate("window.sameDocument") is True
    assert page.locator(".notice").count() == 0


def test_sizes_that_come_live_are_written_as_the_page_wrote_them(page: "Page", host: Host, ada: User) -> None:
    job = running(host, ada, "shop/api:1", progress_total=50_000_000, progress_unit="bytes")
    sign_in(page, "ada")
    page.goto(f"/jobs/{job.pk}/")
    sizes = [digits * 10**power for power in range(14) for digits in (1, 4.53, 9.994, 9.995, 9.996)]
    whole = [int(size) for size in (0, 812, 999, 1000, *sizes)]
    assert page.evaluate("sizes => sizes.map(drydock.bytes)", whole) == [human_size(size) for size in whole]
    # The row agrees, for the part of the page around it fetches itself anew after an event.
    Job.objects.filter(pk=job.pk).update(progress_done=4_530_000, progress_rate=2e6)
    data = {
        "id": job.pk,
        "state": "running",
        "done": 4_530_000,
        "total": 50_000_000,
        "unit": "bytes",
        "rate": 2e6,
    }
    progress.publish(f"job:{job.pk}", host_id=job.host_id, data=data)
    numbers = page.locator(".job-numbers").first
    numbers.locator("[data-live-field=done]").get_by_text("4.53 MB", exact=True).wait_for()
    numbers.get_by_text("2.00 MB/s").wait_for()


def test_batch_is_cancelled_and_tried_again_from_its_page(page: "Page", batch: list[Job]) -> None:
    Job.objects.filter(pk__in=[job.pk for job in batch[1:]]).update(
        state="queued", worker="", started_at=None
    )
    end(batch[0], "failed", error_code="image_not_found")
    sign_in(page, "ada")
    page.goto(f"/jobs/batches/{batch[0].batch}/")
    page.get_by_role("link", name="Cancel 2 jobs").click()
    page.get_by_role("button", name="Cancel them").click()
    page.get_by_text("Cancelled: 2").wait_for()
    page.get_by_role("link", name="Try 3 again").click()
    page.locator("dialog").get_by_text("ci-3").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(lambda url: "/jobs/batches/" in url and str(batch[0].batch) not in url)
    assert Job.objects.filter(retry_of__in=batch).count() == 3


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_batch_and_notices_fit_the_page(page: "Page", batch: list[Job], width: int, theme: str) -> None:
    sign_in(page, "ada")
    page.context.add_cookies([{"name": "theme", "value": theme, "url": page.url}])
    page.set_viewport_size({"width": width, "height": 900})
    end(batch[0], "failed", error_code="image_not_found", error_values={"subject": "shop/api:1"})
    page.goto(f"/jobs/batches/{batch[0].batch}/")
    page.locator("#batch_live").wait_for()
    for n in range(2):
        end(running(batch[0].host, batch[0].created_by, f"registry.example.com/project/service:1.{n}"))
        page.locator(".notice", has_text=f"1.{n}").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
