"""What the pages of plans tell, fact by fact: as one reads it, with what one can click and where that leads."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cleanup.models import CleanupSwitch, HostPlan, Item, Plan, PlanState, RunState
from images.errors import explain
from images.models import Host, User
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import text_of, ways_of, words_of
from tests.cleanup.telling.made import address, nightly, planned
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db


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
    plan = planned(host, rules=[{"effect": "delete", "kind": "unused_for", "parameters": {"days": 30}}])
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
    plan = planned(host, nightly(host, is_one_off=True, schedule="", next_run_at=None))
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
