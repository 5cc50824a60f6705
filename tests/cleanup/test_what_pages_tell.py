"""What each page of cleanup tells, fact by fact: as one reads it, with what one can click and where that leads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from cleanup.models import CleanupSwitch, HostPlan, Item, Plan, PlanState, Policy, Run, RunState
from images.errors import explain
from images.models import Host, HostGroup, ItemState, Job, User
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import text_of, ways_of, words_of

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ada(client: Client) -> User:
    return signed_in(client, "admin", name="ada")


def signed_in(client: Client, role: str = "viewer", group: HostGroup | None = None, name: str = "") -> User:
    user = factories.make_user(name) if name else factories.make_user()
    factories.grant(user, role, group)
    client.force_login(user)
    return user


def nightly(host: Host, **fields: Any) -> Policy:
    """Every night at 3 in Berlin, looked at."""
    defaults: dict[str, Any] = {
        "schedule": "0 3 * * *",
        "time_zone": "Europe/Berlin",
        "next_run_at": NOW + timedelta(hours=13),
        "description": "Keeps the runner small",
        "seen_revision": 1,
        "seen_at": NOW - timedelta(hours=2),
    }
    return rows.make_policy("Nightly", hosts=[host], **(defaults | fields))


def planned(host: Host, policy: Policy | None = None, **fields: Any) -> Plan:
    """Removes two images and keeps one."""
    plan = rows.make_plan(policy or nightly(host), **fields)
    rows.add_host(plan, host, removed=2)
    return plan


def ran(host: Host, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Run:
    return rows.make_run(planned(host), state, **fields)


def address(name: str, *args: Any) -> str:
    return reverse(f"cleanup:{name}", args=args)


def tells(page: str, *facts: str) -> None:
    missing = [fact for fact in facts if fact not in page]
    assert not missing, page


# The pause


@pytest.mark.parametrize("name", ["policy-list", "run-list", "overview-fragment"])
def test_banner_tells_who_paused_when_why_and_what_it_means(client: Client, ada: User, name: str) -> None:
    switch = CleanupSwitch.objects.create(is_paused=True, reason="Audit week", changed_by=ada)
    CleanupSwitch.objects.update(changed_at=NOW - timedelta(hours=3))
    words = "Nothing is removed until it is resumed; runs that are under way stop within moments."
    tells(words_of(client, name), f"All cleanup is paused. By ada, 3 h ago. “Audit week” {words}")
    assert ways_of(client, name)["Resume cleanup"] == address("pause")
    CleanupSwitch.objects.filter(pk=switch.pk).update(reason="", changed_by=None)
    tells(words_of(client, name), f"All cleanup is paused. By –, 3 h ago. {words}")
    signed_in(client, "viewer")
    assert "Resume cleanup" not in ways_of(client, name)
    CleanupSwitch.objects.update(is_paused=False)
    assert "paused" not in words_of(client, name)


def test_banner_stands_on_every_page_of_what_it_stops(client: Client, ada: User, host: Host) -> None:
    run = ran(host)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    for name, pk in (("policy", run.policy_id), ("plan", run.plan_id), ("run", run.pk)):
        tells(words_of(client, f"{name}-detail", pk), "All cleanup is paused.")


def test_pausing_tells_what_it_does_and_resuming_too(client: Client, ada: User) -> None:
    tells(
        words_of(client, "pause"),
        "Pause cleanup Pause all cleanup? No policy removes anything until somebody resumes it. Runs that are "
        "under way stop within moments. Previews still work. Reason",
        "Cancel Pause all cleanup",
    )
    assert ways_of(client, "pause")["Cancel"] == address("policy-list")
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    tells(
        words_of(client, "pause"),
        "Resume cleanup Resume all cleanup? Policies run again at their next scheduled time. A run that waits "
        "because of the pause goes on. Cancel Resume all cleanup",
    )


# Policies


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


# Plans


def test_preview_tells_what_would_go_by_whom_and_until_when(client: Client, ada: User, host: Host) -> None:
    plan = planned(host, created_by=ada, made_at=NOW - timedelta(minutes=5))
    tells(
        words_of(client, "plan-detail", plan.pk),
        "Policies / Nightly Preview of Nightly 2 images on 1 host would go, which frees 2.00 MB. 1 image stays. "
        "Made 5 min ago by ada. It can be run until it expires, in 1 d. The rules as they stood Delete: Dangling "
        "images Run now: remove 2 images, free 2.00 MB This policy was looked at and may run on its schedule.",
    )
    ways = ways_of(client, "plan-detail", plan.pk)
    assert ways["Policies"] == address("policy-list")
    assert ways["Nightly"] == address("policy-detail", plan.policy_id)
    assert ways["Run now: remove 2 images, free 2.00 MB"] == address("plan-run", plan.pk)
    item = Item.objects.all()[0]
    assert item.copy
    assert ways[item.name] == reverse("images:image-detail", args=[Item.objects.all()[1].copy.image_id])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"item_count": 0, "kept_count": 2}, "Nothing would go. 2 images stay. Made now by Drydock."),
        ({"rules": []}, "The rules as they stood No rule: it removes nothing."),
        (
            {"expires_at": NOW - timedelta(hours=1)},
            "Make a new preview This one is too old to be run: the hosts have changed since.",
        ),
        ({"expires_at": NOW - timedelta(hours=1)}, "by Drydock. expired"),
        ({"policy_revision": 0}, "The policy was edited after this preview"),
        (
            {"state": PlanState.MAKING},
            (
                "The plan is being made Drydock goes through every image on every host of the policy. Nothing is "
                "removed by this."
            ),
        ),
        (
            {"state": PlanState.FAILED, "error_raw": "boom"},
            (
                "The plan could not be made. Nothing was removed. Make a new preview; if it fails again, report the "
                "text below. What went wrong boom Make a new preview"
            ),
        ),
        ({"promised_bytes_high": 3_000_000}, "A range: on the containerd store the size of the compressed"),
    ],
)
def test_preview_tells_of_itself_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    plan = planned(host)
    Plan.objects.update(**fields)
    tells(words_of(client, "plan-detail", plan.pk), words)


def test_finished_preview_follows_nothing_and_one_without_images_asks_for_nothing(
    client: Client, ada: User, host: Host
) -> None:
    plan = planned(host)
    assert 'data-live="plan:' not in text_of(client, "plan-detail", plan.pk)
    Plan.objects.update(item_count=0)
    page = words_of(client, "plan-detail", plan.pk)
    assert "To run it" not in page
    assert "Run now" not in page
    Plan.objects.update(state=PlanState.FAILED)
    assert "What went wrong" not in words_of(client, "plan-detail", plan.pk)


def test_preview_of_what_is_known_and_current_warns_of_nothing(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    Host.objects.update(use_known_since=NOW - timedelta(days=90))
    page = words_of(client, "plan-detail", plan.pk)
    assert "What is not known" not in page
    assert "edited after" not in page
    assert "you may not see" not in page
    Host.objects.update(use_known_since=None)
    words = "What is not known Last use is not known, so rules about use select nothing there: runner."
    tells(words_of(client, "plan-detail", plan.pk), words)


def test_plan_of_many_hosts_is_paged_and_filtered_where_it_stands(
    client: Client, ada: User, host: Host
) -> None:
    plan = planned(host)
    for _ in range(25):
        rows.add_host(plan, factories.make_host(), removed=0, kept=0)
    tells(words_of(client, "plan-detail", plan.pk), "1–25 of 26")
    page = text_of(client, "plan-detail", plan.pk)
    form = page.partition(f'role="search" action="{address("plan-detail", plan.pk)}"')[2].partition(
        "</form>"
    )[0]
    for field in ("q", "host", "part", "reason"):
        assert f'name="{field}"' in form
    assert 'type="submit">Filter</button>' in form, "without a script"


def test_refusal_is_told_in_the_question_alone(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    assert 'role="alert"' not in text_of(client, "plan-run", plan.pk)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    page = client.post(address("plan-run", plan.pk)).content.decode()
    assert "All cleanup is paused." in page.partition('role="alert">')[2].partition("</div>")[0]


def test_preview_that_can_not_be_run_tells_what_helps(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    why = explain("cleanup_paused")
    assert why.remedy
    tells(words_of(client, "plan-detail", plan.pk), f"It can not be run now: {why.what} {why.remedy}")


@pytest.mark.parametrize(
    "fields", [{"expires_at": NOW}, {"policy_revision": 0}, {"state": PlanState.FAILED}], ids=str
)
def test_new_preview_is_offered_to_who_may_make_one(
    client: Client, ada: User, host: Host, fields: dict[str, Any]
) -> None:
    plan = planned(host)
    Plan.objects.update(**fields)
    again = ways_of(client, "plan-detail", plan.pk)["Make a new preview"]
    assert again == address("plan-make", plan.policy_id)
    signed_in(client, "viewer")
    assert "Make a new preview" not in ways_of(client, "plan-detail", plan.pk)


def test_range_is_explained_only_where_there_is_one(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    assert "A range:" not in words_of(client, "plan-detail", plan.pk)
    assert "“Up to”" not in words_of(client, "plan-detail", plan.pk)
    Plan.objects.update(is_up_to=True, promised_bytes_high=3_000_000)
    assert "A range:" not in words_of(client, "plan-detail", plan.pk)
    tells(
        words_of(client, "plan-detail", plan.pk), "“Up to”: the build cache of a host may hold some of these"
    )


def test_preview_that_was_run_shows_how_that_went(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    run = rows.make_run(plan, RunState.PARTIAL)
    page = words_of(client, "plan-detail", plan.pk)
    tells(page, "See its run Partial")
    assert "It can be run until" not in page
    assert ways_of(client, "plan-detail", plan.pk)["See its run"] == address("run-detail", run.pk)


def test_preview_tells_who_may_run_and_approve_it(client: Client, host: Host) -> None:
    plan = planned(host, nightly(host, seen_revision=0))
    signed_in(client, "viewer")
    page = words_of(client, "plan-detail", plan.pk)
    tells(page, "To run it, a person needs the permission “Run cleanup” on all its hosts.")
    assert "looks right" not in page
    assert "was looked at" not in page
    signed_in(client, "maintainer")
    seen = ways_of(client, "plan-detail", plan.pk)["This looks right: let it run on schedule"]
    assert seen == address("plan-seen", plan.pk)


def test_preview_of_a_prune_leads_to_its_host_and_asks_for_no_approval(
    client: Client, ada: User, host: Host
) -> None:
    plan = planned(host, nightly(host, is_one_off=True))
    assert ways_of(client, "plan-detail", plan.pk)["runner"] == reverse("images:host-detail", args=[host.pk])
    page = words_of(client, "plan-detail", plan.pk)
    assert "was looked at" not in page
    assert "looks right" not in page


def test_head_of_a_plans_host_tells_its_part(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    plan.host_plans.update(inventory_at=NOW - timedelta(minutes=7), kept_count=3)
    tells(
        words_of(client, "plan-detail", plan.pk),
        "runner 2 images would go, frees 2.00 MB 3 stay picture of 7 min ago Would go 2",
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"item_count": 0}, "runner nothing would go 1 stays picture of now"),
        ({"kept_count": 2}, "frees 2.00 MB 2 stay picture"),
        (
            {"takes_all": True},
            (
                "1 stays selects everything The rules select every image here; only guards and keep rules hold some "
                "back. picture of now"
            ),
        ),
        (
            {"warning": "host_offline", "item_count": 0},
            "runner left out The host is offline: nothing is removed there. picture of now",
        ),
        ({"inventory_at": None}, "frees 2.00 MB 1 stays Would go"),
    ],
)
def test_head_tells_of_a_plans_host_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], words: str
) -> None:
    plan = planned(host)
    HostPlan.objects.update(**fields)
    tells(words_of(client, "plan-detail", plan.pk), words)


def test_head_tells_how_many_match_a_filter(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    tells(words_of(client, "plan-detail", plan.pk, part="removed"), "1 stays 2 match picture")
    tells(words_of(client, "plan-detail", plan.pk, part="kept"), "1 stays 1 matches picture")
    assert "match" not in words_of(client, "plan-detail", plan.pk)


def test_hosts_behind_the_first_load_theirs_when_opened(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    other = factories.make_host("zeta")
    rows.add_host(plan, other)
    ways, page = ways_of(client, "plan-detail", plan.pk), text_of(client, "plan-detail", plan.pk)
    for words, part in (("Show what would go", "removed"), ("Show what stays", "kept")):
        assert ways[words].rstrip("?") == address("plan-part", plan.pk, other.pk, part)
        assert f'hx-get="{address("plan-part", plan.pk, other.pk, part)}?"' in page
        left = words_of(client, "plan-detail", plan.pk, part="kept" if part == "removed" else "removed")
        assert words not in left, "nothing of it matches"
        assert " 0 Image|" not in left
    assert page.count('<details class="card fold" open>') == 1


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("removed", "Preview of Nightly runner Would go 2 Image|Why|Size|Frees|"),
        ("removed", "|It has no tag.|1.00 kB|1.00 MB|"),
        (
            "kept",
            "Preview of Nightly runner Stays 1 Image|Why it stays|Size|kept/app:0|No delete rule selects it.|1.00 kB|",
        ),
    ],
)
def test_part_of_a_plan_tells_each_image_with_its_reason(
    client: Client, ada: User, host: Host, part: str, words: str
) -> None:
    plan = planned(host)
    tells(words_of(client, "plan-part", plan.pk, host.pk, part), words)
    assert ways_of(client, "plan-part", plan.pk, host.pk, part)["Preview of Nightly"] == address(
        "plan-detail", plan.pk
    )


def test_image_tells_its_references_and_that_it_is_a_parent(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    digest = f"acme/api@sha256:{'ab' * 32}"
    first, second = Item.objects.all()
    Item.objects.filter(pk=first.pk).update(
        name="acme/api:1", references=["acme/api:1", digest], is_parent=True
    )
    Item.objects.filter(pk=second.pk).update(name="gone:1", references=["gone:1"], copy=None)
    page = words_of(client, "plan-part", plan.pk, host.pk, "removed")
    tells(
        page,
        "|acme/api:1 parent acme/api:1 acme/api@abababababab|An untagged parent:",
        "|gone:1|It has no tag.|",
    )
    assert "gone:1" not in ways_of(client, "plan-part", plan.pk, host.pk, "removed"), "its copy is no more"
    assert f'title="{digest}"' in text_of(client, "plan-part", plan.pk, host.pk, "removed")


def test_long_part_tells_its_place_and_leads_on(client: Client, ada: User, host: Host) -> None:
    plan = rows.make_plan(nightly(host))
    rows.add_host(plan, host, removed=110, kept=110)
    for part in ("removed", "kept"):
        tells(words_of(client, "plan-part", plan.pk, host.pk, part, page=2), "51–100 of 110 Previous Next")
        ways = ways_of(client, "plan-part", plan.pk, host.pk, part, page=2)
        here = address("plan-part", plan.pk, host.pk, part)
        assert (ways["Previous"], ways["Next"]) == (f"{here}?page=1", f"{here}?page=3")
        assert "Previous" not in ways_of(client, "plan-part", plan.pk, host.pk, part)
        assert "Next" not in ways_of(client, "plan-part", plan.pk, host.pk, part, page=3)
        page = text_of(client, "plan-part", plan.pk, host.pk, part, page=2)
        assert page.count(f'hx-get="{here}?page=') == 2
    assert "of 1" not in words_of(client, "plan-part", planned(host, plan.policy).pk, host.pk, "kept")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"q": "absent"}, "Nothing matches Change the search, the host or the reason."),
        ({}, "No host in this plan The policy’s scope holds no host that you may see."),
    ],
)
def test_plan_without_a_host_to_show_tells_why(
    client: Client, ada: User, host: Host, query: dict[str, str], words: str
) -> None:
    plan = planned(host) if query else rows.make_plan(nightly(host))
    tells(words_of(client, "plan-detail", plan.pk, **query), words)


def test_running_a_plan_asks_with_its_numbers(client: Client, ada: User, host: Host) -> None:
    plan = planned(host)
    tells(
        words_of(client, "plan-run", plan.pk),
        "Run now Remove 2 images from 1 host? This frees 2.00 MB. Exactly the images of this preview go, nothing "
        "else; each is checked once more right before, and one that is in use, pinned or changed by then stays. "
        "Removed images can only come back by pulling or building them again. Cancel Remove 2 images, free 2.00 MB",
    )
    assert ways_of(client, "plan-run", plan.pk)["Cancel"] == address("plan-detail", plan.pk)


# Runs


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
            "This run waits for approval. Nobody has looked at a plan of",
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
    run = ran(host, RunState.WAITING)
    way = ways_of(client, "run-detail", run.pk)["Approve: remove 2 images, free 2.00 MB"]
    assert way == address("run-approve", run.pk)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    why = explain("cleanup_paused")
    tells(words_of(client, "run-detail", run.pk), f"It can not be approved now: {why.what} {why.remedy}")


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


# What other pages show of cleanup


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
    ["Next run|none is scheduled|", "Last run|never|", "Last 30 days|no run had anything to remove|"],
)
def test_overview_of_a_policy_that_never_ran_tells_so(
    client: Client, ada: User, host: Host, words: str
) -> None:
    nightly(host, schedule="", next_run_at=None)
    tells(words_of(client, "overview-fragment"), words)
    assert "Before they run" not in words_of(client, "overview-fragment")


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
