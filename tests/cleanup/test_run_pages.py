"""The pages of runs: the list, one run while it works and afterwards, and what other pages show of runs."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cleanup.models import CleanupSwitch, Plan, PlanState, Policy, Run, RunState
from cleanup.runs import run_cancel
from images.models import Host, HostGroup, ItemState, Job
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import text_of, words_of
from tests.pages import signed_in

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def other() -> Host:
    return factories.make_host("prod")


def made(*hosts: Host, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Run:
    plan = rows.make_plan(rows.make_policy(hosts=hosts))
    for host in hosts:
        rows.add_host(plan, host, removed=2)
    return rows.make_run(plan, state, **fields)


def test_list_says_what_each_run_promised_and_freed(client: Client, host: Host) -> None:
    signed_in(client)
    made(host, freed_bytes=1_500_000)
    page = text_of(client, "run-list")
    assert "2.00 MB" in page
    assert "1.50 MB" in page


def test_list_says_how_long_each_run_took(client: Client, host: Host) -> None:
    signed_in(client)
    now = timezone.now()
    made(host, started_at=now - timedelta(seconds=97), ended_at=now)
    made(host, state=RunState.RUNNING)
    page = text_of(client, "run-list")
    assert page.count('<td class="number">1 min 37 s</td>') == 1
    assert page.count('<td class="number">–</td>') >= 1


def test_sum_says_where_nothing_was_measured(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    run = made(host, other, freed_bytes=2_000_000)
    assert "could not be measured" not in text_of(client, "run-detail", run.pk)
    run.host_runs.filter(host=other).update(freed_bytes=None)
    page = text_of(client, "run-detail", run.pk)
    assert re.search(r"1 host could not be measured; <[^>]*>2.00 MB</span> of the promise were theirs.", page)
    assert "Exactly what was promised." not in page


def test_run_names_the_hosts_it_should_have_cleaned_and_could_not(
    client: Client, host: Host, other: Host, group: HostGroup
) -> None:
    plan = rows.make_plan(rows.make_policy(hosts=[host, other]))
    rows.add_host(plan, host, removed=2)
    rows.add_host(plan, other, removed=0, kept=0, warning="host_offline")
    run = rows.make_run(plan, RunState.PARTIAL)
    signed_in(client)
    page = text_of(client, "run-detail", run.pk)
    assert "<strong>prod was left out.</strong> The host is offline: nothing is removed there." in page
    signed_in(client, "viewer", group)
    assert "prod" not in text_of(client, "run-detail", run.pk), "nor to whom the host is not shown"


def test_list_says_who_started_a_run(client: Client, host: Host) -> None:
    signed_in(client)
    made(host, started_by=factories.make_user("grace"))
    made(host, slot=timezone.now())
    page = text_of(client, "run-list")
    assert "grace" in page
    assert "Schedule</td>" in page


def test_list_leaves_out_runs_on_invisible_hosts(
    client: Client, host: Host, other: Host, group: HostGroup
) -> None:
    signed_in(client, "viewer", group)
    seen, hidden = made(host), made(other)
    page = text_of(client, "run-list")
    assert f"#{seen.pk}<" in page
    assert f"#{hidden.pk}<" not in page
    assert client.get(reverse("cleanup:run-detail", args=[hidden.pk])).status_code == 404


def test_list_is_filtered_by_state_starter_policy_and_host(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    waiting = made(host, state=RunState.WAITING, slot=timezone.now())
    ended = made(other)
    url = reverse("cleanup:run-list")
    for query, expected in (
        ({"state": "open"}, {waiting}),
        ({"state": "succeeded"}, {ended}),
        ({"started": "schedule"}, {waiting}),
        ({"started": "person"}, {ended}),
        ({"policy": ended.policy_id}, {ended}),
        ({"host": other.pk}, {ended}),
        ({"state": "nonsense"}, {waiting, ended}),
    ):
        assert set(client.get(url, query).context["page"]) == expected, query


def test_empty_list_says_what_to_do_next(client: Client) -> None:
    signed_in(client)
    assert "Nothing has run yet" in text_of(client, "run-list")


def test_run_says_promised_and_freed_per_host_and_in_all(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    page = text_of(client, "run-detail", made(host, other).pk)
    assert page.count("2.00 MB</span>, freed") == 2
    assert "Exactly what was promised." in page
    assert "4.00 MB" in page


def test_run_that_freed_less_does_not_claim_to_be_exact(client: Client, host: Host) -> None:
    signed_in(client)
    assert "Exactly what was promised." not in text_of(client, "run-detail", made(host, freed_bytes=1).pk)


def test_open_run_follows_its_events_and_an_ended_one_does_not(client: Client, host: Host) -> None:
    signed_in(client)
    running, ended = made(host, state=RunState.RUNNING), made(host)
    assert f'data-live="run:{running.pk}"' in text_of(client, "run-detail", running.pk)
    assert 'data-live="run:' not in text_of(client, "run-detail", ended.pk)


def test_item_says_its_outcome_and_why(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host, state=RunState.PARTIAL)
    item = run.host_runs.get().host_plan.items.first()
    assert item
    item.state, item.outcome_code, item.outcome_values = (
        ItemState.SKIPPED,
        "image_in_use",
        {"container": "db-1"},
    )
    item.outcome_raw = "conflict: container 4711 is using it"
    item.save()
    page = text_of(client, "run-detail", run.pk)
    assert "Skipped: 1" in page
    assert "In use by the container db-1." in page
    assert "container 4711 is using it" in page


def test_item_says_what_it_promised(client: Client, host: Host) -> None:
    signed_in(client)
    page = text_of(client, "run-items", made(host).pk, host.pk)
    assert page.count(">1.00 MB</span></td>") == 2


def test_running_host_says_its_rate_and_time_left(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host, state=RunState.RUNNING)
    job = Job.objects.create(
        kind="cleanup", host=host, state="running", started_at=timezone.now() - timedelta(seconds=10)
    )
    run.host_runs.update(job=job)
    first = run.host_runs.get().host_plan.items.first()
    assert first
    first.state, first.ended_at = ItemState.REMOVED, timezone.now()
    first.save()
    assert re.search(r"[\d.]+ a second, [^<]+ left", text_of(client, "run-detail", run.pk))


def test_items_are_filtered_by_outcome_and_text(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host, state=RunState.PARTIAL)
    failed, removed = run.host_runs.get().host_plan.items.all()
    failed.state = ItemState.FAILED
    failed.save()
    removed.name = "acme/needle:1"
    removed.save()
    url = reverse("cleanup:run-items", args=[run.pk, host.pk])
    assert list(client.get(url, {"state": "failed"}).context["page"]) == [failed]
    assert list(client.get(url, {"q": "NEEDLE"}).context["page"]) == [removed]


def test_run_counts_the_hosts_one_may_not_see(
    client: Client, host: Host, other: Host, group: HostGroup
) -> None:
    signed_in(client, "viewer", group)
    run = made(host, other)
    page = text_of(client, "run-detail", run.pk)
    assert "1 host more that you may not see" in page
    assert "prod" not in page
    for name in ("run-items", "run-host"):
        assert client.get(reverse(f"cleanup:{name}", args=[run.pk, other.pk])).status_code == 404
        assert client.get(reverse(f"cleanup:{name}", args=[run.pk, host.pk])).status_code == 200


def test_disturbed_host_is_said(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host)
    run.host_runs.update(was_disturbed=True)
    assert "Something else changed the images of this host" in text_of(client, "run-detail", run.pk)


def test_late_run_says_when_it_was_due(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host, slot=timezone.now() - timedelta(hours=5, minutes=2), is_late=True)
    page = words_of(client, "run-detail", run.pk)
    due = f"{run.slot:%Y-%m-%d %H:%M} UTC"
    assert f"This run was due on {due}; Drydock came to it 5 h 2 min later." in page
    assert " late By the schedule" in page
    run = made(host, slot=timezone.now())
    page = words_of(client, "run-detail", run.pk)
    assert "Drydock came to it" not in page
    assert " late By the schedule" not in page


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (RunState.CANCELLED, "paused", "This run did not begin. All cleanup was paused."),
        (RunState.CANCELLED, "off", "This run did not begin. The policy was switched off."),
        (RunState.EXPIRED, "limit", "It would have removed more than the policy's limit."),
        (RunState.EXPIRED, "unseen", "Nobody had looked at a plan of the policy as it stood then."),
        (RunState.EXPIRED, "", "Its plan expired before this run could begin."),
    ],
)
def test_run_that_did_not_begin_says_why(
    client: Client, host: Host, state: RunState, reason: str, words: str
) -> None:
    signed_in(client)
    run = made(host, state=state, waiting_reason=reason, started_at=None)
    assert words in words_of(client, "run-detail", run.pk)


def test_run_that_a_person_cancelled_gives_no_other_reason(client: Client, host: Host) -> None:
    person = signed_in(client, "maintainer")
    run = made(host, state=RunState.WAITING, waiting_reason="limit")
    assert "It removes more than the policy's limit." in words_of(client, "run-detail", run.pk)
    run_cancel(by=person, run=run)
    page = words_of(client, "run-detail", run.pk)
    assert "This run did not begin" not in page
    assert "policy's limit" not in page


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (PlanState.FAILED, "Promised – The plan could not be made."),
        (None, "Promised – No plan was made."),
    ],
)
def test_run_without_a_plan_says_so(client: Client, host: Host, state: PlanState | None, words: str) -> None:
    signed_in(client)
    run = made(host, state=RunState.FAILED, started_at=None, freed_bytes=None)
    run.host_runs.all().delete()
    if state:
        Plan.objects.update(state=state)
    else:
        Run.objects.update(plan=None)
    assert words in words_of(client, "run-detail", run.pk)


def test_waiting_run_offers_its_number_and_bytes_to_who_may_approve(client: Client, host: Host) -> None:
    run = made(host, state=RunState.WAITING, waiting_reason="limit")
    signed_in(client, "maintainer")
    assert "Approve: remove 2 images, free 2.00 MB" in text_of(client, "run-detail", run.pk)
    signed_in(client, "viewer")
    page = text_of(client, "run-detail", run.pk)
    assert "Approve:" not in page
    assert "needs the permission “Run cleanup” on all its hosts" in page


def test_waiting_run_that_could_not_go_on_offers_no_approval_and_says_why(client: Client, host: Host) -> None:
    run = made(host, state=RunState.WAITING, waiting_reason="limit")
    signed_in(client, "maintainer")
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    page = text_of(client, "run-detail", run.pk)
    assert reverse("cleanup:run-approve", args=[run.pk]) not in page
    assert "It can not be approved now: All cleanup is paused." in page


@pytest.mark.parametrize("action", ["run-approve", "run-cancel"])
def test_who_may_not_run_cleanup_on_all_its_hosts_can_not_approve_or_cancel(
    client: Client, host: Host, other: Host, group: HostGroup, action: str
) -> None:
    run = made(host, other, state=RunState.WAITING)
    signed_in(client, "maintainer", group)
    assert client.post(reverse(f"cleanup:{action}", args=[run.pk])).status_code == 403
    run.refresh_from_db()
    assert run.state == RunState.WAITING


def test_cancelling_asks_first(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    run = made(host, state=RunState.WAITING)
    url = reverse("cleanup:run-cancel", args=[run.pk])
    assert "<dialog data-open" in client.get(url, headers=HTMX).content.decode()
    client.post(url)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED


def test_paused_cleanup_is_said_on_a_run(client: Client, host: Host) -> None:
    signed_in(client)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week", changed_by=factories.make_user("grace"))
    page = text_of(client, "run-detail", made(host).pk)
    assert "All cleanup is paused." in page
    assert "grace" in page
    assert "Audit week" in page


def test_host_fragment_says_how_often_the_promise_was_kept(client: Client, host: Host) -> None:
    signed_in(client)
    made(host)
    wrong, disturbed = made(host), made(host)
    wrong.host_runs.update(freed_bytes=1)
    disturbed.host_runs.update(freed_bytes=1, was_disturbed=True)
    assert "1 of 2 freed what was promised" in text_of(client, "host-runs", host.pk)


def test_host_fragment_says_what_each_run_promised_and_freed(client: Client, host: Host) -> None:
    signed_in(client)
    made(host).host_runs.update(freed_bytes=1_500_000)
    page = text_of(client, "host-runs", host.pk)
    assert "2.00 MB" in page
    assert "1.50 MB" in page


def test_host_fragment_of_an_invisible_host_is_not_found(
    client: Client, other: Host, group: HostGroup
) -> None:
    signed_in(client, "viewer", group)
    assert client.get(reverse("cleanup:host-runs", args=[other.pk])).status_code == 404


def test_overview_sums_the_last_30_days_of_visible_hosts(
    client: Client, host: Host, other: Host, group: HostGroup
) -> None:
    signed_in(client, "viewer", group)
    made(host)
    made(other)
    made(host, ended_at=timezone.now() - timedelta(days=31))
    overview = client.get(reverse("cleanup:overview-fragment")).context["overview"]
    assert (overview.measured.freed_bytes, overview.measured.runs) == (2_000_000, 1)


def test_overview_names_runs_that_wait_and_policies_that_need_a_look(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host, state=RunState.WAITING)
    page = text_of(client, "overview-fragment")
    assert "Before they run by themselves" not in page, "it runs by hand alone"
    Policy.objects.update(schedule="0 3 * * *")
    page = text_of(client, "overview-fragment")
    assert f"A run of “{run.policy}” waits for approval." in page
    assert "Before they run by themselves, somebody has to look" in page


def test_pages_cost_the_same_queries_whatever_the_number_of_rows(client: Client, host: Host) -> None:
    signed_in(client)

    def queries(name: str, *args: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse(f"cleanup:{name}", args=args)).status_code == 200
        return len(captured)

    small = made(host)
    before = [queries("run-list"), queries("run-detail", small.pk), queries("host-runs", host.pk)]
    before.append(queries("overview-fragment"))
    big = made(host, *[factories.make_host() for _ in range(6)], started_by=factories.make_user())
    for _ in range(4):
        made(host, started_by=factories.make_user())
    after = [queries("run-list"), queries("run-detail", big.pk), queries("host-runs", host.pk)]
    after.append(queries("overview-fragment"))
    assert after == before


def test_page_of_its_job_leads_back_to_the_run(client: Client, host: Host) -> None:
    signed_in(client)
    run = made(host)
    job = Job.objects.create(kind="cleanup", host=host, state="succeeded")
    assert "/cleanup/runs/" not in client.get(f"/jobs/{job.pk}/").content.decode().partition("<main")[2], (
        "a run may be forgotten before its job"
    )
    run.host_runs.update(job=job)
    assert reverse("cleanup:run-detail", args=[run.pk]) in client.get(f"/jobs/{job.pk}/").content.decode()
