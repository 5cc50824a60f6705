"""Makes a plan: host by host, so that memory stays flat however large the fleet is."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from cleanup.access import policy_hosts, watching_hosts
from cleanup.loading import host_facts, host_warning
from cleanup.models import HostPlan, Item, Plan, PlanState, Survivor
from cleanup.planner import HostDecision, plan_host
from cleanup.rules import Rule, make_rule
from images.inventory.bulk import rows_add
from images.jobs.life import wake
from images.live import progress
from images.models import Host

logger = logging.getLogger(__name__)

TRIES = 3
SILENT = timedelta(minutes=2)  # a host takes a fraction of a second: the worker is dead, not slow
GIVE_UP = timedelta(hours=1)


def plan_carry_out(plan_id: int) -> None:
    """What a worker does when it is woken; a second delivery finds nothing to claim."""
    if not _claim(plan_id, timezone.now()):
        return
    plan = Plan.objects.select_related("policy").get(pk=plan_id)
    try:
        _make(plan)
    except Exception as error:
        logger.exception("Plan %s could not be made", plan_id)
        Plan.objects.filter(pk=plan_id).update(
            state=PlanState.FAILED, error_raw=f"{type(error).__name__}: {error}"[:2000]
        )
    _tell(plan, watching_hosts(plan.policy, plan), 1, 1)
    from cleanup.runs import run_planned

    run_planned(plan_id)


def _claim(plan_id: int, now: datetime) -> bool:
    free = Q(claimed_at=None) | Q(claimed_at__lt=now - SILENT)
    return bool(Plan.objects.filter(free, pk=plan_id, state=PlanState.MAKING).update(claimed_at=now))


def plans_due(now: datetime) -> int:
    """Wakes a worker for plans whose message or worker was lost, and gives up on those nothing helps."""
    making = Plan.objects.filter(state=PlanState.MAKING)
    making.filter(created_at__lt=now - GIVE_UP).update(state=PlanState.FAILED)
    unclaimed = Q(claimed_at=None, created_at__lt=now - timedelta(seconds=20))
    due = making.filter(unclaimed | Q(claimed_at__lt=now - SILENT))
    return sum(wake("cleanup.tasks.make_plan", pk) for pk in due.values_list("pk", flat=True))


def _make(plan: Plan) -> None:
    rules = [make_rule(row["kind"], row["parameters"]) for row in plan.rules]
    minimum_age = timedelta(hours=plan.policy.minimum_age_hours)
    plan.host_plans.all().delete()  # what a killed worker had begun
    hosts = list(policy_hosts(plan.policy).order_by("name").values_list("pk", flat=True))
    for done, host_id in enumerate(hosts, 1):
        host = Host.objects.filter(pk=host_id).first()
        if host:
            _plan_patiently(plan, host, rules, minimum_age)
        Plan.objects.filter(pk=plan.pk).update(claimed_at=timezone.now())
        _tell(plan, hosts, done, len(hosts))
    _finish(plan)


def _tell(plan: Plan, hosts: Sequence[int], done: int, total: int) -> None:
    data = {"id": plan.pk, "done": done, "total": total}
    progress.publish(f"plan:{plan.pk}", host_id=hosts, data=data)


def _plan_patiently(plan: Plan, host: Host, rules: Sequence[Rule], minimum_age: timedelta) -> None:
    """A sync may change the rows while they are read; then the host is looked at again."""
    for _ in range(TRIES):
        try:
            _plan_host(plan, host, rules, minimum_age)
        except (IntegrityError, KeyError) as error:
            logger.warning("%s changed under the plan: %r", host, error)
        else:
            return
    HostPlan.objects.create(plan=plan, host=host, inventory_at=host.synced_at, warning="plan_failed")


def _plan_host(plan: Plan, host: Host, rules: Sequence[Rule], minimum_age: timedelta) -> None:
    now = timezone.now()
    with transaction.atomic():
        host_plan = HostPlan(
            plan=plan,
            host=host,
            engine_mark=host.engine_mark,
            inventory_at=host.synced_at,
            warning=host_warning(host, now),
        )
        decision = None
        if not host_plan.warning:
            decision = plan_host(host_facts(host, now), rules, now, minimum_age=minimum_age)
            _sums(host_plan, decision)
        host_plan.save()
        if decision:
            _write(host_plan, decision)


def _sums(host_plan: HostPlan, decision: HostDecision) -> None:
    freed = decision.freed
    host_plan.item_count, host_plan.kept_count = len(decision.items), len(decision.survivors)
    # Of "up to" figures the high one is promised: nothing would be promised otherwise.
    host_plan.promised_bytes = freed.high if freed.is_up_to else freed.low
    host_plan.promised_bytes_high, host_plan.is_up_to = freed.high, freed.is_up_to
    host_plan.takes_all = decision.takes_all


def _write(host_plan: HostPlan, decision: HostDecision) -> None:
    rows_add(
        Item,
        (
            "host_plan_id", "position", "copy_id", "engine_id", "name", "references", "size_bytes", "frees_bytes",
            "is_parent", "rule_kind", "reason",
        ),
        (
            (
                host_plan.pk, n, copy.key, copy.engine_id, copy.name, list(copy.references), copy.size_bytes,
                chosen.frees_bytes, chosen.is_parent, "" if chosen.is_parent else chosen.reason.code,
                chosen.reason.values,
            )
            for n, (chosen, copy) in enumerate((chosen, chosen.copy) for chosen in decision.items)
        ),
    )  # fmt: skip
    rows_add(
        Survivor,
        ("host_plan_id", "copy_id", "engine_id", "name", "size_bytes", "reason_code", "reason"),
        (
            (
                host_plan.pk, copy.key, copy.engine_id, copy.name, copy.size_bytes, kept.reason.code,
                kept.reason.values,
            )
            for kept, copy in ((kept, kept.copy) for kept in decision.survivors)
        ),
    )  # fmt: skip


def _finish(plan: Plan) -> None:
    now = timezone.now()
    sums = plan.host_plans.aggregate(
        hosts=Count("pk"), items=Sum("item_count"), kept=Sum("kept_count"),
        low=Sum("promised_bytes"), high=Sum("promised_bytes_high"), up_to=Count("pk", filter=Q(is_up_to=True)),
    )  # fmt: skip
    Plan.objects.filter(pk=plan.pk, state=PlanState.MAKING).update(
        state=PlanState.READY,
        made_at=now,
        expires_at=now + timedelta(hours=settings.PLAN_HOURS),
        item_count=sums["items"] or 0,
        kept_count=sums["kept"] or 0,
        promised_bytes=sums["low"] or 0,
        promised_bytes_high=sums["high"] or 0,
        is_up_to=sums["up_to"] > 0,
    )
