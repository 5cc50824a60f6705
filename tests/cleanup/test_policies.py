"""Policies: what can be saved, by whom, and what an edit asks for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone

from cleanup import access, policies
from cleanup.models import CleanupSwitch, Plan, Policy
from cleanup.policies import PolicyInput, PolicyInvalid, RuleInput, policy_add, policy_edit, policy_errors
from images.errors import UserError
from images.models import AuditEntry, Host, HostGroup, Permission, User
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db
DANGLING = RuleInput("dangling")


@pytest.fixture
def admin() -> User:
    return factories.make_admin()


def data(**fields: Any) -> PolicyInput:
    defaults: dict[str, Any] = {"name": "Nightly", "rules": (DANGLING,), "all_hosts": True}
    return PolicyInput(**(defaults | fields))


def maintainer(group: HostGroup | None) -> User:
    user = factories.make_user()
    factories.grant(user, "maintainer", group)
    return user


def error_codes(by: User, **fields: Any) -> dict[str, str]:
    return {name: error.code for name, error in policy_errors(data(**fields), by=by).items()}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({}, {}),
        ({"name": " "}, {"name": "required"}),
        ({"name": "x" * 101}, {"name": "too_long"}),
        ({"all_hosts": False}, {"scope": "no_scope"}),
        ({"rules": ()}, {"rules": "no_delete_rule"}),
        ({"rules": (RuleInput("keep_label", {"label": "x"}),)}, {"rules": "no_delete_rule"}),
        ({"rules": (RuleInput("older_than", {"days": 0}),)}, {"rules.0.days": "out_of_range"}),
        ({"rules": (DANGLING, RuleInput("nonsense"))}, {"rules.1": "unknown_rule"}),
        ({"rules": (DANGLING, DANGLING)}, {"rules.1": "rule_twice"}),
        ({"schedule": "61 * * * *"}, {"schedule": "bad_minute"}),
        ({"time_zone": "Mars/Olympus"}, {"time_zone": "bad_time_zone"}),
        ({"limit_items": 0}, {"limit_items": "out_of_range"}),
        ({"minimum_age_hours": -1}, {"minimum_age_hours": "out_of_range"}),
    ],
)
def test_what_is_wrong_is_told_by_field(admin: User, fields: dict[str, Any], errors: dict[str, str]) -> None:
    assert error_codes(admin, **fields) == errors


def test_name_is_taken_once(admin: User) -> None:
    policy = policy_add(by=admin, data=data())
    assert error_codes(admin) == {"name": "name_taken"}
    assert not policy_errors(data(), by=admin, policy=policy)


def test_scope_needs_the_permission_on_every_host(host: Host, group: HostGroup) -> None:
    other = factories.make_host("prod")
    user = maintainer(group)
    assert not error_codes(user, all_hosts=False, hosts=(host,))
    assert not error_codes(user, all_hosts=False, groups=(group,))
    assert error_codes(user, all_hosts=False, hosts=(host, other)) == {"scope": "no_permission"}
    assert error_codes(user, all_hosts=True) == {"scope": "no_permission"}


def test_policy_can_not_be_taken_over_by_giving_it_another_scope(
    admin: User, host: Host, group: HostGroup
) -> None:
    policy = policy_add(by=admin, data=data())
    with pytest.raises(PolicyInvalid) as invalid:
        policy_edit(by=maintainer(group), policy=policy, data=data(all_hosts=False, hosts=(host,)))
    assert invalid.value.errors["scope"].code == "no_permission"


def test_rules_that_take_everything_are_warned_of() -> None:
    everything = RuleInput("tag_pattern", {"pattern": "*", "syntax": "glob", "target": "tag"})
    keep = RuleInput("keep_label", {"label": "keep"})
    assert not policies.rules_take_all((DANGLING,))
    assert policies.rules_take_all((DANGLING, everything))
    assert policies.rules_take_all((everything, keep)), "only what is kept would stay"


@pytest.mark.parametrize(
    ("fields", "needs_a_look"),
    [
        ({"name": "Other"}, False),
        ({"schedule": "0 4 * * *"}, False),
        ({"is_enabled": False}, False),
        ({"rules": (DANGLING, RuleInput("older_than", {"days": 9}))}, True),
        ({"minimum_age_hours": 1}, True),
        ({"limit_items": 5}, True),
    ],
)
def test_only_an_edit_of_what_goes_asks_for_a_new_look(
    admin: User, fields: dict[str, Any], needs_a_look: bool
) -> None:
    policy = policy_add(by=admin, data=data())
    assert policy.needs_a_look
    Policy.objects.filter(pk=policy.pk).update(seen_revision=policy.revision)
    assert policy_edit(by=admin, policy=policy, data=data(**fields)).needs_a_look == needs_a_look


def test_another_order_of_rules_is_no_edit(admin: User) -> None:
    rules = (DANGLING, RuleInput("older_than", {"days": 9}), RuleInput("older_than", {"days": "8"}))
    policy = policy_add(by=admin, data=data(rules=rules))
    assert policy_edit(by=admin, policy=policy, data=data(rules=rules[::-1])).revision == 1


def test_change_of_scope_asks_for_a_new_look(admin: User, host: Host) -> None:
    policy = policy_add(by=admin, data=data())
    assert policy_edit(by=admin, policy=policy, data=data(all_hosts=False, hosts=(host,))).revision == 2


def test_next_time_follows_the_schedule_and_the_switch(admin: User) -> None:
    with time_machine.travel(datetime(2026, 6, 1, 12, tzinfo=UTC), tick=False):
        policy = policy_add(by=admin, data=data(schedule="30 2 * * *", time_zone="Europe/Berlin"))
        assert policy.next_run_at == datetime(2026, 6, 2, 0, 30, tzinfo=UTC)
        for is_enabled in (False, True):
            switched = policies.policy_switch(by=admin, policy=policy, is_enabled=is_enabled)
            assert (switched.next_run_at is not None) == is_enabled
        assert policy_edit(by=admin, policy=policy, data=data()).next_run_at is None


def plan_of(policy: Policy, host: Host) -> Plan:
    plan = rows.make_plan(policy)
    rows.add_host(plan, host)
    return plan


def test_look_counts_for_the_revision_that_was_looked_at(admin: User, host: Host) -> None:
    policy = policy_add(by=admin, data=data())
    plan = plan_of(policy, host)
    policy_edit(by=admin, policy=policy, data=data(minimum_age_hours=1))
    policies.plan_seen(by=admin, plan=plan)
    policy = Policy.objects.get()
    assert policy.needs_a_look
    policies.plan_seen(by=admin, plan=plan_of(policy, host))
    assert not Policy.objects.get().needs_a_look
    assert Policy.objects.get().seen_by == admin


def test_plan_that_saw_no_host_is_no_look_at_the_policy(admin: User, host: Host) -> None:
    policy = policy_add(by=admin, data=data())
    plan = rows.make_plan(policy)
    rows.add_host(plan, host, removed=0, kept=0, warning="host_offline")
    with pytest.raises(UserError) as refused:
        policies.plan_seen(by=admin, plan=plan)
    assert refused.value.code == "plan_sees_nothing"
    rows.add_host(plan, factories.make_host("other"))
    policies.plan_seen(by=admin, plan=plan)
    assert not Policy.objects.get().needs_a_look


def test_look_of_who_may_not_run_it_does_not_count(admin: User, host: Host, group: HostGroup) -> None:
    policy = policy_add(by=admin, data=data(all_hosts=False, hosts=(host,)))
    viewer = factories.make_user()
    factories.grant(viewer, "viewer", group)
    policies.plan_seen(by=viewer, plan=plan_of(policy, host))
    policy.refresh_from_db()
    assert policy.needs_a_look


def test_plan_keeps_the_rules_as_they_stood(admin: User) -> None:
    policy = policy_add(by=admin, data=data(rules=(RuleInput("older_than", {"days": "9"}),)))
    plan = policies.plan_make(by=admin, policy=policy)
    policy_edit(by=admin, policy=policy, data=data())
    assert Plan.objects.get(pk=plan.pk).rules == [
        {"effect": "delete", "kind": "older_than", "parameters": {"days": 9}}
    ]


def test_every_change_is_in_the_audit_log(admin: User) -> None:
    policy = policy_add(by=admin, data=data())
    policy_edit(by=admin, policy=policy, data=data(name="Other"))
    policies.policy_switch(by=admin, policy=policy, is_enabled=False)
    policies.cleanup_pause(by=admin, is_paused=True, reason="Audit week")
    policies.policy_remove(by=admin, policy=policy)
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["policy.add", "policy.edit", "policy.off", "cleanup.pause", "policy.remove"]


def test_one_switch_pauses_all(admin: User) -> None:
    assert not policies.is_paused()
    policies.cleanup_pause(by=admin, is_paused=True, reason="Audit week")
    assert policies.is_paused()
    policies.cleanup_pause(by=admin, is_paused=False)
    assert not policies.is_paused()
    assert CleanupSwitch.objects.count() == 1


# Who may see and do what


def test_stranger_sees_no_policy_viewer_sees_and_maintainer_edits(
    admin: User, host: Host, group: HostGroup
) -> None:
    policy = policy_add(by=admin, data=data(all_hosts=False, groups=(group,)))
    viewer = factories.make_user()
    factories.grant(viewer, "viewer", group)
    with pytest.raises(Http404):
        access.access_policy(factories.make_user(), policy.pk)
    assert access.access_policy(viewer, policy.pk) == policy
    with pytest.raises(PermissionDenied):
        access.access_policy(viewer, policy.pk, Permission.EDIT_POLICIES)
    assert access.access_policy(maintainer(group), policy.pk, Permission.EDIT_POLICIES) == policy


def test_policy_for_all_hosts_is_visible_and_not_editable_to_a_group_maintainer(
    admin: User, host: Host, group: HostGroup
) -> None:
    policy = policy_add(by=admin, data=data())
    user = maintainer(group)
    assert access.access_policy(user, policy.pk) == policy
    with pytest.raises(PermissionDenied):
        access.access_policy(user, policy.pk, Permission.EDIT_POLICIES)


def test_policy_hosts_are_those_of_its_groups_and_its_own(admin: User, host: Host, group: HostGroup) -> None:
    other, _far = factories.make_host("prod"), factories.make_host("far")
    policy = policy_add(by=admin, data=data(all_hosts=False, groups=(group,), hosts=(other, host)))
    assert set(access.policy_hosts(policy)) == {host, other}
    everywhere = policy_add(by=admin, data=data(name="All"))
    assert access.policy_hosts(everywhere).count() == 3


def test_plan_in_the_making_is_visible_by_its_policy(admin: User, host: Host, group: HostGroup) -> None:
    plan = policies.plan_make(
        by=admin, policy=policy_add(by=admin, data=data(all_hosts=False, hosts=(host,)))
    )
    assert access.access_plan(maintainer(group), plan.pk, Permission.RUN_CLEANUP) == plan
    with pytest.raises(Http404):
        access.access_plan(factories.make_user(), plan.pk)
    assert timezone.now() - plan.created_at < timedelta(minutes=1)
