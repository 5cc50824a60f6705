"""What the pages of runs tell, fact by fact: as one reads it, with what one can click and where that leads."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cleanup.models import CleanupSwitch, Item, Policy, Run, RunState
from images.errors import explain
from images.models import Host, ItemState, Job, User
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import text_of, ways_of, words_of
from tests.cleanup.telling.made import address, nightly, planned, ran
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db


def test_list_tells_of_each_run_which_policy_how_it_ended_and_when(
    client: Client, ada: User, host: Host
) -> None:
    run = ran(
        host,
        by=ada,
        started_at=NOW - timedelta(minutes=3),
        ended_at=NOW - timedelta(minutes=1),
        freed_bytes=7,
    )
    tells(
        words_of(client, "run-list"),
        "Run|Policy|State|Promised|Freed|Started by|Began|Took|"
        f"#{run.pk}|Nightly|Succeeded|2.00 MB|7 B|ada|3 min ago|2 min 0 s|",
    )
    ways = ways_of(client, "run-list")
    assert ways[f"#{run.pk}"] == address("run-detail", run.pk)
    assert ways["Nightly"] == address("policy-detail", run.policy_id)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": RunState.FAILED}, "|Nightly|Failed|"),
        ({"slot": NOW - timedelta(hours=2), "is_late": True}, "|Succeeded late|"),
        ({"slot": NOW}, "|Schedule|2 min ago|"),
        ({"freed_bytes": None}, "|Succeeded|2.00 MB|–|"),
        ({"started_by": None}, "|2.00 MB|–|2 min ago|"),
        ({"plan": None, "started_at": None, "freed_bytes": None}, "|Succeeded|–|–|–|–|–|"),
    ],
)
def test_list_tells_of_a_run_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    ran(host)
    Run.objects.update(**fields)
    tells(words_of(client, "run-list"), words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"state": RunState.WAITING, "waiting_reason": "limit", "ended_at": None},
            "|Waiting for approval It removes more than the policy's limit.|",
        ),
        (
            {"state": RunState.CANCELLED, "waiting_reason": "paused", "started_at": None},
            "|Cancelled All cleanup was paused.|",
        ),
        ({"waiting_reason": "limit"}, "|Succeeded|"),
    ],
)
def test_list_tells_why_a_run_waits_or_did_not_begin(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    ran(host)
    Run.objects.update(**fields)
    tells(words_of(client, "run-list"), words)


def test_long_list_of_runs_is_paged_filtered_and_followed_where_it_stands(
    client: Client, ada: User, host: Host
) -> None:
    policy = nightly(host)
    Run.objects.bulk_create(Run(policy=policy, state=RunState.SUCCEEDED) for _ in range(51))
    tells(words_of(client, "run-list"), "Runs Policy All policies", "1–50 of 51")
    page = text_of(client, "run-list", state="succeeded")
    for field in ("policy", "host", "state", "started"):
        assert f'name="{field}"' in page
    assert 'type="submit">Filter</button>' in page, "without a script"
    assert f'data-live="runs" data-live-refresh hx-get="{address("run-list")}?state=succeeded"' in page


def test_run_of_a_prune_is_listed_without_a_page_of_its_policy(client: Client, ada: User, host: Host) -> None:
    run = rows.make_run(planned(host, nightly(host, is_one_off=True)), RunState.SUCCEEDED)
    for name, arguments in (("run-list", ()), ("run-detail", (run.pk,))):
        tells(words_of(client, name, *arguments), "Nightly")
        assert "Nightly" not in ways_of(client, name, *arguments)


def test_empty_list_of_runs_tells_why_and_what_to_do(client: Client, ada: User) -> None:
    tells(
        words_of(client, "run-list"),
        "Nothing has run yet A policy runs on its schedule, or from its preview. Afterwards each run says here what "
        "it promised and what it freed. Go to the policies",
    )
    assert ways_of(client, "run-list")["Go to the policies"] == address("policy-list")
    tells(words_of(client, "run-list", state="failed"), "No run matches Choose another policy or state.")


def test_head_of_a_run_tells_who_began_it_and_how_it_went(client: Client, ada: User, host: Host) -> None:
    run = ran(host, by=ada, started_at=NOW - timedelta(minutes=3), ended_at=NOW - timedelta(minutes=1))
    tells(
        words_of(client, "run-detail", run.pk),
        f"Runs / Nightly Run #{run.pk} Succeeded Started by ada · 3 min ago Its plan Promised 2.00 MB 2 images Freed "
        "2.00 MB Exactly what was promised. Images done 2 / 2 Took 2 min 0 s Ended 1 min ago",
    )
    ways = ways_of(client, "run-detail", run.pk)
    assert ways["Runs"] == address("run-list")
    assert ways["Nightly"] == address("policy-detail", run.policy_id)
    assert ways["Its plan"] == address("plan-detail", run.plan_id)
    assert "Cancel this run" not in ways


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"slot": NOW - timedelta(minutes=2)},
            "Succeeded By the schedule, for 2026-06-01 11:58 UTC · 2 min ago",
        ),
        ({"started_by": None}, "Started by – · 2 min ago"),
        ({"state": RunState.FAILED, "freed_bytes": None}, "Freed – Nothing was measured."),
        ({"started_at": None}, "Started by – Its plan"),
        ({"state": RunState.RUNNING, "freed_bytes": None, "ended_at": None}, "Took – Began 2 min ago"),
        (
            {"state": RunState.RUNNING, "freed_bytes": None, "ended_at": None},
            "Freed – Measured on the engines when they are done.",
        ),
        ({"state": RunState.WAITING, "started_at": None, "ended_at": None}, "Took – Not begun yet"),
        ({"freed_bytes": 1}, "Freed 1 B As the engines measured it."),
        (
            {"state": RunState.WAITING, "waiting_reason": "unseen"},
            "This run waits for approval. Nobody had looked at a plan of the policy as it stood then. Its plan",
        ),
    ],
)
def test_head_tells_of_a_run_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    run = ran(host)
    Run.objects.update(**fields)
    tells(words_of(client, "run-detail", run.pk), words)


def test_head_of_an_open_run_follows_it_and_tells_only_what_is_so(
    client: Client, ada: User, host: Host
) -> None:
    run = ran(host, RunState.RUNNING)
    follows = f'<div id="run_head" class="stack" data-live="run:{run.pk}" data-live-refresh'
    assert follows in text_of(client, "run-detail", run.pk)
    assert "you may not see" not in words_of(client, "run-detail", run.pk)
    Run.objects.update(state=RunState.SUCCEEDED)
    assert follows not in text_of(client, "run-detail", run.pk)


def test_waiting_run_is_approved_by_a_button_or_tells_what_helps(
    client: Client, ada: User, host: Host
) -> None:
    run = ran(host, RunState.WAITING, waiting_reason="unseen", started_at=None, ended_at=None)
    tells(words_of(client, "run-detail", run.pk), "Images done – Took")
    Policy.objects.update(seen_revision=0)
    tells(
        words_of(client, "run-detail", run.pk), "Nobody has looked at a plan of the policy as it stands now."
    )
    question = words_of(client, "run-approve", run.pk)
    tells(
        question,
        "Remove 2 images from 1 host? This frees 2.00 MB. Exactly the images of its plan go",
        "From then on the policy runs on its schedule, and nobody is asked first.",
        "Approve: remove 2 images",
    )
    Policy.objects.update(seen_revision=1)
    assert "nobody is asked first" not in words_of(client, "run-approve", run.pk)
    way = ways_of(client, "run-detail", run.pk)["Approve: remove 2 images, free 2.00 MB"]
    assert way == address("run-approve", run.pk)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    why = explain("cleanup_paused")
    tells(words_of(client, "run-detail", run.pk), f"It can not be approved now: {why.what} {why.remedy}")
    tells(words_of(client, "run-approve", run.pk), why.what)
    Run.objects.update(state=RunState.SUCCEEDED)
    tells(words_of(client, "run-approve", run.pk), explain("run_not_waiting").what)


def test_run_that_found_everything_gone_says_that_it_removed_nothing(
    client: Client, ada: User, host: Host
) -> None:
    run = ran(host)
    told = "This run removed nothing: all of its images were gone already when it came to them."
    Item.objects.filter(position=0).update(state=ItemState.GONE)
    assert told not in words_of(client, "run-detail", run.pk)
    Item.objects.update(state=ItemState.GONE)
    tells(words_of(client, "run-detail", run.pk), told)


def test_head_tells_who_approved_a_run(client: Client, ada: User, host: Host) -> None:
    run = ran(host, approved_by=factories.make_user("grace"))
    tells(words_of(client, "run-detail", run.pk), "Started by – · approved by grace · 2 min ago")


def test_open_run_can_be_cancelled_by_who_may(client: Client, ada: User, host: Host) -> None:
    run = ran(host, RunState.RUNNING)
    assert ways_of(client, "run-detail", run.pk)["Cancel this run"] == address("run-cancel", run.pk)
    tells(
        words_of(client, "run-cancel", run.pk),
        f"Cancel a run Cancel run #{run.pk}? What was removed stays removed; the images that are still waiting stay on "
        "their hosts. Let it go on Cancel the run",
    )
    assert ways_of(client, "run-cancel", run.pk)["Let it go on"] == address("run-detail", run.pk)
    signed_in(client, "viewer")
    assert "Cancel this run" not in ways_of(client, "run-detail", run.pk)


def test_run_that_has_ended_is_not_asked_about(client: Client, ada: User, host: Host) -> None:
    """A dialog that was opened late, or an old address."""
    run = ran(host)
    page = words_of(client, "run-cancel", run.pk)
    tells(page, "This run has ended already. Look at its results, and make a new preview for what is left.")
    assert "Cancel the run" not in page
    assert ways_of(client, "run-cancel", run.pk)["See the run"] == address("run-detail", run.pk)


def test_run_without_hosts_tells_so_unless_its_plan_is_being_made(
    client: Client, ada: User, host: Host
) -> None:
    run = rows.make_run(rows.make_plan(nightly(host)), RunState.SUCCEEDED)
    tells(words_of(client, "run-detail", run.pk), "No host took part.")
    Run.objects.update(state=RunState.WAITING)
    tells(words_of(client, "run-detail", run.pk), "No host took part yet.")
    Run.objects.update(state=RunState.PLANNING)
    assert "No host took part" not in words_of(client, "run-detail", run.pk)


def test_head_of_a_runs_host_tells_its_part(client: Client, ada: User, host: Host) -> None:
    run = ran(host, RunState.PARTIAL)
    first = Item.objects.all()[0]
    Item.objects.filter(pk=first.pk).update(state=ItemState.SKIPPED)
    run.host_runs.update(freed_bytes=1_000_000)
    tells(
        words_of(client, "run-host", run.pk, host.pk),
        "runner Partial 2 / 2 promised 2.00 MB, freed 1.00 MB Skipped: 1",
    )
    assert "a second" not in words_of(client, "run-host", run.pk, host.pk)
    run.host_runs.update(was_disturbed=True)
    tells(words_of(client, "run-host", run.pk, host.pk), "Skipped: 1 disturbed")


def test_head_of_a_running_host_follows_its_run_and_job(client: Client, ada: User, host: Host) -> None:
    run = ran(host, RunState.RUNNING)
    tells(words_of(client, "run-host", run.pk, host.pk), "runner Running 0 / 2 promised 2.00 MB")
    assert f'data-live="run:{run.pk}" data-live-refresh' in text_of(client, "run-host", run.pk, host.pk)
    job = Job.objects.create(kind="cleanup", host=host)
    run.host_runs.update(job=job)
    page = text_of(client, "run-host", run.pk, host.pk)
    assert f'data-live="run:{run.pk} job:{job.pk}" data-live-refresh' in page
    assert f'hx-get="{address("run-host", run.pk, host.pk)}"' in page
    run.host_runs.update(state=RunState.SUCCEEDED)
    assert "data-live" not in text_of(client, "run-host", run.pk, host.pk)


@pytest.mark.parametrize(
    ("state", "look"),
    [(RunState.SUCCEEDED, "is-good"), (RunState.FAILED, "is-danger"), (RunState.PARTIAL, "")],
)
def test_bar_of_a_runs_host_looks_as_it_ended(
    client: Client, ada: User, host: Host, state: RunState, look: str
) -> None:
    run = ran(host, state)
    bar = f'<progress value="2" max="2" class="{look}" aria-label="Images done on runner"></progress>'
    assert bar in text_of(client, "run-host", run.pk, host.pk)


def test_images_of_a_run_tell_their_outcome_and_what_the_engine_said(
    client: Client, ada: User, host: Host
) -> None:
    run = ran(host, RunState.PARTIAL)
    first, _second = Item.objects.all()
    Item.objects.filter(pk=first.pk).update(
        name="acme/api:1",
        state=ItemState.SKIPPED,
        outcome_code="in_use",
        outcome_values={"container": "db-1"},
    )
    job = Job.objects.create(kind="cleanup", host=host)
    run.host_runs.update(job=job, was_disturbed=True)
    page = words_of(client, "run-items", run.pk, host.pk)
    tells(
        page,
        f"Run #{run.pk} runner Something else changed the images of this host meanwhile: what was freed is not this "
        f"run’s alone. Job #{job.pk}: its log and what the engine said Image|Outcome|Promised|Why|"
        "acme/api:1|Skipped|1.00 MB|In use by the container db-1.|",
        "|Removed|1.00 MB|It has no tag.|",
    )
    assert "What the engine said" not in page
    ways = ways_of(client, "run-items", run.pk, host.pk)
    assert ways[f"Run #{run.pk}"] == address("run-detail", run.pk)
    assert ways[f"Job #{job.pk}: its log and what the engine said"] == reverse(
        "images:job-detail", args=[job.pk]
    )
    Item.objects.filter(pk=first.pk).update(outcome_raw="conflict")
    tells(
        words_of(client, "run-items", run.pk, host.pk),
        "In use by the container db-1. What the engine said conflict|",
    )
    tells(words_of(client, "run-items", run.pk, host.pk, q="absent"), "No image here matches.")


def test_many_images_of_a_run_are_paged(client: Client, ada: User, host: Host) -> None:
    plan = rows.make_plan(nightly(host))
    rows.add_host(plan, host, removed=60)
    run = rows.make_run(plan, RunState.SUCCEEDED)
    tells(words_of(client, "run-items", run.pk, host.pk), "1–50 of 60")
    here = address("run-items", run.pk, host.pk)
    assert ways_of(client, "run-items", run.pk, host.pk)["Next"] == f"{here}?page=2"


def test_tables_have_names_for_who_hears_them(client: Client, ada: User, host: Host) -> None:
    run = ran(host)
    assert 'aria-label="Images of runner in this run"' in text_of(client, "run-items", run.pk, host.pk)
    page = text_of(client, "plan-detail", run.plan_id)
    assert 'aria-label="What would go from runner"' in page
    assert 'aria-label="What stays on runner"' in page


def test_images_of_a_quiet_ended_host_have_no_notes(client: Client, ada: User, host: Host) -> None:
    run = ran(host)
    page = words_of(client, "run-items", run.pk, host.pk)
    assert "Something else" not in page
    assert "Job #" not in page
    assert 'data-live="run:' not in text_of(client, "run-items", run.pk, host.pk)


def test_images_of_a_running_host_follow_its_run(client: Client, ada: User, host: Host) -> None:
    run = ran(host, RunState.RUNNING)
    assert f'data-live="run:{run.pk}" data-live-refresh' in text_of(client, "run-items", run.pk, host.pk)
    job = Job.objects.create(kind="cleanup", host=host)
    run.host_runs.update(job=job)
    page = text_of(client, "run-items", run.pk, host.pk)
    assert f'data-live="run:{run.pk} job:{job.pk}" data-live-refresh' in page


def test_first_host_of_a_run_is_open_and_the_others_load_when_opened(
    client: Client, ada: User, host: Host
) -> None:
    plan = planned(host)
    other = factories.make_host("zeta")
    rows.add_host(plan, other)
    run = rows.make_run(plan, RunState.SUCCEEDED)
    assert text_of(client, "run-detail", run.pk).count('<details class="card fold" open>') == 1
    ways = ways_of(client, "run-detail", run.pk)
    assert ways["Show its images"].rstrip("?") == address("run-items", run.pk, other.pk)


def test_filter_of_a_run_can_be_taken_back(client: Client, ada: User, host: Host) -> None:
    run = ran(host)
    assert "Show all" not in ways_of(client, "run-detail", run.pk)
    page = text_of(client, "run-detail", run.pk)
    form = page.partition('class="filters" role="search">')[2].partition("</form>")[0]
    assert 'name="q"' in form
    assert 'name="state"' in form
    assert " Filter</button>" in form
    Run.objects.filter(pk=run.pk).first().host_runs.all().delete()  # type: ignore[union-attr]
    assert 'role="search"' not in text_of(client, "run-detail", run.pk)
    run = rows.make_run(planned(host, run.policy), RunState.SUCCEEDED)
    assert ways_of(client, "run-detail", run.pk, q="x")["Show all"] == address("run-detail", run.pk)
