"""What the overview and a host tell of cleanup, and what each page and question is called."""

from datetime import timedelta

import pytest
from django.test import Client

from cleanup.models import RunState
from images.models import Host, User
from tests.cleanup import rows
from tests.cleanup.pages import text_of, ways_of, words_of
from tests.cleanup.telling.made import address, nightly, planned, ran
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db


def test_overview_tells_what_ran_and_what_comes(client: Client, ada: User, host: Host) -> None:
    run = ran(host, ended_at=NOW - timedelta(hours=4))
    tells(
        words_of(client, "overview-fragment"),
        "Cleanup Policies Next run|Nightly, in 13 h|Last run|Nightly, 4 h ago Succeeded|Last 30 days|promised 2.00 "
        "MB, freed 2.00 MB in 1 run|",
    )
    page = text_of(client, "overview-fragment")
    assert f'<dt>Next run</dt><dd><a href="{address("policy-detail", run.policy_id)}">Nightly</a>' in page
    assert f'<dt>Last run</dt><dd><a href="{address("run-detail", run.pk)}">Nightly</a>' in page
    assert ways_of(client, "overview-fragment")["Policies"] == address("policy-list")


def test_overview_tells_of_what_waits_runs_and_needs_a_look(client: Client, ada: User, host: Host) -> None:
    first = nightly(host, seen_revision=0)
    second = rows.make_policy("Weekly", hosts=[host], schedule="0 4 * * 0")
    rows.make_policy("By hand", hosts=[host])
    waiting = rows.make_run(planned(host, first), RunState.WAITING)
    running = rows.make_run(planned(host, second), RunState.RUNNING)
    tells(
        words_of(client, "overview-fragment"),
        "A run of “Nightly” waits for approval. Look at it Before they run by themselves, somebody has to look at "
        "what they would remove: Nightly, Weekly. Running Weekly Next run|",
    )
    page = text_of(client, "overview-fragment")
    assert f'<a href="{address("run-detail", running.pk)}">Weekly</a>' in page
    ways = ways_of(client, "overview-fragment")
    assert ways["Look at it"] == address("run-detail", waiting.pk)
    assert f'<a href="{address("policy-detail", second.pk)}">Weekly</a>' in page


@pytest.mark.parametrize(
    "words",
    ["Next run|none is scheduled|", "Last run|never|", "Last 30 days|no run yet|"],
)
def test_overview_of_a_policy_that_never_ran_tells_so(
    client: Client, ada: User, host: Host, words: str
) -> None:
    nightly(host, schedule="", next_run_at=None)
    tells(words_of(client, "overview-fragment"), words)
    assert "Before they run" not in words_of(client, "overview-fragment")


def test_overview_tells_apart_no_run_and_runs_that_found_nothing(
    client: Client, ada: User, host: Host
) -> None:
    rows.make_run(rows.make_plan(nightly(host)), RunState.SUCCEEDED)
    tells(words_of(client, "overview-fragment"), "Last 30 days|no run had anything to remove|")


def test_overview_without_a_policy_tells_what_one_does(client: Client, ada: User) -> None:
    tells(
        words_of(client, "overview-fragment"),
        "No policy yet A policy cleans up on a schedule, and shows beforehand what would go. Go to the policies",
    )
    assert ways_of(client, "overview-fragment")["Go to the policies"] == address("policy-list")


def test_host_tells_of_its_runs(client: Client, ada: User, host: Host) -> None:
    run = ran(host, RunState.PARTIAL)
    run.host_runs.update(freed_bytes=7)
    line = f"Run|Policy|State|Promised|Freed|Began|#{run.pk}|Nightly|Partial|2.00 MB|7 B|2 min ago|"
    tells(words_of(client, "host-runs", host.pk), "Cleanup runs 0 of 1 freed what was promised", line)
    ways = ways_of(client, "host-runs", host.pk)
    assert ways[f"#{run.pk}"] == address("run-detail", run.pk)
    run.host_runs.update(was_disturbed=True)
    tells(words_of(client, "host-runs", host.pk), "|Partial disturbed|")
    assert "freed what was promised" not in words_of(client, "host-runs", host.pk)


def test_host_without_runs_tells_so_and_offers_a_prune_to_who_may(
    client: Client, ada: User, host: Host
) -> None:
    words = "No cleanup here yet When a policy has run on this host, its promised and freed bytes stand here."
    tells(words_of(client, "host-runs", host.pk), words)
    ways = ways_of(client, "host-runs", host.pk)
    assert ways["Preview: remove dangling images"] == address("host-prune", host.pk, "dangling")
    assert ways["Preview: remove everything unused"] == address("host-prune", host.pk, "unused")
    signed_in(client, "viewer")
    assert not ways_of(client, "host-runs", host.pk)


TITLES = {
    "policy-list": "Policies",
    "policy-add": "Add a policy",
    "policy-detail": "Nightly",
    "policy-edit": "Edit Nightly",
    "policy-remove": "Remove a policy",
    "plan-detail": "Preview of Nightly",
    "plan-part": "runner: Preview of Nightly",
    "plan-run": "Run now",
    "run-list": "Runs",
    "run-detail": "Run #{run}",
    "run-items": "runner: Run #{run}",
    "run-cancel": "Cancel a run",
    "pause": "Pause cleanup",
}


@pytest.mark.parametrize("name", TITLES)
def test_title_tells_which_page_it_is(client: Client, ada: User, host: Host, name: str) -> None:
    run = ran(host, RunState.RUNNING)
    arguments = {
        "policy": (run.policy_id,),
        "plan": (run.plan_id, host.pk, "kept") if name == "plan-part" else (run.plan_id,),
        "run": (run.pk, host.pk) if name == "run-items" else (run.pk,),
    }.get(name.partition("-")[0], ())
    if name in ("policy-list", "policy-add", "run-list"):
        arguments = ()
    title = text_of(client, name, *arguments).partition("<title>")[2].partition("</title>")[0]
    assert title.partition(" · ")[0] == TITLES[name].format(run=run.pk)


DIALOGS = {
    "plan-run": "Remove 2 images, free 2.00 MB",
    "run-cancel": "Cancel the run",
    "policy-remove": "Remove the policy",
    "pause": "Pause all cleanup",
}


@pytest.mark.parametrize("name", DIALOGS)
def test_question_is_a_dialog_over_a_page_and_a_page_without_a_script(
    client: Client, ada: User, host: Host, name: str
) -> None:
    run = ran(host, RunState.RUNNING)
    key = {"plan-run": run.plan_id, "run-cancel": run.pk, "policy-remove": run.policy_id}.get(name)
    here = address(name, *([key] if key else []))
    dialog = " ".join(client.get(here, headers={"HX-Request": "true"}).content.decode().split())
    page = text_of(client, name, *([key] if key else []))
    assert "<dialog data-open" in dialog
    assert "<dialog" not in page
    assert "data-close" in dialog, "nothing is loaded anew"
    assert "data-close" not in page
    for text in (dialog, page):
        form = text.partition(f'<form method="post" action="{here}"')[2].partition("</form>")[0]
        assert f"{DIALOGS[name]}</button>" in form.replace("</svg> ", "")
