"""Policies, plans and runs as the pages find them: real rows, made without planner and engine."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from cleanup.models import (
    HostPlan,
    HostRun,
    Item,
    Plan,
    PlanState,
    Policy,
    PolicyRule,
    Run,
    RunState,
    Survivor,
)
from images.models import Copy, Host, HostGroup, ItemState, User
from tests import factories

_sequence = iter(range(1, 10**9))


def make_policy(
    name: str = "", *, hosts: Sequence[Host] = (), groups: Sequence[HostGroup] = (), **fields: Any
) -> Policy:
    """For all hosts unless some are named; one rule, "dangling"."""
    defaults = {"name": name or f"policy {next(_sequence)}", "all_hosts": not (hosts or groups)}
    policy = Policy.objects.create(**(defaults | fields))
    policy.hosts.set(hosts)
    policy.groups.set(groups)
    PolicyRule.objects.create(policy=policy, effect="delete", kind="dangling")
    return policy


def make_plan(policy: Policy, by: User | None = None, **fields: Any) -> Plan:
    now = timezone.now()
    defaults = {
        "policy_revision": policy.revision,
        "state": PlanState.READY,
        "created_by": by,
        "made_at": now,
        "expires_at": now + timedelta(hours=24),
        "rules": [{"effect": "delete", "kind": "dangling", "parameters": {}}],
    }
    return Plan.objects.create(policy=policy, **(defaults | fields))


def add_host(plan: Plan, host: Host, removed: int = 1, kept: int = 1, **fields: Any) -> HostPlan:
    """A host with so many images that go (1 MB each) and that stay; the sums follow."""
    defaults = {
        "item_count": removed,
        "kept_count": kept,
        "promised_bytes": removed * 10**6,
        "promised_bytes_high": removed * 10**6,
        "inventory_at": timezone.now(),
    }
    host_plan = HostPlan.objects.create(plan=plan, host=host, **(defaults | fields))
    Item.objects.bulk_create(
        Item(
            host_plan=host_plan, position=number, **_row(_copy(host), frees_bytes=10**6, rule_kind="dangling")
        )
        for number in range(removed)
    )
    Survivor.objects.bulk_create(
        Survivor(host_plan=host_plan, **_row(_copy(host, f"kept/app:{number}"), reason_code="not_selected"))
        for number in range(kept)
    )
    plan.item_count += host_plan.item_count
    plan.kept_count += host_plan.kept_count
    plan.promised_bytes += host_plan.promised_bytes
    plan.promised_bytes_high += host_plan.promised_bytes_high
    plan.is_up_to |= host_plan.is_up_to
    plan.save()
    return host_plan


def _copy(host: Host, *names: str) -> Copy:
    return factories.make_copy(host, *names)


def _row(copy: Copy, **fields: Any) -> dict[str, Any]:
    return {
        "copy": copy,
        "engine_id": copy.engine_id,
        "name": copy.name,
        "size_bytes": copy.size_bytes,
        **fields,
    }


def make_run(plan: Plan, state: RunState = RunState.RUNNING, by: User | None = None, **fields: Any) -> Run:
    """The run of a plan with a part for each of its hosts; ended states free what was promised."""
    now = timezone.now()
    is_open = state in (RunState.PLANNING, RunState.WAITING, RunState.RUNNING)
    defaults = {
        "state": state,
        "started_by": by,
        "started_at": None if state == RunState.WAITING else now - timedelta(minutes=2),
        "ended_at": None if is_open else now,
        "freed_bytes": None if is_open else plan.promised_bytes,
    }
    run = Run.objects.create(policy=plan.policy, plan=plan, **(defaults | fields))
    if state == RunState.WAITING:
        return run
    for host_plan in plan.host_plans.all():
        HostRun.objects.create(
            run=run,
            host_plan=host_plan,
            host=host_plan.host,
            state=state,
            freed_bytes=None if is_open else host_plan.promised_bytes,
        )
        if not is_open:
            host_plan.items.update(state=ItemState.REMOVED, ended_at=now)
    return run
