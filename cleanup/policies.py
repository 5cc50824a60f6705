"""Policies: make, edit, switch, remove, ask for a plan; and the switch that pauses all cleanup."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from cleanup import rules, schedule
from cleanup.access import can_on_policy
from cleanup.models import CleanupSwitch, Plan, PlanState, Policy, PolicyRule
from cleanup.rules import FieldError
from images import access, audit
from images.errors import UserError
from images.jobs.life import wake
from images.live import progress
from images.models import Host, HostGroup, Permission, User

MAX_RULES = 50
MOST_HOURS = 24 * 366  # of minimum age


@dataclass(frozen=True)
class RuleInput:
    """A rule as a form sends it; `kind` tells whether it deletes or keeps."""

    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyInput:
    """A policy as a form sends it."""

    name: str
    rules: Sequence[RuleInput] = ()
    description: str = ""
    is_enabled: bool = True
    all_hosts: bool = False
    groups: Sequence[HostGroup] = ()
    hosts: Sequence[Host] = ()
    minimum_age_hours: int = 24
    limit_items: int | None = None
    limit_bytes: int | None = None
    schedule: str = ""
    time_zone: str = "UTC"


class PolicyInvalid(Exception):
    """What is wrong, by field: "name", "scope", "rules", "rules.0.days"; wording.error makes sentences."""

    def __init__(self, errors: dict[str, FieldError]) -> None:
        super().__init__(", ".join(f"{name}: {error.code}" for name, error in errors.items()))
        self.errors = errors


def policy_errors(data: PolicyInput, *, by: User, policy: Policy | None = None) -> dict[str, FieldError]:
    """Everything that is wrong with the input, by field; empty when it can be saved."""
    errors = _rules_errors(data) | _schedule_errors(data) | _number_errors(data) | _scope_errors(data, by)
    name = data.name.strip()
    if not name:
        errors["name"] = FieldError("required")
    elif len(name) > 100:
        errors["name"] = FieldError("too_long", {"detail": 100})
    elif Policy.objects.filter(name=name).exclude(pk=policy.pk if policy else 0).exists():
        errors["name"] = FieldError("name_taken")
    return errors


def rules_take_all(given: Iterable[PolicyRule | RuleInput]) -> bool:
    """Whether a delete rule among them selects every image that nothing keeps."""
    made = [rules.make_rule(rule.kind, rule.parameters) for rule in given]
    return any(rule.effect == rules.DELETE and rule.takes_all for rule in made)


def _rules_errors(data: PolicyInput) -> dict[str, FieldError]:
    errors: dict[str, FieldError] = {}
    for n, rule in enumerate(data.rules[:MAX_RULES]):
        for name, error in rules.rule_errors(rule.kind, rule.parameters).items():
            errors[f"rules.{n}.{name}".rstrip(".")] = error
        if rule in data.rules[:n]:
            errors[f"rules.{n}"] = FieldError("rule_twice")
    if len(data.rules) > MAX_RULES:
        errors["rules"] = FieldError("too_many_rules", {"detail": MAX_RULES})
    kinds = {rule.kind for rule in data.rules}
    if not kinds & set(rules.kinds(rules.DELETE)):
        errors["rules"] = FieldError("no_delete_rule")
    return errors


def _schedule_errors(data: PolicyInput) -> dict[str, FieldError]:
    try:
        schedule.zone_of(data.time_zone)
        if data.schedule.strip():
            schedule.check(data.schedule, data.time_zone)
    except schedule.ScheduleError as error:
        return {error.field: FieldError(error.code, {"detail": error.detail})}
    return {}


def _number_errors(data: PolicyInput) -> dict[str, FieldError]:
    bounds = {"minimum_age_hours": (0, MOST_HOURS), "limit_items": (1, 10**6), "limit_bytes": (1, 10**15)}
    errors: dict[str, FieldError] = {}
    for name, (least, most) in bounds.items():
        value = getattr(data, name)
        if value is None and name == "minimum_age_hours":
            errors[name] = FieldError("required")
        elif value is not None and not least <= value <= most:
            errors[name] = FieldError("out_of_range", {"minimum": least, "maximum": most})
    return errors


def _scope_errors(data: PolicyInput, by: User) -> dict[str, FieldError]:
    if access.can_everywhere(by, Permission.EDIT_POLICIES):
        allowed = True
    elif data.all_hosts:
        allowed = False
    else:
        own = set(access.groups_for(by, Permission.EDIT_POLICIES).values_list("pk", flat=True))
        hosts = all(access.can(by, Permission.EDIT_POLICIES, host) for host in data.hosts)
        allowed = hosts and {group.pk for group in data.groups} <= own
    if not (data.all_hosts or data.groups or data.hosts):
        return {"scope": FieldError("no_scope")}
    return {} if allowed else {"scope": FieldError("no_permission")}


@transaction.atomic
def policy_add(*, by: User, data: PolicyInput) -> Policy:
    """Raises PolicyInvalid. It runs unattended only after somebody has seen a plan of it."""
    _raise_errors(data, by, None)
    policy = Policy(created_by=by)
    _write(policy, data)
    audit.record(by=by, action="policy.add", target=policy.name)
    return policy


@transaction.atomic
def policy_edit(*, by: User, policy: Policy, data: PolicyInput) -> Policy:
    """Raises PolicyInvalid. A change of what it removes, or where, asks for a new look at its plan."""
    policy = Policy.objects.select_for_update().get(pk=policy.pk)
    # Who could not edit the policy as it is may not change it by giving it another scope.
    if not can_on_policy(by, policy, Permission.EDIT_POLICIES):
        raise PolicyInvalid({"scope": FieldError("no_permission")})
    _raise_errors(data, by, policy)
    before = _substance(policy)
    _write(policy, data)
    if _substance(policy) != before:
        policy.revision += 1
        policy.save(update_fields=["revision"])
    audit.record(by=by, action="policy.edit", target=policy.name, revision=policy.revision)
    return policy


def _raise_errors(data: PolicyInput, by: User, policy: Policy | None) -> None:
    if errors := policy_errors(data, by=by, policy=policy):
        raise PolicyInvalid(errors)


def _write(policy: Policy, data: PolicyInput) -> None:
    now = timezone.now()
    timing = (policy.schedule, policy.time_zone, policy.is_enabled)
    for name in ("description", "is_enabled", "all_hosts", "minimum_age_hours", "limit_items", "limit_bytes"):
        setattr(policy, name, getattr(data, name))
    policy.name, policy.schedule, policy.time_zone = data.name.strip(), data.schedule.strip(), data.time_zone
    if (policy.schedule, policy.time_zone, policy.is_enabled) != timing or policy.next_run_at is None:
        policy.next_run_at = next_run_of(policy, now)
    policy.save()
    policy.groups.set([] if data.all_hosts else data.groups)
    policy.hosts.set([] if data.all_hosts else data.hosts)
    made = [rules.make_rule(rule.kind, rule.parameters) for rule in data.rules]
    policy.rules.all().delete()
    PolicyRule.objects.bulk_create(
        PolicyRule(policy=policy, effect=rule.effect, kind=rule.kind, parameters=rule.parameters, position=n)
        for n, rule in enumerate(made)
    )


def next_run_of(policy: Policy, now: datetime) -> datetime | None:
    """When it runs next; None when it is off or only run by hand."""
    if not policy.is_enabled or not policy.schedule:
        return None
    return schedule.next_time(policy.schedule, policy.time_zone, now)


def _substance(policy: Policy) -> Any:
    """What decides what is removed and where; a change of it needs a new look."""
    # The rules in an order of their own: the order of rules never matters.
    stored = policy.rules.values_list("kind", "parameters")
    return (
        policy.all_hosts, policy.minimum_age_hours, policy.limit_items, policy.limit_bytes,
        sorted((kind, sorted(parameters.items())) for kind, parameters in stored),
        sorted(policy.groups.values_list("pk", flat=True)), sorted(policy.hosts.values_list("pk", flat=True)),
    )  # fmt: skip


@transaction.atomic
def policy_switch(*, by: User, policy: Policy, is_enabled: bool) -> Policy:
    policy.is_enabled = is_enabled
    policy.next_run_at = next_run_of(policy, timezone.now())
    policy.save(update_fields=["is_enabled", "next_run_at", "updated_at"])
    audit.record(by=by, action="policy.on" if is_enabled else "policy.off", target=policy.name)
    return policy


@transaction.atomic
def policy_remove(*, by: User, policy: Policy) -> None:
    """Removes the policy with its plans and runs. Raises UserError while one of its runs is going on."""
    from cleanup.runs import refuse_while_running

    refuse_while_running(policy)
    audit.record(by=by, action="policy.remove", target=policy.name)
    policy.runs.all().delete()  # a run holds its plan fast
    policy.delete()


@transaction.atomic
def plan_make(*, by: User | None, policy: Policy) -> Plan:
    """The row at once; a worker plans host by host, and the page follows `plan:<id>`.

    A person who asks while one of this revision is being made gets that one. The schedule always gets its own:
    it runs it, and a plan is run once.
    """
    policy = Policy.objects.select_for_update().get(pk=policy.pk)
    under_way = policy.plans.filter(state=PlanState.MAKING, policy_revision=policy.revision).first()
    if by and under_way:
        return under_way
    plan = Plan.objects.create(
        policy=policy,
        policy_revision=policy.revision,
        created_by=by,
        rules=list(policy.rules.values("effect", "kind", "parameters")),
    )
    transaction.on_commit(lambda: wake("cleanup.tasks.make_plan", plan.pk))
    return plan


@transaction.atomic
def plan_seen(*, by: User, plan: Plan) -> None:
    """Somebody has looked at this plan: its revision of the policy may run unattended from now on.

    Raises UserError plan_not_ready, plan_expired or plan_sees_nothing for a plan there is nothing to see of.
    """
    if plan.state != PlanState.READY:
        raise UserError("plan_not_ready")
    if plan.is_expired:
        raise UserError("plan_expired")
    if not plan.sees_a_host:
        raise UserError("plan_sees_nothing")
    may = can_on_policy(by, plan.policy, Permission.RUN_CLEANUP)
    current = Policy.objects.filter(pk=plan.policy_id, revision=plan.policy_revision)
    fresh = current.exclude(seen_revision=plan.policy_revision)
    if may and fresh.update(seen_revision=plan.policy_revision, seen_by=by, seen_at=timezone.now()):
        audit.record(by=by, action="policy.seen", target=plan.policy.name, revision=plan.policy_revision)


def is_paused() -> bool:
    return CleanupSwitch.objects.filter(is_paused=True).exists()


@transaction.atomic
def cleanup_pause(*, by: User, is_paused: bool, reason: str = "") -> CleanupSwitch:
    """Stops or lets go all cleanup; a run that is under way stops before its next batch."""
    values = {"is_paused": is_paused, "reason": reason[:500], "changed_by": by}
    switch, _ = CleanupSwitch.objects.update_or_create(pk=1, defaults=values)
    audit.record(by=by, action="cleanup.pause" if is_paused else "cleanup.resume", reason=reason)
    transaction.on_commit(lambda: progress.publish("runs", host_id=None, data={"paused": is_paused}))
    return switch
