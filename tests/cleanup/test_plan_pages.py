"""The page of a plan: what would go, what stays and why, running it, approving it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cleanup import policies
from cleanup.models import CleanupSwitch, Plan, PlanState, Policy, Run
from images.models import Host, HostGroup
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import text_of
from tests.pages import signed_in

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def other() -> Host:
    return factories.make_host("prod")


def made(*hosts: Host, removed: int = 2, **fields: Any) -> Plan:
    plan = rows.make_plan(rows.make_policy(hosts=hosts), **fields)
    for host in hosts:
        rows.add_host(plan, host, removed=removed)
    return plan


def test_preview_names_number_hosts_and_bytes(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    page = text_of(client, "plan-detail", made(host, other).pk)
    assert "4 images on 2 hosts would go, which frees <strong>4.00 MB</strong>" in page


def test_host_that_loses_nothing_is_not_counted(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    plan = made(host)
    rows.add_host(plan, other, removed=0)
    assert "2 images on 1 host would go" in text_of(client, "plan-detail", plan.pk)


def test_range_of_bytes_is_said_as_one(client: Client, host: Host) -> None:
    signed_in(client)
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    rows.add_host(plan, host, promised_bytes=10**6, promised_bytes_high=3 * 10**6)
    assert "1.00 MB to 3.00 MB" in text_of(client, "plan-detail", plan.pk)


def test_build_cache_makes_it_up_to(client: Client, host: Host) -> None:
    signed_in(client)
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    rows.add_host(plan, host, is_up_to=True)
    page = text_of(client, "plan-detail", plan.pk)
    assert "frees <strong>up to 1.00 MB</strong>" in page
    assert "the build cache of a host may hold some of these layers back" in page

    nothing = rows.make_plan(rows.make_policy("Nothing", hosts=[host]))
    rows.add_host(nothing, host, removed=0, is_up_to=True)
    page = text_of(client, "plan-detail", nothing.pk)
    assert "Nothing would go." in page
    assert "the build cache" not in page


def test_item_says_rule_bytes_and_references_and_survivor_its_reason(client: Client, host: Host) -> None:
    signed_in(client)
    plan = made(host)
    item = plan.host_plans.get().items.all()[0]
    item.references, item.is_parent = ["acme/api:1", "acme/api:2"], True
    item.size_bytes, item.frees_bytes = 76_500_000, 43_200_000
    item.save()
    page = text_of(client, "plan-detail", plan.pk)
    assert 'title="76,500,000 bytes">76.5 MB' in page
    assert 'title="43,200,000 bytes">43.2 MB' in page
    assert "acme/api:2</span>" in page
    assert ">parent</span>" in page
    assert "kept/app:0" in page
    assert "No delete rule selects it." in page


def test_preview_in_the_making_looks_again_by_itself(client: Client, host: Host) -> None:
    signed_in(client)
    plan = rows.make_plan(rows.make_policy(hosts=[host]), state=PlanState.MAKING, made_at=None)
    page = text_of(client, "plan-detail", plan.pk)
    assert f'data-live="plan:{plan.pk}"' in page
    assert "every 3s" in page
    fragment = client.get(
        reverse("cleanup:plan-detail", args=[plan.pk]), headers=HTMX | {"HX-Target": "plan_body"}
    )
    assert "<html" not in fragment.content.decode()


def test_preview_that_failed_shows_the_raw_text(client: Client, host: Host) -> None:
    signed_in(client)
    plan = rows.make_plan(rows.make_policy(hosts=[host]), state=PlanState.FAILED, error_raw="boom at host 3")
    assert "boom at host 3" in text_of(client, "plan-detail", plan.pk)


def test_filters_leave_what_matches(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    plan = made(host, other)
    item = plan.host_plans.get(host=host).items.all()[0]
    item.name = "acme/needle:1"
    item.save()
    for query, hosts, removed, kept in (
        ({"q": "NEEDLE"}, {host}, 1, 0),
        ({"host": other.pk}, {other}, 2, 1),
        ({"part": "kept"}, {host, other}, 0, 2),
        ({"part": "removed"}, {host, other}, 4, 0),
        ({"reason": "dangling"}, {host, other}, 4, 0),
        ({"reason": "not_selected"}, {host, other}, 0, 2),
        ({"q": "absent"}, set(), 0, 0),
    ):
        parts = client.get(reverse("cleanup:plan-detail", args=[plan.pk]), query).context["page"].object_list
        assert {part.host_plan.host for part in parts} == hosts, query
        assert sum(part.removed_count for part in parts) == removed, query
        assert sum(part.kept_count for part in parts) == kept, query


def test_filter_that_matches_nothing_says_so(client: Client, host: Host) -> None:
    signed_in(client)
    assert "Nothing matches" in text_of(client, "plan-detail", made(host).pk, q="absent")


def test_filtered_part_is_a_fragment_for_htmx_and_a_page_without_a_script(client: Client, host: Host) -> None:
    signed_in(client)
    url = reverse("cleanup:plan-part", args=[made(host).pk, host.pk, "removed"])
    assert "<html" not in client.get(url, headers=HTMX).content.decode()
    assert "<html" in client.get(url).content.decode()


def test_long_list_is_paged(client: Client, host: Host) -> None:
    signed_in(client)
    plan = made(host, removed=60)
    url = reverse("cleanup:plan-part", args=[plan.pk, host.pk, "removed"])
    assert len(client.get(url, {"page": 2}).context["page"].object_list) == 10
    assert "1–50 of 60" in text_of(client, "plan-detail", plan.pk)


def test_unknown_part_is_not_found(client: Client, host: Host) -> None:
    signed_in(client)
    assert client.get(reverse("cleanup:plan-part", args=[made(host).pk, host.pk, "x"])).status_code == 404


def test_hosts_one_may_not_see_are_only_counted(
    client: Client, host: Host, other: Host, group: HostGroup
) -> None:
    signed_in(client, "viewer", group)
    plan = made(host, other)
    page = text_of(client, "plan-detail", plan.pk)
    assert "1 host more that you may not see" in page
    assert "prod" not in page
    assert client.get(reverse("cleanup:plan-part", args=[plan.pk, other.pk, "removed"])).status_code == 404


def test_plan_on_invisible_hosts_alone_is_not_found(client: Client, other: Host, group: HostGroup) -> None:
    signed_in(client, "viewer", group)
    assert client.get(reverse("cleanup:plan-detail", args=[made(other).pk])).status_code == 404


def test_run_button_and_its_dialog_name_number_and_bytes(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    plan = made(host)
    assert "Run now: remove 2 images, free 2.00 MB" in text_of(client, "plan-detail", plan.pk)
    dialog = client.get(reverse("cleanup:plan-run", args=[plan.pk]), headers=HTMX).content.decode()
    assert "<dialog data-open" in dialog
    assert "Remove 2 images, free 2.00 MB" in dialog


def test_running_a_plan_leads_to_its_run(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    plan = made(host)
    response = client.post(reverse("cleanup:plan-run", args=[plan.pk]))
    run = Run.objects.get()
    assert run.plan == plan
    assert response.headers["Location"] == reverse("cleanup:run-detail", args=[run.pk])


def test_viewer_gets_no_run_button_and_may_not_run(client: Client, host: Host) -> None:
    signed_in(client)
    plan = made(host)
    assert "Run now: remove" not in text_of(client, "plan-detail", plan.pk)
    assert client.post(reverse("cleanup:plan-run", args=[plan.pk])).status_code == 403
    assert not Run.objects.exists()


def test_running_needs_the_permission_on_all_hosts_of_the_plan(
    client: Client, host: Host, other: Host, group: HostGroup
) -> None:
    signed_in(client, "maintainer", group)
    plan = made(host, other)
    assert client.post(reverse("cleanup:plan-run", args=[plan.pk])).status_code == 403
    assert not Run.objects.exists()


def test_expired_plan_offers_a_new_one_and_does_not_run(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    plan = made(host, expires_at=timezone.now() - timedelta(minutes=1))
    page = text_of(client, "plan-detail", plan.pk)
    assert "Run now: remove" not in page
    assert "Make a new preview" in page
    response = client.post(reverse("cleanup:plan-run", args=[plan.pk]))
    answer = response.content.decode()
    assert 'role="alert"' in answer
    assert "Back to the preview" in answer
    assert "btn-danger" not in answer, "what was refused is not offered again"
    assert not Run.objects.exists()


def test_plan_that_was_run_links_to_its_run(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    plan = made(host)
    run = rows.make_run(plan)
    page = text_of(client, "plan-detail", plan.pk)
    assert reverse("cleanup:run-detail", args=[run.pk]) in page
    assert "Run now: remove" not in page


def test_saying_that_it_looks_right_lets_the_policy_run_by_itself(client: Client, host: Host) -> None:
    user = signed_in(client, "maintainer")
    plan = made(host)
    assert "let it run on schedule" not in text_of(client, "plan-detail", plan.pk), "it has none"
    Policy.objects.update(schedule="0 3 * * *")
    assert "This looks right: let it run on schedule" in text_of(client, "plan-detail", plan.pk)
    client.post(reverse("cleanup:plan-seen", args=[plan.pk]))
    plan.policy.refresh_from_db()
    assert (plan.policy.needs_a_look, plan.policy.seen_by) == (False, user)
    assert "This looks right" not in text_of(client, "plan-detail", plan.pk)


def test_viewer_can_not_say_that_it_looks_right(client: Client, host: Host) -> None:
    signed_in(client)
    plan = made(host)
    assert client.post(reverse("cleanup:plan-seen", args=[plan.pk])).status_code == 403
    plan.policy.refresh_from_db()
    assert plan.policy.needs_a_look


def test_plan_of_an_older_revision_approves_nothing(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    plan = made(host, policy_revision=0)
    page = text_of(client, "plan-detail", plan.pk)
    assert "The policy was edited after this preview" in page
    assert "This looks right" not in page
    client.post(reverse("cleanup:plan-seen", args=[plan.pk]))
    plan.policy.refresh_from_db()
    assert plan.policy.needs_a_look


def test_pause_is_said_on_the_plan(client: Client, host: Host) -> None:
    signed_in(client)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    assert "All cleanup is paused." in text_of(client, "plan-detail", made(host).pk)


def test_plan_whose_hosts_are_all_off_is_not_offered(client: Client, host: Host, other: Host) -> None:
    signed_in(client, "maintainer")
    plan = made(host, other)
    button = reverse("cleanup:plan-run", args=[plan.pk])
    Host.objects.filter(pk=host.pk).update(is_enabled=False)
    assert button in text_of(client, "plan-detail", plan.pk)
    Host.objects.update(is_enabled=False)
    page = text_of(client, "plan-detail", plan.pk)
    assert button not in page
    assert "It can not be run now: prod is switched off" in page
    client.post(button)
    assert not Run.objects.exists()


@pytest.mark.parametrize("why", ["paused", "outdated"])
def test_plan_that_would_be_refused_is_not_offered_and_says_why(client: Client, host: Host, why: str) -> None:
    signed_in(client, "maintainer")
    plan = made(host)
    button = reverse("cleanup:plan-run", args=[plan.pk])
    assert button in text_of(client, "plan-detail", plan.pk)
    if why == "paused":
        CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    else:
        plan.policy.revision += 1
        plan.policy.save()
    page = text_of(client, "plan-detail", plan.pk)
    assert button not in page
    words = {
        "paused": "All cleanup is paused.",
        "outdated": "The policy was changed after this plan was made.",
    }
    assert f"It can not be run now: {words[why]}" in page
    assert (reverse("cleanup:plan-make", args=[plan.policy_id]) in page) is (why == "outdated")


def test_host_that_was_left_out_says_why(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    plan = made(host)
    rows.add_host(plan, other, removed=0, kept=0, warning="host_disabled")
    assert "The host is switched off: nothing is removed there." in text_of(client, "plan-detail", plan.pk)


def test_host_on_which_the_rules_select_everything_says_so(client: Client, host: Host) -> None:
    signed_in(client)
    plan = made(host)
    words = "The rules select every image here; only guards and keep rules hold some back."
    assert words not in text_of(client, "plan-detail", plan.pk)
    plan.host_plans.update(takes_all=True)
    assert words in text_of(client, "plan-detail", plan.pk)


def test_preview_says_until_when_it_can_be_run(client: Client, host: Host) -> None:
    signed_in(client)
    page = text_of(client, "plan-detail", made(host).pk)
    assert re.search(r"It can be run until it expires, <time[^>]*>in 2[34] h", page)


def test_unknown_last_use_and_an_offline_host_are_said(client: Client, host: Host, other: Host) -> None:
    signed_in(client)
    host.use_known_since = None
    host.save()
    other.state = "offline"
    other.save()
    plan = made(host, other)
    plan.rules = [{"effect": "delete", "kind": "unused_for", "parameters": {"days": 30}}]
    plan.save()
    unknown = client.get(reverse("cleanup:plan-detail", args=[plan.pk])).context["unknown"]
    assert any("runner" in line for line in unknown)
    assert any("prod" in line for line in unknown)


def test_preview_button_makes_a_plan(client: Client, host: Host) -> None:
    user = signed_in(client, "maintainer")
    policy = rows.make_policy(hosts=[host])
    response = client.post(reverse("cleanup:plan-make", args=[policy.pk]))
    plan = Plan.objects.get()
    assert plan.created_by == user
    assert response.headers["Location"] == reverse("cleanup:plan-detail", args=[plan.pk])


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_preview_is_for_who_may_run_or_edit_the_policy_on_all_its_hosts(
    client: Client, host: Host, other: Host, group: HostGroup, role: str
) -> None:
    user = signed_in(client, role)
    factories.grant(user, "maintainer", group)
    plan = made(host, other, expires_at=timezone.now())
    policy = plan.policy
    assert client.post(reverse("cleanup:plan-make", args=[policy.pk])).status_code == 403
    button = reverse("cleanup:plan-make", args=[policy.pk])
    assert button not in text_of(client, "policy-detail", policy.pk)
    assert button not in text_of(client, "plan-detail", plan.pk)
    policy.hosts.remove(other)
    assert client.post(reverse("cleanup:plan-make", args=[policy.pk])).status_code == 302
    assert button in text_of(client, "policy-detail", policy.pk)
    assert button in text_of(client, "plan-detail", plan.pk)


def test_preview_that_is_being_made_is_not_made_twice(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy(hosts=[host])
    plan = rows.make_plan(policy, state=PlanState.MAKING)
    address = reverse("cleanup:plan-make", args=[policy.pk])
    assert client.post(address).headers["Location"] == reverse("cleanup:plan-detail", args=[plan.pk])
    policy.revision += 1
    policy.save()
    assert client.post(address).headers["Location"] != reverse("cleanup:plan-detail", args=[plan.pk])
    assert policies.plan_make(by=None, policy=policy) not in Plan.objects.exclude(created_by=None)
    assert policy.plans.count() == 3, "the schedule has one of its own, because a plan is run once"


def test_page_costs_the_same_queries_whatever_the_number_of_rows(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")

    def queries(plan: Plan) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse("cleanup:plan-detail", args=[plan.pk])).status_code == 200
        return len(captured)

    small = made(host)
    before = queries(small)
    assert queries(made(host, *[factories.make_host() for _ in range(6)], removed=5)) == before
