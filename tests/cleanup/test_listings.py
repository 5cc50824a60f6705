"""What the pages of cleanup list: asked directly, with what each person may see of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cleanup import listings
from cleanup.access import visible_plans
from cleanup.listings import PlanFilter
from cleanup.models import (
    CleanupSwitch,
    HostPlan,
    Item,
    Plan,
    PlanState,
    Policy,
    Run,
    RunState,
    Survivor,
)
from images.models import Host, HostGroup, User
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def other() -> Host:
    return factories.make_host("vault")


@pytest.fixture
def admin() -> User:
    return factories.make_admin()


@pytest.fixture
def vera(group: HostGroup) -> User:
    """Sees the group and nothing else."""
    user = factories.make_user("vera")
    factories.grant(user, "viewer", group)
    return user


def plan_on(*hosts: Host, removed: int = 2, kept: int = 1) -> Plan:
    plan = rows.make_plan(rows.make_policy(hosts=hosts))
    for host in hosts:
        rows.add_host(plan, host, removed=removed, kept=kept)
    return plan


def run_on(*hosts: Host, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Run:
    return rows.make_run(plan_on(*hosts), state, **fields)


# Policies


def test_pause_switch_is_there_only_while_it_is_thrown() -> None:
    assert listings.pause_switch() is None
    switch = CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    assert listings.pause_switch() == switch
    CleanupSwitch.objects.update(is_paused=False)
    assert listings.pause_switch() is None


def test_policy_comes_with_its_newest_run_that_began(admin: User, host: Host) -> None:
    policy, idle = rows.make_policy("a", hosts=[host]), rows.make_policy("b", hosts=[host])
    runs = []
    for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.WAITING):
        plan = rows.make_plan(policy)
        rows.add_host(plan, host)
        runs.append(rows.make_run(plan, state))
    first, second = listings.policies_with_runs(admin, Policy.objects.all())
    assert (first, second) == (policy, idle)
    assert first.last_run == runs[1], "the waiting one did nothing yet"  # type: ignore[attr-defined]
    assert second.last_run is None  # type: ignore[attr-defined]


def test_policies_cost_the_same_queries_however_many(admin: User, host: Host) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            for policy in listings.policies_with_runs(admin, Policy.objects.all()):
                assert policy.last_run  # type: ignore[attr-defined]
                assert list(policy.hosts.all())
                assert list(policy.rules.all())
        return len(captured)

    run_on(host)
    before = queries()
    for _ in range(5):
        run_on(host)
    assert queries() == before


def test_plans_and_runs_of_a_policy_are_its_own(admin: User, host: Host) -> None:
    policy, stranger = rows.make_policy(hosts=[host]), rows.make_policy(hosts=[host])
    plans = [rows.make_plan(policy) for _ in range(2)]
    rows.make_plan(stranger)
    rows.make_run(plans[0])
    assert list(listings.plans_of(admin, policy)) == plans[::-1], "the newest first"
    assert (listings.run_count(policy), listings.run_count(stranger)) == (1, 0)


@pytest.mark.parametrize("page", ["policy-list", "policy-detail"])
def test_policy_names_no_host_or_group_one_may_not_see(
    client: Client, vera: User, host: Host, other: Host, page: str
) -> None:
    hidden = HostGroup.objects.create(name="treasury")
    policy = rows.make_policy(hosts=[host, other], groups=[hidden])
    client.force_login(vera)
    response = client.get(reverse(f"cleanup:{page}", args=[policy.pk] if page == "policy-detail" else []))
    assert response.status_code == 200
    text = response.content.decode()
    assert not {name for name in ("vault", "treasury") if name in text}
    assert "runner, and 2 more" in text


def test_policy_of_one_group_and_nothing_else_in_sight_still_says_where_it_is(
    client: Client, vera: User, host: Host
) -> None:
    hidden = HostGroup.objects.create(name="treasury")
    host.groups.add(hidden)
    policy = rows.make_policy(groups=[hidden])
    client.force_login(vera)
    text = client.get(reverse("cleanup:policy-detail", args=[policy.pk])).content.decode()
    assert "1 host or group that you may not see" in text
    assert "treasury" not in text


def test_policy_shows_no_plan_and_no_run_of_hidden_hosts_alone(
    client: Client, vera: User, host: Host, other: Host
) -> None:
    policy = rows.make_policy(hosts=[host, other])
    plan = rows.make_plan(policy)
    rows.add_host(plan, other)
    run = rows.make_run(plan, RunState.SUCCEEDED)
    client.force_login(vera)
    detail = client.get(reverse("cleanup:policy-detail", args=[policy.pk])).content.decode()
    assert reverse("cleanup:plan-detail", args=[plan.pk]) not in detail
    cards = client.get(reverse("cleanup:policy-list")).content.decode()
    assert reverse("cleanup:run-detail", args=[run.pk]) not in cards


def test_plan_in_the_making_is_seen_before_ones_own_host_is_reached(
    vera: User, host: Host, other: Host
) -> None:
    plan = rows.make_plan(rows.make_policy(hosts=[host, other]), state=PlanState.MAKING)
    HostPlan.objects.create(plan=plan, host=other)
    assert plan in visible_plans(vera)


# Plans


def test_filter_says_whether_it_leaves_anything_out() -> None:
    assert (PlanFilter().is_active, PlanFilter().is_narrow) == (False, False)
    assert (PlanFilter(host_id=1).is_active, PlanFilter(host_id=1).is_narrow) == (True, False)
    for narrow in (PlanFilter(text="x"), PlanFilter(part="kept"), PlanFilter(reason="dangling")):
        assert (narrow.is_active, narrow.is_narrow) == (True, True)


def test_parts_are_the_visible_hosts_with_their_counts(
    admin: User, vera: User, host: Host, other: Host
) -> None:
    plan = plan_on(host, other)
    told = [(p.host_plan.host.name, p.removed_count, p.kept_count, p.match_count) for p in
            listings.plan_parts(admin, plan, PlanFilter())]  # fmt: skip
    assert told == [("runner", 2, 1, 3), ("vault", 2, 1, 3)]
    assert [part.host_plan.host for part in listings.plan_parts(vera, plan, PlanFilter())] == [host]
    assert listings.plan_parts(vera, plan, PlanFilter(host_id=other.pk)) == []
    assert (listings.plan_hidden_count(admin, plan), listings.plan_hidden_count(vera, plan)) == (0, 1)


def test_host_without_rows_is_listed_until_something_is_filtered(admin: User, host: Host) -> None:
    plan = plan_on(host, removed=0, kept=0)
    HostPlan.objects.update(warning="host_offline")
    assert len(listings.plan_parts(admin, plan, PlanFilter())) == 1
    assert len(listings.plan_parts(admin, plan, PlanFilter(host_id=host.pk))) == 1
    assert listings.plan_parts(admin, plan, PlanFilter(part="removed")) == []


@pytest.mark.parametrize(
    ("chosen", "removed", "kept"),
    [
        (PlanFilter(), 3, 2),
        (PlanFilter(part="removed"), 3, 0),
        (PlanFilter(part="kept"), 0, 2),
        (PlanFilter(text="KEPT/app"), 0, 2),
        (PlanFilter(text="app:1"), 0, 1),
        (PlanFilter(text="%"), 0, 0),
        (PlanFilter(text="_"), 0, 0),
        (PlanFilter(reason="dangling"), 2, 0),
        (PlanFilter(reason="parent"), 1, 0),
        (PlanFilter(reason="not_selected"), 0, 2),
        (PlanFilter(reason="nonsense"), 0, 0),
        (PlanFilter(reason="dangling", part="kept"), 0, 0),
    ],
)
def test_filter_leaves_what_matches(
    admin: User, host: Host, chosen: PlanFilter, removed: int, kept: int
) -> None:
    plan = plan_on(host, removed=3, kept=2)
    Item.objects.filter(pk=Item.objects.order_by("pk")[0].pk).update(is_parent=True)
    parts = listings.plan_parts(admin, plan, chosen)
    assert sum(part.removed_count for part in parts) == removed
    assert sum(part.kept_count for part in parts) == kept
    host_plan = plan.host_plans.get()
    assert listings.part_rows(host_plan, "removed", chosen).count() == removed
    assert listings.part_rows(host_plan, "kept", chosen).count() == kept


def test_search_finds_an_image_by_its_id(admin: User, host: Host) -> None:
    plan = plan_on(host)
    item = Item.objects.all()[0]
    (found,) = listings.part_rows(
        plan.host_plans.get(), "removed", PlanFilter(text=item.engine_id[10:].upper())
    )
    assert found == item


def test_row_links_to_its_image_as_long_as_the_copy_is_there(host: Host) -> None:
    host_plan = plan_on(host, removed=1).host_plans.get()
    item = Item.objects.get()
    assert item.copy
    (row,) = listings.part_rows(host_plan, "removed", PlanFilter())
    assert row.image_pk == item.copy.image_id  # type: ignore[union-attr]
    item.copy.delete()
    (row,) = listings.part_rows(host_plan, "removed", PlanFilter())
    assert row.image_pk is None  # type: ignore[union-attr]


def test_rows_come_in_order_of_removal(host: Host) -> None:
    host_plan = plan_on(host, removed=3).host_plans.get()
    for item in Item.objects.all():
        Item.objects.filter(pk=item.pk).update(position=10 - item.position)
    found: list[Any] = list(listings.part_rows(host_plan, "removed", PlanFilter()))
    assert [row.position for row in found] == [8, 9, 10]


def test_host_of_a_plan_is_found_only_by_who_sees_it(vera: User, host: Host, other: Host) -> None:
    plan = plan_on(host, other)
    found = listings.host_plan_of(vera, plan, host.pk)
    assert found
    assert found.host == host
    assert listings.host_plan_of(vera, plan, other.pk) is None
    assert listings.host_plan_of(vera, plan, 10**9) is None


def test_only_hosts_that_lose_something_are_counted(host: Host, other: Host) -> None:
    plan = plan_on(host)
    rows.add_host(plan, other, removed=0)
    assert listings.removing_hosts(plan) == 1


def test_run_of_a_plan_is_told(host: Host) -> None:
    plan = plan_on(host)
    assert listings.run_of(plan) is None
    run = rows.make_run(plan)
    assert listings.run_of(plan) == run


def test_reasons_to_filter_by_are_those_of_the_plan(host: Host) -> None:
    plan = plan_on(host, removed=3, kept=2)
    plan_on(host)
    first, second, _ = Item.objects.filter(host_plan__plan=plan)
    Item.objects.filter(pk=first.pk).update(is_parent=True, rule_kind="older_than")
    Item.objects.filter(pk=second.pk).update(rule_kind="unused_for")
    survivor = Survivor.objects.filter(host_plan__plan=plan)[0]
    Survivor.objects.filter(pk=survivor.pk).update(reason_code="pinned")
    assert listings.plan_reasons(plan) == (["dangling", "parent", "unused_for"], ["not_selected", "pinned"])


@pytest.mark.parametrize(("seconds", "expected"), [(-1, True), (0, True), (1, False), (None, True)])
def test_plan_expires_at_its_moment(still_clock: None, seconds: int | None, expected: bool) -> None:
    ends = None if seconds is None else timezone.now() + timedelta(seconds=seconds)
    assert Plan(expires_at=ends).is_expired is expected
