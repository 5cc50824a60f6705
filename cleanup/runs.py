"""The life of a run: started by a person or the schedule, approved, cancelled, summed up."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from cleanup import schedule
from cleanup.access import policy_hosts, watching_hosts
from cleanup.models import HostRun, Item, Plan, PlanState, Policy, Run, RunState
from cleanup.policies import is_paused, plan_make, plan_seen
from images import access, audit
from images.errors import UserError
from images.forgetting import spares_jobs
from images.jobs.life import job_cancel, job_start
from images.live import progress
from images.models import Host, ItemState, Job, JobState, Permission, User
from images.models.job import JobQuerySet

LATE = timedelta(minutes=5)  # a tick comes every 15 s
GOOD = (ItemState.REMOVED, ItemState.GONE)
OPEN_ITEMS = (ItemState.PENDING, ItemState.RUNNING)
PLANNING = Q(state=RunState.PLANNING)
HELD_BY_PAUSE = Q(state=RunState.WAITING, waiting_reason="paused")


@transaction.atomic
def run_start(*, by: User, plan: Plan) -> Run:
    """Starts the plan, or has it wait for approval where it is above the policy's limits.

    Raises UserError when the plan can not be run: not ready, empty, expired, used, outdated, all paused, its
    hosts switched off.
    """
    plan = Plan.objects.select_for_update().select_related("policy").get(pk=plan.pk)
    _check(plan)
    if Run.objects.filter(plan=plan).exists():
        raise UserError("plan_used")
    if not plan.item_count:
        raise UserError("plan_empty")
    plan_seen(by=by, plan=plan)
    run = Run.objects.create(policy=plan.policy, plan=plan, started_by=by)
    audit.record(by=by, action="run.start", target=plan.policy.name, run=run.pk, items=plan.item_count)
    if _is_above_limits(plan):
        _wait(run, "limit")
    else:
        _begin(run)
    return run


def plan_refused(plan: Plan) -> UserError | None:
    """Why the plan could not be run now, so that nobody is asked in vain; None when it could."""
    try:
        _check(plan)
    except UserError as error:
        return error
    return None


def _check(plan: Plan) -> None:
    if plan.state != PlanState.READY:
        raise UserError("plan_not_ready")
    if plan.is_expired:
        raise UserError("plan_expired")
    if Policy.objects.get(pk=plan.policy_id).revision != plan.policy_revision:
        raise UserError("plan_outdated")
    if is_paused():
        raise UserError("cleanup_paused")
    parts = list(plan.host_plans.filter(item_count__gt=0).select_related("host"))
    for part in parts:
        if part.engine_mark != part.host.engine_mark:
            raise UserError("engine_changed", host=part.host.name)
    # Where some are on, the run does its part there; those that are off say so in their items.
    if parts and not any(part.host.is_enabled for part in parts):
        raise UserError("host_switched_off", host=min(part.host.name for part in parts))


def run_hold(host_run: HostRun) -> str:
    """Why nothing more may be removed by this run on its host, as things stand now; "" while it may go on.

    Asked before every batch: between the click and the last image may lie hours.
    """
    run = Run.objects.select_related("plan", "policy", "approved_by", "started_by").get(pk=host_run.run_id)
    plan, actor = run.plan, run.approved_by or run.started_by
    if not HostRun.objects.filter(pk=host_run.pk, state=RunState.RUNNING).exists():
        return "run_ended"
    if not Host.objects.filter(pk=host_run.host_id, is_enabled=True).exists():
        return "host_off"
    if is_paused():
        return "cleanup_paused"
    if plan is None or run.policy.revision != plan.policy_revision:
        return "plan_outdated"
    if plan.is_expired:
        return "plan_expired"
    if actor is None and not run.policy.is_enabled:
        return "policy_off"
    if actor is not None and not access.can(actor, Permission.RUN_CLEANUP, host_run.host_id):
        return "right_withdrawn"
    return "" if policy_hosts(run.policy).filter(pk=host_run.host_id).exists() else "out_of_scope"


def _is_above_limits(plan: Plan) -> bool:
    policy = plan.policy
    too_many = policy.limit_items is not None and plan.item_count > policy.limit_items
    return too_many or (policy.limit_bytes is not None and plan.promised_bytes_high > policy.limit_bytes)


def _wait(run: Run, reason: str) -> None:
    _replace_older(run)
    run.state, run.waiting_reason = RunState.WAITING, reason
    run.save(update_fields=["state", "waiting_reason"])
    _tell(run)


def _replace_older(run: Run) -> None:
    """Of the runs of a policy that wait, only the last means anything: its plan is the one that is true now."""
    older = Run.objects.select_for_update().filter(policy=run.policy, state=RunState.WAITING, pk__lt=run.pk)
    for each in older:
        _close(each, RunState.CANCELLED, "replaced")


def _begin(run: Run) -> None:
    assert run.plan
    _replace_older(run)
    run.state, run.started_at = RunState.RUNNING, timezone.now()
    run.save(update_fields=["state", "started_at"])
    for host_plan in run.plan.host_plans.filter(item_count__gt=0).select_related("host"):
        host_run = HostRun.objects.create(run=run, host_plan=host_plan, host=host_plan.host)
        parameters = {"run": run.pk, "host_run": host_run.pk}
        host_run.job = job_start(
            kind="cleanup",
            host=host_plan.host,
            by=run.approved_by or run.started_by,
            parameters=parameters,
            subject=run.policy.name,
        )
        host_run.save(update_fields=["job"])
    if not run.host_runs.exists():
        run_settle(run)
    _tell(run)


def _tell(run: Run) -> None:
    data, hosts = {"id": run.pk, "state": run.state}, watching_hosts(run.policy, run.plan)
    transaction.on_commit(lambda: progress.publish(f"run:{run.pk}", "runs", host_id=hosts, data=data))


@transaction.atomic
def run_approve(*, by: User, run: Run) -> Run:
    """Lets a waiting run go. Raises UserError run_not_waiting, or why its plan can not be run any more."""
    run = Run.objects.select_for_update().get(pk=run.pk)
    if run.state != RunState.WAITING or run.plan is None:
        raise UserError("run_not_waiting")
    _check(run.plan)
    plan_seen(by=by, plan=run.plan)
    run.approved_by = by
    run.save(update_fields=["approved_by"])
    audit.record(by=by, action="run.approve", target=run.policy.name, run=run.pk)
    _begin(run)
    return run


@transaction.atomic
def run_cancel(*, by: User, run: Run) -> Run:
    """Stops a run; what it has removed stays removed. Raises UserError run_ended."""
    run = Run.objects.select_for_update().get(pk=run.pk)
    if run.state in (RunState.PLANNING, RunState.WAITING):
        _close(run, RunState.CANCELLED)
    elif run.state == RunState.RUNNING:
        jobs = Job.objects.open().filter(host_run__run=run).select_related("host", "created_by")
        for job in jobs:
            job_cancel(by=by, job=job)
        run_settle(run)
    else:
        raise UserError("run_ended")
    audit.record(by=by, action="run.cancel", target=run.policy.name, run=run.pk)
    return run


@spares_jobs
def _jobs_without_run(jobs: JobQuerySet) -> JobQuerySet:
    """A run's page shows its jobs, so they stay as long as the run does."""
    return jobs.filter(host_run=None)


def refuse_while_running(policy: Policy) -> None:
    """Raises UserError while a run of the policy is going on: its record would vanish under its feet."""
    if policy.runs.filter(state=RunState.RUNNING).exists():
        raise UserError("policy_running", policy=policy.name)


# The schedule


def runs_due(now: datetime) -> int:
    """Makes the runs that are due, ends those that waited too long, sums up those whose jobs have ended."""
    started = sum(
        _slot_claim(policy, now) for policy in Policy.objects.filter(is_enabled=True, next_run_at__lte=now)
    )
    _expire(now)
    for run in Run.objects.filter(state=RunState.RUNNING):
        run_settle(run)
    may_go_on = PLANNING if is_paused() else PLANNING | HELD_BY_PAUSE
    for run in Run.objects.filter(may_go_on, plan__isnull=False).exclude(plan__state=PlanState.MAKING):
        run_planned(run.plan_id or 0)
    return started


def _slot_claim(policy: Policy, now: datetime) -> bool:
    """One run for the latest slot due, however many were missed; False when another tick was first."""
    due = policy.next_run_at
    if due is None:
        return False
    try:
        slot = schedule.last_time(policy.schedule, policy.time_zone, due, now)
        following = schedule.next_time(policy.schedule, policy.time_zone, now)
    except schedule.ScheduleError:
        Policy.objects.filter(pk=policy.pk).update(next_run_at=None)
        return False
    try:
        with transaction.atomic():
            mine = Policy.objects.filter(pk=policy.pk, next_run_at=due, is_enabled=True)
            if not mine.update(next_run_at=following):
                return False
            _scheduled(policy, slot, is_late=now - slot > LATE)
    except IntegrityError:
        # The slot was run already: somebody set the clock or the schedule back.
        Policy.objects.filter(pk=policy.pk, next_run_at=due).update(next_run_at=following)
        return False
    return True


def _scheduled(policy: Policy, slot: datetime, *, is_late: bool) -> Run:
    run = Run(policy=policy, slot=slot, is_late=is_late)
    if is_paused():
        run.state, run.waiting_reason, run.ended_at = RunState.CANCELLED, "paused", timezone.now()
    run.save(force_insert=True)
    if run.state == RunState.PLANNING:
        run.plan = plan_make(by=None, policy=policy)
        run.save(update_fields=["plan"])
    audit.record(by=None, action="run.start", target=policy.name, run=run.pk, slot=slot.isoformat())
    _tell(run)
    return run


@transaction.atomic
def run_planned(plan_id: int) -> None:
    """Goes on with a scheduled run whose plan is made; nothing to do for a plan without one.

    Also with one that only the pause held back: everything that may hold it is asked anew.
    """
    run = Run.objects.select_for_update().filter(PLANNING | HELD_BY_PAUSE, plan=plan_id).first()
    if run is None or run.plan is None or run.plan.state == PlanState.MAKING:
        return
    policy, plan = run.policy, run.plan
    if plan.state == PlanState.FAILED:
        _close(run, RunState.FAILED)
    elif plan.is_expired:
        _close(run, RunState.EXPIRED)
    elif not policy.is_enabled:
        _close(run, RunState.CANCELLED, "off")
    elif policy.revision != plan.policy_revision or policy.seen_revision != policy.revision:
        _wait(run, "unseen")
    elif is_paused():
        _wait(run, "paused")
    elif _is_above_limits(plan):
        _wait(run, "limit")
    else:
        _begin(run)


def _close(run: Run, state: RunState, reason: str = "") -> None:
    """Ends a run that never began."""
    run.state, run.waiting_reason, run.ended_at = state, reason, timezone.now()
    run.save(update_fields=["state", "waiting_reason", "ended_at"])
    _tell(run)


def _expire(now: datetime) -> None:
    waiting = Run.objects.filter(state=RunState.WAITING, plan__expires_at__lte=now)
    for run in waiting:
        if waiting.filter(pk=run.pk).update(state=RunState.EXPIRED, ended_at=now):
            run.state = RunState.EXPIRED
            _tell(run)


# Summing up


def run_settle(run: Run) -> None:
    """Ends a run whose every job has ended; harmless at any other time."""
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        if run.state != RunState.RUNNING:
            return
        host_runs = list(run.host_runs.select_related("job"))
        for host_run in host_runs:
            if host_run.state == RunState.RUNNING and (host_run.job is None or not host_run.job.is_open):
                host_run_end(host_run, host_run.job.state if host_run.job else JobState.LOST)
        if any(host_run.state == RunState.RUNNING for host_run in host_runs):
            return
        measured = [host_run.freed_bytes for host_run in host_runs if host_run.freed_bytes is not None]
        run.state = _state_of_run(run)
        run.freed_bytes = sum(measured) if measured or not host_runs else None
        run.ended_at = timezone.now()
        run.save(update_fields=["state", "freed_bytes", "ended_at"])
        audit.record(
            by=run.started_by, action="run.end", target=run.policy.name, run=run.pk, state=run.state,
            freed=run.freed_bytes,
        )  # fmt: skip
    _tell(run)


def host_run_end(host_run: HostRun, job_state: str) -> None:
    """What the items come to, once no job works on them any more.

    An item in the middle of its removal may be gone or not: the next look at the engine tells.
    """
    items = Item.objects.filter(host_plan=host_run.host_plan_id)
    now = timezone.now()
    items.filter(state=ItemState.RUNNING).update(
        state=ItemState.UNKNOWN, outcome_code="not_answered", ended_at=now
    )
    code = "run_cancelled" if job_state == JobState.CANCELLED else "not_reached"
    items.filter(state=ItemState.PENDING).update(state=ItemState.SKIPPED, outcome_code=code, ended_at=now)
    _restate(host_run, job_state)


def _restate(host_run: HostRun, job_state: str) -> None:
    items = Item.objects.filter(host_plan=host_run.host_plan_id)
    host_run.state = _state_of_items(
        set(items.order_by().values_list("state", flat=True).distinct()), job_state
    )
    host_run.save(update_fields=["state"])


def host_run_restate(host_run: HostRun) -> None:
    """After items of an ended run were settled: what they and the run come to now."""
    _restate(host_run, host_run.job.state if host_run.job else JobState.LOST)
    run = host_run.run
    if run.state != RunState.RUNNING:
        run.state = _state_of_run(run)
        run.save(update_fields=["state"])
        _tell(run)


def _state_of_items(states: set[str], job_state: str) -> str:
    has_gone = bool(states & set(GOOD))
    if states <= set(GOOD):
        return RunState.SUCCEEDED  # also where a cancel came after the last image
    if job_state == JobState.CANCELLED:
        return RunState.PARTIAL if has_gone else RunState.CANCELLED
    # Everything held back by a guard is not a failure: the run did what it may.
    if has_gone or (states == {ItemState.SKIPPED.value} and job_state == JobState.SUCCEEDED):
        return RunState.PARTIAL
    return RunState.FAILED


def _state_of_run(run: Run) -> str:
    """A host that could not be planned counts as failed, one on which there was nothing to do as done."""
    states = list(run.host_runs.values_list("state", flat=True))
    if run.plan:
        states += [RunState.FAILED for _ in run.plan.host_plans.left_out()]
        states += [RunState.SUCCEEDED for _ in run.plan.host_plans.filter(item_count=0, warning="")]
    alike = set(states) or {RunState.SUCCEEDED}
    return str(alike.pop()) if len(alike) == 1 else RunState.PARTIAL
