"""Every page and dialog, wide and narrow, light and dark: accessible, inside its window, silent in the console."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest
from django.urls import resolve, reverse
from django.utils import timezone

from cleanup.models import CleanupSwitch, RunState
from config.programs import BASE_DIR
from images import audit
from images.models import Container, Copy, ItemState, Job, JobItem, JobLog, User
from images.pins import pin_add
from tests import factories
from tests.browser.plugin import LiveSite, sign_in
from tests.cleanup import rows
from tests.contracts.test_urls import TABLE, World

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

pytestmark = [pytest.mark.browser, pytest.mark.services]

AXE = BASE_DIR / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = 1440, 390
# Answers that are not pages of their own: pieces that other pages load, downloads, and the health check.
NO_PAGES = {
    "images:health", "images:overview-figures", "images:overview-jobs", "images:overview-space",
    "images:image-export", "images:image-inspect", "images:build-context", "images:host-check-result",
    "images:job-log", "images:image-history", "images:image-newer", "images:job-notices",
    "cleanup:rule-form", "cleanup:schedule-explain", "cleanup:run-host", "cleanup:host-runs",
    "cleanup:overview-fragment",
    "images:image-list-state",
}  # fmt: skip
PAGES = [name for name, address in TABLE.items() if "GET" in address.methods and name not in NO_PAGES]
PARTS = 3  # so that several processes share the longest test
DIALOG_LINK = "[hx-get][hx-target='#dialog']"
FILTERED_AWAY = (
    "/images/?q=nothing-has-this-name", "/hosts/?q=nothing-has-this-name", "/jobs/?state=lost",
    "/pins/?q=nothing-has-this-name", "/cleanup/runs/?state=failed", "/audit/?q=nothing-has-this-name",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_moves(live_site: LiveSite) -> None:
    """The hosts of these tests have no engine: nobody shall find that out while a page is looked at."""
    for name in ("beat", "watch"):
        live_site.kill(name)


class FullHouse(World):
    """One of everything that a page can show, and enough of it to fill a second page."""

    def __init__(self) -> None:
        super().__init__()
        now = timezone.now()
        self.admin = factories.make_admin("root")
        self.job.heartbeat_at, self.job.progress_total, self.job.progress_done = now, 20, 7
        self.job.save()
        self.broken = factories.make_host(
            "a-host-with-quite-a-long-name.internal.example.com", state="offline",
            error_code="host_timeout", error_raw="dial tcp 10.20.30.40:2376: i/o timeout", error_at=now,
            address="tcp://10.20.30.40:2375",
        )  # fmt: skip
        self.asleep = factories.make_host("asleep", is_enabled=False)
        factories.make_copy(self.asleep, "shop/api:1", image=self.image)
        self.fill_hosts()
        self.failed_job = self.make_failed_job()
        self.waiting_run, self.ended_run = self.make_runs()
        pin_add(by=self.admin, image=self.image, host=None, reason="for ever, everywhere")

    def fill_hosts(self) -> None:
        base = factories.make_layer(70_000_000)
        for number in range(52):
            image = factories.make_image(base, factories.make_layer(10**6 + number), built_at=timezone.now())
            name = f"registry.example.com/a-team/a-service-of-the-shop:{number}.0.0-a-long-tag-{number:040x}"
            copy = factories.make_copy(self.host, *([name] if number else []), image=image)
        Container.objects.create(
            host=self.host, copy=copy, container_id="1" * 64, name="api-1", state="running"
        )
        Copy.objects.filter(pk=copy.pk).update(container_count=1)

    def make_failed_job(self) -> Job:
        job = Job.objects.create(
            kind="remove", host=self.broken, state="failed", error_code="host_timeout",
            error_raw="dial tcp: i/o timeout", created_by=self.admin, progress_total=3, progress_done=3,
            started_at=timezone.now(), ended_at=timezone.now(),
            result={"promised_bytes": 5000, "freed_bytes": 4000},
        )  # fmt: skip
        for position, state in enumerate((ItemState.REMOVED, ItemState.SKIPPED, ItemState.FAILED)):
            JobItem.objects.create(
                job=job, position=position, name=f"shop/api:{state}", state=state,
                error_code="" if state == ItemState.REMOVED else "image_in_use", error_raw="409 Conflict",
                error_values={"container": "api-1"},
            )  # fmt: skip
        JobLog.objects.create(job=job, text="a line of the log\n" * 60)
        return job

    def make_runs(self) -> tuple[Any, Any]:
        policy = rows.make_policy("Nightly", schedule="30 3 * * *", groups=[self.group])
        plans = [rows.make_plan(policy, self.admin) for _ in range(3)]
        for plan in plans:
            rows.add_host(plan, self.host, removed=52, kept=3)
        rows.add_host(plans[0], self.broken, warning="host_offline")
        self.preview = plans[2]
        waiting = rows.make_run(plans[0], RunState.WAITING, self.admin, waiting_reason="limit")
        return waiting, rows.make_run(plans[1], RunState.SUCCEEDED, self.admin)

    def addresses(self) -> Iterator[str]:
        """Every page once; those with several faces once for each."""
        for name in PAGES:
            data = "&".join(f"{key.rstrip('s')}={self.value(word)}" for key, word in TABLE[name].data)
            yield self.url(name) + (f"?{data}" if data else "")
        yield reverse("images:image-list") + "?by=repository"
        for host in (self.broken, self.asleep):
            yield reverse("images:host-detail", args=[host.pk])
        yield reverse("images:job-detail", args=[self.failed_job.pk])
        yield reverse("cleanup:plan-detail", args=[self.preview.pk])
        for run in (self.waiting_run, self.ended_run):
            yield reverse("cleanup:plan-detail", args=[run.plan_id])
            yield reverse("cleanup:run-detail", args=[run.pk])
        yield from FILTERED_AWAY


def is_expected(error: str) -> bool:
    """Answers of 4xx and 5xx are seen by their status; the stream of the page before ends with it."""
    return error.startswith("Failed to load resource")


def dialog_kind(address: str) -> str:
    """Which dialog it is; every command has one of its own at the same view."""
    match = resolve(urlsplit(address).path)
    return str(match.kwargs.get("kind", match.view_name))


@cache
def axe_source() -> str:
    return AXE.read_text()


@dataclass
class Inspector:
    """Looks at one page after the other, and keeps what is wrong with them."""

    page: "Page"
    expected: frozenset[int] = frozenset()  # the answers of 4xx and 5xx that a test asks for

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        self.page.on("response", self._answered)

    def _answered(self, response: "Response") -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status} for {response.url} on {self.page.url}")

    def visit(self, address: str) -> None:
        self.page.set_viewport_size({"width": WIDE, "height": 900})
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.page.goto(address)
        self.settle()

    def settle(self) -> None:
        """Until every piece that the page loads has come."""
        self.page.locator(".htmx-request").first.wait_for(state="detached")

    def look(self, *, within: str = "body") -> None:
        """Wide and light in full, then what other colours and another width can break.

        Dark and narrow is left to the pages in Chinese.
        """
        self.look_once(within, "light", WIDE)
        self.look_once(within, "dark", WIDE, "color-contrast")
        self.look_once(within, "light", NARROW, "color-contrast", "scrollable-region-focusable")

    def look_at_dialog(self) -> None:
        """At the one that is opening; closes it."""
        dialog = self.page.locator("dialog[open]")
        dialog.wait_for()
        self.look_once("dialog[open]", "dark", NARROW, "color-contrast")
        self.look_once("dialog[open]", "light", WIDE)
        self.page.keyboard.press("Escape")
        dialog.wait_for(state="detached")

    def look_at_new_dialogs(self, seen: set[str]) -> None:
        """At those that this page's links open, one of each kind."""
        self.page.set_viewport_size({"width": WIDE, "height": 900})
        links = self.page.locator(f"{DIALOG_LINK}:visible, .menu {DIALOG_LINK}").all()
        addresses = [str(link.get_attribute("hx-get")) for link in links]
        kinds = {dialog_kind(address): address for address in addresses}
        for name in kinds.keys() - seen:
            link = self.page.locator(f"[hx-get='{kinds[name]}']").first
            link.evaluate("link => link.closest('.menu')?.setAttribute('open', '')")
            link.click()
            self.look_at_dialog()
        seen.update(kinds)

    def look_once(self, within: str, scheme: Literal["light", "dark"], width: int, *rules: str) -> None:
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        self.page.set_viewport_size({"width": width, "height": 900})
        where = f"{self.page.url} ({within}, {scheme}, {width})"
        self.problems += [
            f"{where}: {each}" for each in (*self._overflow(), *self._violations(within, rules))
        ]
        errors: list[str] = self.page.errors  # type: ignore[attr-defined]
        self.problems += [f"{where}: console: {error}" for error in errors if not is_expected(error)]
        errors.clear()

    def _overflow(self) -> Iterator[str]:
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        if wide > 0:
            yield f"{wide} px wider than the window"

    def _violations(self, within: str, rules: Iterable[str]) -> Iterator[str]:
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(f"() => {{ {axe_source()} }}")
        options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
        if rules:
            options["runOnly"] = list(rules)
        found = self.page.evaluate("([within, options]) => axe.run(within, options)", [within, options])
        for violation in found["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = "\n    ".join(
                    f"{node['target'][-1]}: {node['failureSummary']}\n      {node['html'][:200]}"
                    for node in violation["nodes"][:4]
                )
                yield f"{violation['id']}: {violation['help']}\n    {nodes}"


@pytest.fixture
def inspector(page: "Page") -> Iterator[Inspector]:
    inspector = Inspector(page)
    yield inspector
    assert not inspector.problems, "\n".join(dict.fromkeys(inspector.problems))


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_with_one_of_everything(
    live_site: LiveSite, page: "Page", inspector: Inspector, part: int
) -> None:
    house = FullHouse()
    sign_in(page, "root")
    for address in list(house.addresses())[part::PARTS]:
        inspector.visit(address)
        inspector.look()


def test_table_on_a_telephone_scrolls_before_its_words_break_into_letters(
    live_site: LiveSite, page: "Page"
) -> None:
    admin = factories.make_admin("root")
    User.objects.filter(pk=admin.pk).update(language="zh-hans")
    audit.record(by=admin, action="policy.add", target="Keep the newest three of each repository")
    sign_in(page, "root")
    page.set_viewport_size({"width": NARROW, "height": 900})
    page.goto("/audit/")
    row = page.get_by_role("row", name="Keep the newest three")
    assert row.bounding_box()["height"] < 90  # type: ignore[index]  # four lines


def test_every_dialog(live_site: LiveSite, page: "Page", inspector: Inspector) -> None:
    house = FullHouse()
    sign_in(page, "root")
    dialogs: set[str] = set()
    for address in house.addresses():
        inspector.visit(address)
        inspector.look_at_new_dialogs(dialogs)
    assert {"images:image-remove", "images:host-remove", "images:pin-add"} <= dialogs
    assert {"cleanup:pause", "cleanup:plan-run"} <= dialogs
    assert {"pull", "tag", "push", "copy", "save"} <= dialogs


def test_every_page_of_an_empty_fleet(live_site: LiveSite, page: "Page", inspector: Inspector) -> None:
    factories.make_admin("root")
    sign_in(page, "root")
    for name in PAGES:
        # Who is told that something is not there would be told so here as well.
        if not TABLE[name].of and TABLE[name].stranger != "not found" and name != "account:login":
            inspector.visit(reverse(name, kwargs=dict(TABLE[name].arguments)))
            inspector.look()


def test_pages_of_somebody_without_any_right(live_site: LiveSite, page: "Page", inspector: Inspector) -> None:
    factories.make_user("newcomer")
    sign_in(page, "newcomer")
    for address in ("/", "/images/", "/hosts/", "/cleanup/policies/"):
        inspector.visit(address)
        inspector.look()


def test_pages_before_signing_in_and_of_errors(
    live_site: LiveSite, page: "Page", inspector: Inspector
) -> None:
    inspector.visit("/account/login/")
    inspector.look()
    page.locator("main button[type=submit]").click()
    page.locator("input[name=username]").fill("nobody")
    page.locator("input[name=password]").fill("not the password")
    page.locator("main button[type=submit]").click()
    page.get_by_role("alert").wait_for()
    inspector.look()
    factories.make_user("newcomer")
    sign_in(page, "newcomer")
    inspector.expected = frozenset({403, 404})
    for address in ("/hosts/4711/", "/hosts/add/"):
        inspector.visit(address)
        inspector.look()


def test_every_page_in_chinese(live_site: LiveSite, page: "Page", inspector: Inspector) -> None:
    house = FullHouse()
    User.objects.filter(pk=house.admin.pk).update(language="zh-hans")
    sign_in(page, "root")
    inspector.expected = frozenset({404})
    for address in (*house.addresses(), "/hosts/4711/"):
        inspector.visit(address)
        inspector.look_once("body", "dark", NARROW)
        assert page.locator("html").get_attribute("lang") == "zh-hans"


def test_dialogs_that_need_a_choice_or_a_state(
    live_site: LiveSite, page: "Page", inspector: Inspector
) -> None:
    house = FullHouse()
    sign_in(page, "root")
    inspector.visit("/images/")
    page.locator("#fleet [data-select-page]").check()
    page.locator("#selection").get_by_text("50 selected").wait_for()
    inspector.look()
    page.locator("#selection").get_by_role("button", name="Remove…").click()
    inspector.look_at_dialog()
    inspector.visit("/cleanup/policies/")
    page.get_by_role("link", name="Pause all cleanup").click()
    inspector.look_at_dialog()
    CleanupSwitch.objects.update_or_create(
        pk=1, defaults={"is_paused": True, "reason": "a release is under way", "changed_by": house.admin}
    )
    for address in ("/", "/cleanup/policies/", reverse("cleanup:plan-detail", args=[house.preview.pk])):
        inspector.visit(address)
        page.get_by_text("All cleanup is paused.", exact=True).wait_for()
        inspector.look()
