"""What the pages of policies tell, fact by fact: as one reads it, with what one can click and where that leads."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cleanup.models import CleanupSwitch, Plan, PlanState, Policy, RunState
from images.models import Host, HostGroup, User
from tests.cleanup import rows
from tests.cleanup.pages import text_of, ways_of, words_of
from tests.cleanup.telling.made import address, nightly, planned, ran
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db


def test_card_of_a_policy_tells_what_where_when_and_how_it_went(
    client: Client, ada: User, host: Host
) -> None:
    run = rows.make_run(planned(host), RunState.PARTIAL, started_at=NOW - timedelta(hours=9))
    tells(
        words_of(client, "policy-list"),
        "Policies Pause all cleanup Add a policy Nightly on Keeps the runner small Delete: Dangling images "
        "Where|runner|When|Every day at 03:00 (Europe/Berlin)|Next run|in 13 h Tue 2026-06-02 03:00 CEST|"
        "Last run|9 h ago Partial promised 2.00 MB, freed 2.00 MB|",
    )
    ways = ways_of(client, "policy-list")
    assert ways["Nightly"] == address("policy-detail", run.policy_id)
    assert ways["9 h ago"] == address("run-detail", run.pk)
    assert ways["Pause all cleanup"] == address("pause")
    assert ways["Add a policy"] == address("policy-add")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"is_enabled": False}, "Nightly off Keeps"),
        ({"is_enabled": False}, "|Next run|none: it is switched off|"),
        ({"seen_revision": 0}, "Nightly needs a look on Keeps"),
        ({"schedule": "", "next_run_at": None}, "|When|only when somebody starts it|"),
        ({"schedule": "", "next_run_at": None}, "|Next run|none: by hand only|"),
        ({"description": ""}, "Nightly on Delete: Dangling"),
        ({}, "|Last run|never|"),
    ],
)
def test_card_tells_of_a_policy_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    nightly(host, **fields)
    tells(words_of(client, "policy-list"), words)


def test_badge_tells_what_a_look_is_needed_for(client: Client, ada: User, host: Host) -> None:
    nightly(host, seen_revision=0)
    title = 'title="It does not run unattended until somebody has looked at its preview."'
    assert title in text_of(client, "policy-list")


def test_list_of_policies_offers_to_a_person_what_that_person_may(
    client: Client, host: Host, group: HostGroup
) -> None:
    nightly(host)
    signed_in(client, "viewer")
    assert not {"Pause all cleanup", "Add a policy"} & set(ways_of(client, "policy-list"))
    signed_in(client, "maintainer", group)
    assert {"Pause all cleanup", "Add a policy"} & set(ways_of(client, "policy-list")) == {"Add a policy"}
    signed_in(client, "maintainer")
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    assert "Pause all cleanup" not in ways_of(client, "policy-list"), "it is paused"


def test_empty_list_of_policies_tells_what_a_policy_is(client: Client, ada: User) -> None:
    what = "No policy yet A policy says which images should go and which must stay."
    tells(words_of(client, "policy-list"), f"{what} Before it removes anything you see exactly what would go")
    assert ways_of(client, "policy-list")["Add the first policy"] == address("policy-add")
    signed_in(client, "viewer")
    needed = "To make one, a person needs the permission “Edit policies”."
    tells(words_of(client, "policy-list"), f"{what} {needed}")


def test_page_of_a_policy_tells_what_it_does_where_and_when(client: Client, ada: User, host: Host) -> None:
    policy = nightly(host, limit_items=10, limit_bytes=5 * 10**9, seen_by=ada, created_by=ada)
    policy.rules.create(effect="keep", kind="keep_label", parameters={"label": "keep"}, position=1)
    tells(
        words_of(client, "policy-detail", policy.pk),
        "Policies Nightly Preview Edit Switch off Remove What it does on Keeps the runner small Delete: Dangling "
        "images Keep: With the label keep An image that arrived on its host less than 24 hours ago stays. So does "
        "every image that is pinned, in use by a container, or the base of one that stays. Its runs",
        "Where and when Where|runner|When|Every day at 03:00 (Europe/Berlin)|",
        "|Next run|in 13 h Tue 2026-06-02 03:00 CEST|",
        "|Limits|at most 10 images a run; at most 5.00 GB a run. Above it the run waits for approval.|",
        "|Looked at|ada, 2 h ago|Made by|ada, now|",
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"is_enabled": False}, "What it does off Keeps"),
        ({"is_enabled": False}, "|Next run|none: it is switched off|"),
        ({"is_enabled": False}, "Preview Edit Switch on Remove"),
        ({"schedule": "", "next_run_at": None}, "|When|only when somebody starts it|"),
        ({"schedule": "", "next_run_at": None}, "|Next run|none: by hand only|"),
        ({"description": ""}, "What it does on Delete: Dangling"),
        ({"minimum_age_hours": 1}, "less than 1 hour ago stays."),
        ({"limit_items": 10}, "|Limits|at most 10 images a run. Above it"),
        ({"limit_bytes": 10**9}, "|Limits|at most 1.00 GB a run. Above it"),
        ({}, "|Limits|none|"),
        ({"seen_revision": 0}, "|Looked at|needs a look|"),
        ({"seen_by": None}, "|Looked at|–, 2 h ago|Made by|–, now|"),
        ({}, "It has not run yet Make a preview: it shows what would go, and can then be run."),
        ({}, "Previews None yet."),
    ],
)
def test_page_tells_of_a_policy_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    tells(words_of(client, "policy-detail", nightly(host, **fields).pk), words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seen_revision": 0}, "needs a look. Nobody has looked at its preview yet."),
        ({"seen_revision": 1, "revision": 2}, "needs a look. It was edited since somebody last looked"),
        (
            {"seen_revision": 0},
            "Its scheduled runs wait for approval until somebody makes a preview and says",
        ),
        ({"seen_revision": 1}, ""),
        ({"seen_revision": 0, "schedule": ""}, ""),
    ],
)
def test_page_tells_why_a_policy_needs_a_look(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    page = words_of(client, "policy-detail", nightly(host, **fields).pk)
    assert words in page
    assert ("This policy needs a look." in page) is bool(words)


def test_page_of_a_policy_leads_to_all_that_can_be_done(client: Client, ada: User, host: Host) -> None:
    plan = planned(host, created_by=ada)
    Plan.objects.update(created_at=NOW - timedelta(days=2))
    run = rows.make_run(plan, RunState.SUCCEEDED)
    policy = plan.policy_id
    ways = ways_of(client, "policy-detail", policy)
    assert ways == {
        "Policies": address("policy-list"),
        "Preview": address("plan-make", policy),
        "Edit": address("policy-edit", policy),
        "Switch off": address("policy-switch", policy),
        "Remove": address("policy-remove", policy),
        "All of them": f"{address('run-list')}?policy={policy}",
        f"#{run.pk}": address("run-detail", run.pk),
        "2 d ago": address("plan-detail", plan.pk),
    }
    signed_in(client, "viewer")
    assert not {"Preview", "Edit", "Switch off", "Remove"} & set(ways_of(client, "policy-detail", policy))


def test_page_of_a_policy_tells_of_its_runs_and_previews(client: Client, ada: User, host: Host) -> None:
    policy = nightly(host)
    begun: dict[str, Any] = {"started_at": NOW - timedelta(hours=5)}
    first = rows.make_run(planned(host, policy, created_by=ada), RunState.PARTIAL, by=ada, **begun)
    late = rows.make_run(
        planned(host, policy), RunState.SUCCEEDED, slot=NOW - timedelta(hours=9), is_late=True, **begun
    )
    rows.make_plan(policy, state=PlanState.FAILED, by=ada)
    page = words_of(client, "policy-detail", policy.pk)
    tells(
        page,
        "Run|State|Promised|Freed|Started by|Began|",
        f"|#{late.pk}|Succeeded late|2.00 MB|2.00 MB|Schedule|5 h ago|",
        f"|#{first.pk}|Partial|2.00 MB|2.00 MB|ada|5 h ago|",
        "Previews now Failed ada now 2 images, 2.00 MB Drydock now 2 images, 2.00 MB ada",
    )


def test_removing_a_policy_tells_what_goes_with_it(client: Client, ada: User, host: Host) -> None:
    run = ran(host)
    page = words_of(client, "policy-remove", run.policy_id)
    tells(
        page,
        "Remove a policy Remove the policy “Nightly”? Its previews and the record of its 1 run go with it; the "
        "audit log stays. No image is removed by this. To keep the records, switch the policy off instead.",
        "Cancel Remove the policy",
    )
    assert ways_of(client, "policy-remove", run.policy_id)["Cancel"] == address(
        "policy-detail", run.policy_id
    )


@pytest.mark.parametrize("is_enabled", [True, False])
def test_switch_sends_the_other_state(client: Client, ada: User, host: Host, is_enabled: bool) -> None:
    page = text_of(client, "policy-detail", nightly(host, is_enabled=is_enabled).pk)
    assert f'name="is_enabled" value="{"" if is_enabled else "on"}"' in page


def test_rules_that_select_everything_are_said_with_what_would_stay(
    client: Client, ada: User, host: Host
) -> None:
    everything = {"pattern": "*", "syntax": "glob", "target": "tag"}
    policy = nightly(host)
    policy.rules.create(effect="delete", kind="tag_pattern", parameters=everything, position=1)
    words = (
        "These rules select every image on every host of the policy. Only what a keep rule keeps, and what is "
        "pinned, in use, too young or the base of another image, would stay."
    )
    tells(words_of(client, "policy-detail", policy.pk), words)
    sent = {"rule": ["r0"], "r0-kind": "tag_pattern"} | {
        f"r0-{name}": each for name, each in everything.items()
    }
    page = client.post(address("policy-add"), {"name": "All", "scope": "all"} | sent).content.decode()
    assert words.partition(". ")[2] in page
    assert 'name="accepts_all"' in page


def test_policy_that_is_running_is_not_removed_and_the_page_tells_why(
    client: Client, ada: User, host: Host
) -> None:
    run = ran(host, RunState.RUNNING)
    page = client.post(address("policy-remove", run.policy_id)).content.decode()
    assert 'role="alert"' in page
    assert "Nightly" in page.partition('role="alert"')[2][:200]
    assert Policy.objects.exists()


def test_form_of_a_policy_tells_what_its_parts_are_for(client: Client, ada: User, host: Host) -> None:
    page = words_of(client, "policy-add")
    tells(
        page,
        "Policies Add a policy Name Name",
        "Delete rules: what should go An image goes when any of these selects it and no keep rule keeps it. "
        "Dangling images Unused for 30 days",
        "Keep rules: what must stay These always win. Without being asked, Drydock also keeps what is pinned, in "
        "use by a container, or the base of an image that stays. The newest 5 of each repository",
        "Where Scope All hosts, now and later",
        "Host groups ci Hosts runner",
        "When Only by hand",
        "Schedule (cron)",
        "No schedule: it runs only when somebody starts it.",
        "Care Minimum age in hours",
        "At most this many images a run",
        "At most this many GB a run",
        "Switched on",
        "Save the policy Cancel Saving removes nothing. You see a preview before anything goes.",
    )
    assert ways_of(client, "policy-add") == dict.fromkeys(("Policies", "Cancel"), address("policy-list"))


def test_form_of_a_known_policy_names_it_and_its_rules(client: Client, ada: User, host: Host) -> None:
    policy = nightly(host)
    page = words_of(client, "policy-edit", policy.pk)
    tells(page, "Policies / Nightly Edit Nightly", "Images without a tag. Remove the rule “Dangling”")
    tells(page, "Every day at 03:00", "The next five times: Tue 2026-06-02 03:00 CEST in 13 h")
    ways = ways_of(client, "policy-edit", policy.pk)
    assert ways["Nightly"] == ways["Cancel"] == address("policy-detail", policy.pk)
    assert "was not saved" not in page


def test_form_that_is_not_right_tells_so_at_its_head(client: Client, ada: User) -> None:
    page = client.post(address("policy-add"), {"name": "", "scope": "all"}).content.decode()
    assert "The policy was not saved: something below is not right yet." in page


def sent(client: Client, *kinds: str, **fields: Any) -> str:
    """The form again, after a policy with rules of these kinds was sent and refused."""
    rules = {f"r{number}-kind": kind for number, kind in enumerate(kinds)}
    known = {"name": "All", "scope": "all", "time_zone": "UTC", "minimum_age_hours": 24}
    data = known | {"rule": [f"r{number}" for number in range(len(kinds))]} | rules | fields
    page = " ".join(client.post(address("policy-add"), data).content.decode().split())
    assert not Policy.objects.exists()
    return page


def test_form_tells_what_is_wrong_with_a_rule_and_with_all_of_them(client: Client, ada: User) -> None:
    twice = sent(client, "dangling", "dangling").partition('<input type="hidden" name="r1-kind"')[2]
    assert "The same rule is there already." in twice
    many = sent(client, *["older_than"] * 51, **{f"r{number}-days": number + 1 for number in range(51)})
    assert "At most 50 rules." in many.partition("something below is not right yet.")[2][:200]


def test_form_says_nothing_of_the_next_times_of_a_schedule_that_can_not_be_read(
    client: Client, ada: User
) -> None:
    page = sent(client, "dangling", schedule="61 * * * *")
    assert page.count("The minute “61” can not be read") == 1
    assert "The next five times" not in page
    assert "No schedule:" not in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"schedule": "61 * * * *"}, "The minute “61” can not be read"),
        ({"schedule": "0 3 * * *", "time_zone": "Mars/One"}, "There is no such time zone."),
        ({"schedule": ""}, "No schedule: it runs only when somebody starts it."),
        (
            {"schedule": "0 3 * * *", "time_zone": "Europe/Berlin"},
            "Every day at 03:00 The next five times: Tue 2026-06-02 03:00 CEST in 13 h Wed 2026-06-03 03:00 CEST",
        ),
    ],
)
def test_schedule_is_explained_in_each_state(
    client: Client, ada: User, query: dict[str, str], words: str
) -> None:
    tells(words_of(client, "schedule-explain", **query), words)


def test_form_adds_rules_and_schedules_by_their_buttons(client: Client, ada: User, host: Host) -> None:
    page = text_of(client, "policy-add")
    for kind, preset in (("unused_for", "unused"), ("keep_label", "label")):
        assert f'value="{preset}" hx-get="{address("rule-form", kind)}?preset={preset}"' in page
    cron = "0%203%20%2A%20%2A%20%2A"
    assert f'value="0 3 * * *" hx-get="{address("schedule-explain")}?preset={cron}"' in page
    assert 'name="time_zone"' in page
    policy = nightly(host)
    policy.rules.create(effect="keep", kind="keep_label", parameters={"label": "stay"}, position=1)
    tells(words_of(client, "policy-edit", policy.pk), "Images with this label: a key, or key=value.")
    assert 'value="stay"' in text_of(client, "policy-edit", policy.pk)
    assert 'class="form-hint"></p>' not in text_of(client, "policy-edit", policy.pk)


def test_form_asks_for_groups_only_where_there_are_some(client: Client, ada: User, group: HostGroup) -> None:
    assert 'name="groups"' in text_of(client, "policy-add")
    assert text_of(client, "policy-add").count("choice-box") == 2
    group.delete()
    assert text_of(client, "policy-add").count("choice-box") == 1
