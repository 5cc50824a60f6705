"""What the pages of cleanup/ list: every query here costs the same whatever the number of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from cleanup.access import visible_plans, visible_runs
from cleanup.models import (
    CleanupSwitch,
    HostPlan,
    HostRun,
    Item,
    Plan,
    Policy,
    Run,
    RunState,
    Survivor,
)
from images import access
from images.models import Host, ItemState, Permission, User
from images.promises import Promise

M = TypeVar("M", Item, Survivor)

OPEN_RUN_STATES = (RunState.PLANNING, RunState.WAITING, RunState.RUNNING)


def pause_switch() -> CleanupSwitch | None:
    """The switch when it is thrown; None while cleanup may run."""
    return CleanupSwitch.objects.select_related("changed_by").filter(is_paused=True).first()


def policies_with_runs(user: User, policies: QuerySet[Policy]) -> Sequence[Policy]:
    """The policies with `last_run` set on each: the newest run that began, of those the user may see."""
    started = visible_runs(user).filter(policy=OuterRef("pk"), started_at__isnull=False).order_by("-id")
    found = list(
        policies.prefetch_related("rules", "groups", "hosts").annotate(
            last_run_id=Subquery(started.values("id")[:1])
        )
    )
    runs = Run.objects.select_related("plan").in_bulk(
        [policy.last_run_id for policy in found if policy.last_run_id]
    )
    for policy in found:
        policy.last_run = runs.get(policy.last_run_id)  # type: ignore[attr-defined]
    return found


def run_count(policy: Policy) -> int:
    return policy.runs.count()


def plans_of(user: User, policy: Policy) -> QuerySet[Plan]:
    return visible_plans(user).filter(policy=policy).select_related("created_by").order_by("-id")


# Plans


@dataclass
class PlanFilter:
    """What of a plan is to be shown; empty shows all of it."""

    text: str = ""
    host_id: int | None = None
    part: str = ""  # "removed", "kept" or "" for both
    reason: str = ""

    @property
    def is_active(self) -> bool:
        return bool(self.text or self.host_id or self.part or self.reason)

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves out rows of a host, so that their number is worth saying."""
        return bool(self.text or self.part or self.reason)

    def items(self, items: QuerySet[Item]) -> QuerySet[Item]:
        if self.part == "kept":
            return items.none()
        if self.reason == "parent":
            items = items.filter(is_parent=True)
        elif self.reason:
            items = items.filter(rule_kind=self.reason, is_parent=False)
        return _linked(items.filter(_matches(self.text)))

    def survivors(self, survivors: QuerySet[Survivor]) -> QuerySet[Survivor]:
        if self.part == "removed":
            return survivors.none()
        if self.reason:
            survivors = survivors.filter(reason_code=self.reason)
        return _linked(survivors.filter(_matches(self.text)))


def _linked(rows: QuerySet[M]) -> QuerySet[M]:
    """With the key of each row's image, to link to its page."""
    return rows.annotate(image_pk=F("copy__image_id"))


def _matches(text: str) -> Q:
    return Q(name__icontains=text) | Q(engine_id__icontains=text) if text else Q()


@dataclass
class HostPart:
    """A plan's part on one host as far as the filter lets it through."""

    host_plan: HostPlan
    removed_count: int = 0
    kept_count: int = 0
    is_open: bool = False
    removed_page: Any = None  # set for a host whose rows are on the page already
    kept_page: Any = None

    @property
    def match_count(self) -> int:
        return self.removed_count + self.kept_count


def plan_parts(user: User, plan: Plan, chosen: PlanFilter) -> list[HostPart]:
    """The plan's hosts that the user may see and the filter leaves, each with its matching counts.

    A host that was left out of the plan has a warning and no rows: it is listed unless something is filtered.
    """
    host_plans = access.restrict_by_host(plan.host_plans.select_related("host"), user, Permission.VIEW)
    if chosen.host_id:
        host_plans = host_plans.filter(host=chosen.host_id)
    parts = {host_plan.pk: HostPart(host_plan) for host_plan in host_plans}
    for pk, count in _counted(chosen.items(Item.objects.filter(host_plan__plan=plan))):
        if pk in parts:
            parts[pk].removed_count = count
    for pk, count in _counted(chosen.survivors(Survivor.objects.filter(host_plan__plan=plan))):
        if pk in parts:
            parts[pk].kept_count = count
    return [part for part in parts.values() if part.match_count or not chosen.is_narrow]


def _counted(rows: QuerySet[Item] | QuerySet[Survivor]) -> Iterable[tuple[int, int]]:
    return rows.order_by().values_list("host_plan_id").annotate(count=Count("id"))


def host_plan_of(user: User, plan: Plan, host_id: int) -> HostPlan | None:
    visible = access.restrict_by_host(plan.host_plans.select_related("host"), user, Permission.VIEW)
    return visible.filter(host=host_id).first()


def part_rows(host_plan: HostPlan, part: str, chosen: PlanFilter) -> QuerySet[Item] | QuerySet[Survivor]:
    """What goes from one host ("removed"), or what stays on it ("kept")."""
    if part == "removed":
        return chosen.items(host_plan.items.all())
    return chosen.survivors(host_plan.survivors.all())


def removing_hosts(plan: Plan) -> int:
    """On how many hosts the plan removes something."""
    return plan.host_plans.filter(item_count__gt=0).count()


def run_of(plan: Plan) -> Run | None:
    return Run.objects.filter(plan=plan).first()


def plan_hidden_count(user: User, plan: Plan) -> int:
    """How many of the plan's hosts the user may not see."""
    if access.can_everywhere(user, Permission.VIEW):
        return 0
    visible = access.restrict_by_host(plan.host_plans.all(), user, Permission.VIEW)
    return plan.host_plans.count() - visible.count()


def plan_reasons(plan: Plan) -> tuple[list[str], list[str]]:
    """The codes that chose and that kept something in this plan, for the filter."""
    items = Item.objects.filter(host_plan__plan=plan)
    removed = set(items.filter(is_parent=False).order_by().values_list("rule_kind", flat=True).distinct())
    if items.filter(is_parent=True).exists():
        removed.add("parent")
    kept = Survivor.objects.filter(host_plan__plan=plan).order_by()
    return sorted(removed), sorted(kept.values_list("reason_code", flat=True).distinct())


# Runs


def runs_listed(
    user: User, *, policy: Policy | None = None, state: str = "", started: str = "", host: Host | None = None
) -> QuerySet[Run]:
    """`state` may be a run's state, or "open"; `started` is "schedule" or "person"."""
    runs = visible_runs(user).select_related("policy", "plan", "started_by", "approved_by")
    if policy:
        runs = runs.filter(policy=policy)
    if host:
        runs = runs.filter(host_runs__host=host)
    if state == "open":
        runs = runs.filter(state__in=OPEN_RUN_STATES)
    elif state:
        runs = runs.filter(state=state)
    if started:
        runs = runs.filter(slot__isnull=started == "person")
    return runs


@dataclass
class HostProgress:
    """A run on one host, with how many of its items ended in which state."""

    host_run: HostRun
    counts: dict[str, int] = field(default_factory=dict)
    page: Any = None  # its items, when they are on the page already

    @property
    def is_running(self) -> bool:
        return self.host_run.state in OPEN_RUN_STATES

    @property
    def rate(self) -> float:
        """Items a second since its job began; 0 while that is not known."""
        job = self.host_run.job
        if not self.is_running or job is None or job.started_at is None or not self.done:
            return 0
        seconds = (timezone.now() - job.started_at).total_seconds()
        return self.done / seconds if seconds > 0 else 0

    @property
    def left_seconds(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        waiting = (ItemState.PENDING, ItemState.RUNNING)
        return sum(count for state, count in self.counts.items() if state not in waiting)

    @property
    def notes(self) -> list[tuple[str, str, int]]:
        """(state, its name, count) of the items that did not simply go."""
        odd = (ItemState.SKIPPED, ItemState.FAILED, ItemState.UNKNOWN, ItemState.UNTAGGED, ItemState.GONE)
        return [
            (state.value, str(state.label), self.counts[state]) for state in odd if self.counts.get(state)
        ]


def run_progress(user: User, run: Run, host_id: int | None = None) -> list[HostProgress]:
    """The run's hosts that the user may see."""
    host_runs = access.restrict_by_host(
        run.host_runs.select_related("host", "job", "host_plan"), user, Permission.VIEW
    )
    if host_id:
        host_runs = host_runs.filter(host=host_id)
    parts = {host_run.host_plan_id: HostProgress(host_run) for host_run in host_runs}
    counted = Item.objects.filter(host_plan__in=list(parts)).order_by().values_list("host_plan_id", "state")
    for host_plan_id, state, count in counted.annotate(count=Count("id")):
        parts[host_plan_id].counts[state] = count
    return list(parts.values())


def run_left_out(user: User, run: Run) -> list[HostPlan]:
    """The hosts the user may see that the run should have cleaned up and could not, each with its warning."""
    if run.plan is None:
        return []
    left_out = run.plan.host_plans.left_out().select_related("host")
    return list(access.restrict_by_host(left_out, user, Permission.VIEW))


@dataclass(frozen=True)
class Tally:
    """What was promised and freed on several hosts, in one run or in several."""

    promise: Promise
    freed_bytes: int
    hosts: int
    runs: int


def _tally(host_runs: QuerySet[HostRun]) -> Tally:
    sums = host_runs.aggregate(
        low=Sum("host_plan__promised_bytes"),
        high=Sum("host_plan__promised_bytes_high"),
        up_to=Count("pk", filter=Q(host_plan__is_up_to=True)),
        freed=Sum("freed_bytes"),
        hosts=Count("host", distinct=True),
        runs=Count("run", distinct=True),
    )
    promise = Promise(sums["low"] or 0, sums["high"] or 0, sums["up_to"] > 0)
    return Tally(promise, sums["freed"] or 0, sums["hosts"], sums["runs"])


def run_unmeasured(run: Run) -> Tally:
    """The run's hosts on which it ended without anybody having measured what was freed there."""
    return _tally(run.host_runs.exclude(state=RunState.RUNNING).filter(freed_bytes=None))


def run_hidden_count(user: User, run: Run) -> int:
    if access.can_everywhere(user, Permission.VIEW):
        return 0
    return run.host_runs.count() - access.restrict_by_host(run.host_runs.all(), user, Permission.VIEW).count()


def run_items(host_run: HostRun, *, state: str = "", text: str = "") -> QuerySet[Item]:
    items = host_run.host_plan.items.all()
    if state:
        items = items.filter(state=state)
    return _linked(items.filter(_matches(text)))


# What pages of images/ show of cleanup


@dataclass
class HitRate:
    """How often what was freed on a host lay within what was promised, over its runs that were measured."""

    measured: int = 0
    kept: int = 0


def host_runs_of(host: Host, count: int = 10) -> list[HostRun]:
    return list(host.host_runs.select_related("run__policy", "host_plan").order_by("-id")[:count])


def host_hit_rate(host: Host) -> HitRate:
    """Undisturbed runs only: where something else changed the host, the promise can not be judged."""
    measured = host.host_runs.filter(freed_bytes__isnull=False, was_disturbed=False).order_by("-id")
    rows = measured.select_related("host_plan")[:100]
    kept = [row.promise.is_kept(row.freed_bytes) for row in rows if row.freed_bytes is not None]
    return HitRate(measured=len(kept), kept=sum(kept))


@dataclass
class Overview:
    """Cleanup at a glance, as far as the user may see it."""

    next_policy: Policy | None
    last_run: Run | None
    measured: Tally  # of the last 30 days: only what was measured can be compared with its promise
    unmeasured: Tally
    waiting: list[Run]
    running: list[Run]
    unseen: list[Policy]
    policy_count: int


def overview(user: User, policies: QuerySet[Policy], now: datetime | None = None) -> Overview:
    since = (now or timezone.now()) - timedelta(days=30)
    runs = visible_runs(user).select_related("policy", "plan")
    host_runs = access.restrict_by_host(
        HostRun.objects.filter(run__ended_at__gte=since), user, Permission.VIEW
    )
    enabled = [policy for policy in policies if policy.is_enabled]
    scheduled = [policy for policy in enabled if policy.next_run_at]
    return Overview(
        next_policy=min(scheduled, key=lambda policy: policy.next_run_at or since, default=None),
        last_run=runs.filter(ended_at__isnull=False, started_at__isnull=False).order_by("-ended_at").first(),
        measured=_tally(host_runs.filter(freed_bytes__isnull=False)),
        unmeasured=_tally(host_runs.filter(freed_bytes=None)),
        waiting=list(runs.filter(state=RunState.WAITING)[:5]),
        running=list(runs.filter(state__in=(RunState.RUNNING, RunState.PLANNING))[:5]),
        unseen=[policy for policy in enabled if policy.waits_for_a_look],
        policy_count=len(list(policies)),
    )
