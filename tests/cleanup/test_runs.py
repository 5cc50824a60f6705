"""The life of a run: what starts, what waits, what is refused, and the schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from cleanup import planning, policies, runs, tasks
from cleanup.models import HostPlan, Item, Plan, PlanState, Policy, Run, RunState
from cleanup.settling import items_due
from images.errors import UserError
from images.models import Copy, Host, HostState, ItemState, Job, JobState, Pin, User
from images.promises import Promise
from images.tasks import TICKS
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 6, 2, 3, 0, tzinfo=UTC)


@pytest.fixture
def person() -> User:
    return factories.make_admin()


@pytest.fixture
def host() -> Host:
    host = factories.make_host("runner")
    for _ in range(3):
        factories.make_copy(host, arrived_at=timezone.now() - timedelta(days=9))
    return host


def policy_for(host: Host, **fields: Any) -> Policy:
    return rows.make_policy(hosts=[host], **fields)


def planned(policy: Policy, by: User | None = None) -> Plan:
    plan = policies.plan_make(by=by, policy=policy)
    planning.plan_carry_out(plan.pk)
    plan.refresh_from_db()
    return plan


def refused(code: str, by: User, plan: Plan) -> None:
    with pytest.raises(UserError) as error:
        runs.run_start(by=by, plan=plan)
    assert error.value.code == code
    assert not Run.objects.filter(plan=plan, state=RunState.RUNNING).exists()


# Plans


def test_plan_sums_its_hosts(person: User, host: Host) -> None:
    factories.make_copy(host, "app:1")
    plan = planned(policy_for(host), person)
    assert (plan.state, plan.item_count, plan.kept_count) == (PlanState.READY, 3, 1)
    assert plan.promised_bytes == plan.promised_bytes_high == 3000
    assert plan.expires_at
    assert plan.expires_at - timezone.now() > timedelta(hours=23)


def test_plan_is_up_to_where_one_of_its_hosts_is(person: User, host: Host) -> None:
    other = factories.make_host("other")
    factories.make_copy(other, arrived_at=timezone.now() - timedelta(days=9))
    policy = rows.make_policy(hosts=[host, other])
    assert planned(policy, person).promise == Promise(4000, 4000)
    Host.objects.filter(pk=other.pk).update(build_cache_holds_layers=True)
    assert planned(policy, person).promise == Promise(4000, 4000, is_up_to=True)


@pytest.mark.parametrize("making", [True, False])
def test_events_of_plan_and_run_go_to_who_sees_one_of_their_hosts(
    person: User, host: Host, making: bool, monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    told: list[tuple[tuple[str, ...], Any]] = []
    monkeypatch.setattr(
        "images.live.progress.publish", lambda *topics, host_id, data: told.append((topics, host_id))
    )
    policy = policy_for(host)
    factories.make_host("elsewhere")
    with django_capture_on_commit_callbacks(execute=True):
        plan = planned(policy, person)
        if not making:
            told.clear()
            runs.run_start(by=person, plan=plan)
    topic = f"plan:{plan.pk}" if making else f"run:{Run.objects.get().pk}"
    mine = [hosts for topics, hosts in told if topic in topics]
    assert mine
    assert all(hosts == [host.pk] for hosts in mine)


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"state": HostState.OFFLINE}, "host_offline"),
        ({"is_enabled": False}, "host_disabled"),
        ({"synced_at": None}, "host_never_synced"),
        ({"state": HostState.NEW}, "host_never_synced"),
        ({"synced_at": datetime(2026, 1, 1, tzinfo=UTC)}, "inventory_old"),
    ],
)
def test_host_that_is_not_known_well_enough_loses_nothing(
    person: User, host: Host, fields: dict[str, Any], warning: str
) -> None:
    Host.objects.filter(pk=host.pk).update(**fields)
    plan = planned(policy_for(host), person)
    assert plan.item_count == 0
    assert HostPlan.objects.get(plan=plan).warning == warning


def test_pins_jobs_and_containers_of_the_database_are_guards(person: User, host: Host) -> None:
    pinned, wanted, used = Copy.objects.filter(host=host)
    Pin.objects.create(image=pinned.image, reason="Audit")
    Job.objects.create(kind="push", host=host, parameters={"image": wanted.engine_id})
    Copy.objects.filter(pk=used.pk).update(container_count=1)
    plan = planned(policy_for(host), person)
    codes = HostPlan.objects.get(plan=plan).survivors.order_by("pk").values_list("reason_code", flat=True)
    assert sorted(codes) == ["in_use", "pinned", "wanted"]


def test_pin_that_has_ended_or_is_of_another_host_is_none(person: User, host: Host) -> None:
    ended, elsewhere, _ = Copy.objects.filter(host=host)
    Pin.objects.create(image=ended.image, reason="x", ends_at=timezone.now() - timedelta(hours=1))
    Pin.objects.create(image=elsewhere.image, host=factories.make_host(), reason="x")
    assert planned(policy_for(host), person).item_count == 3


def test_minimum_age_counts_from_arrival(person: User, host: Host) -> None:
    factories.make_copy(host, arrived_at=timezone.now() - timedelta(hours=23))
    plan = planned(policy_for(host, minimum_age_hours=24), person)
    assert plan.item_count == 3


def test_plan_is_made_once_however_often_it_is_delivered(person: User, host: Host) -> None:
    plan = planned(policy_for(host), person)
    planning.plan_carry_out(plan.pk)
    assert Item.objects.filter(host_plan__plan=plan).count() == 3


def test_plan_of_a_killed_worker_is_made_anew(person: User, host: Host) -> None:
    plan = policies.plan_make(by=person, policy=policy_for(host))
    Plan.objects.filter(pk=plan.pk).update(claimed_at=timezone.now())
    HostPlan.objects.create(plan=plan, host=host)
    planning.plan_carry_out(plan.pk)
    plan.refresh_from_db()
    assert plan.state == PlanState.MAKING, "somebody is at it"
    Plan.objects.filter(pk=plan.pk).update(claimed_at=timezone.now() - timedelta(minutes=3))
    planning.plan_carry_out(plan.pk)
    plan.refresh_from_db()
    assert (plan.state, plan.item_count) == (PlanState.READY, 3)


# By hand


def test_run_has_a_job_for_each_host_that_loses_something(person: User, host: Host) -> None:
    empty = factories.make_host("empty")
    policy = rows.make_policy(hosts=[host, empty])
    run = runs.run_start(by=person, plan=planned(policy, person))
    assert run.state == RunState.RUNNING
    job = Job.objects.get(kind="cleanup")
    assert (job.host, job.created_by) == (host, person)
    assert run.host_runs.get().job == job


def test_plan_runs_once(person: User, host: Host) -> None:
    plan = planned(policy_for(host), person)
    runs.run_start(by=person, plan=plan)
    with pytest.raises(UserError) as error:
        runs.run_start(by=person, plan=plan)
    assert error.value.code == "plan_used"
    assert Run.objects.count() == 1


def test_plan_that_can_not_be_run_is_refused(person: User, host: Host) -> None:
    policy = policy_for(host)
    refused("plan_not_ready", person, policies.plan_make(by=person, policy=policy))
    plan = planned(policy, person)
    Plan.objects.filter(pk=plan.pk).update(expires_at=timezone.now())
    refused("plan_expired", person, plan)
    plan = planned(policy, person)
    policies.cleanup_pause(by=person, is_paused=True, reason="x")
    refused("cleanup_paused", person, plan)
    policies.cleanup_pause(by=person, is_paused=False)
    Policy.objects.filter(pk=policy.pk).update(revision=2)
    refused("plan_outdated", person, plan)
    Copy.objects.all().delete()
    refused("plan_empty", person, planned(Policy.objects.get(pk=policy.pk), person))


@pytest.mark.parametrize("limit", [{"limit_items": 2}, {"limit_bytes": 2999}])
def test_run_above_a_limit_waits_for_approval(person: User, host: Host, limit: dict[str, int]) -> None:
    run = runs.run_start(by=person, plan=planned(policy_for(host, **limit), person))
    assert (run.state, run.waiting_reason) == (RunState.WAITING, "limit")
    assert not Job.objects.exists()
    other = factories.make_admin("other")
    run = runs.run_approve(by=other, run=run)
    assert (run.state, run.approved_by) == (RunState.RUNNING, other)
    assert Job.objects.count() == 1
    with pytest.raises(UserError):
        runs.run_approve(by=other, run=run)


def test_run_at_its_limit_goes(person: User, host: Host) -> None:
    plan = planned(policy_for(host, limit_items=3, limit_bytes=3000), person)
    assert runs.run_start(by=person, plan=plan).state == RunState.RUNNING


def test_waiting_run_expires_with_its_plan(person: User, host: Host) -> None:
    run = runs.run_start(by=person, plan=planned(policy_for(host, limit_items=1), person))
    runs.runs_due(timezone.now() + timedelta(hours=25))
    run.refresh_from_db()
    assert run.state == RunState.EXPIRED


def test_later_run_takes_the_place_of_one_that_waits(person: User, host: Host) -> None:
    """Each would remove the same images, and only the last plan is true now."""
    policy = policy_for(host, limit_items=1)
    first = runs.run_start(by=person, plan=planned(policy, person))
    elsewhere = runs.run_start(by=person, plan=planned(policy_for(host, limit_items=1), person))
    second = runs.run_start(by=person, plan=planned(policy, person))
    for run in (first, elsewhere, second):
        run.refresh_from_db()
    assert (first.state, first.waiting_reason) == (RunState.CANCELLED, "replaced")
    assert (second.state, elsewhere.state) == (RunState.WAITING, RunState.WAITING)
    with pytest.raises(UserError):
        runs.run_approve(by=person, run=first)
    Policy.objects.filter(pk=policy.pk).update(limit_items=None)
    third = runs.run_start(by=person, plan=planned(Policy.objects.get(pk=policy.pk), person))
    second.refresh_from_db()
    assert (third.state, second.state) == (RunState.RUNNING, RunState.CANCELLED)


def test_cancelled_before_its_job_began_leaves_all(person: User, host: Host) -> None:
    run = runs.run_start(by=person, plan=planned(policy_for(host), person))
    runs.run_cancel(by=person, run=run)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert set(Item.objects.values_list("state", "outcome_code")) == {("skipped", "run_cancelled")}
    with pytest.raises(UserError):
        runs.run_cancel(by=person, run=run)


def test_run_whose_job_was_lost_for_good_ends(person: User, host: Host) -> None:
    run = runs.run_start(by=person, plan=planned(policy_for(host), person))
    first, second, _third = Item.objects.all()
    Item.objects.filter(pk=first.pk).update(state=ItemState.REMOVED)
    Item.objects.filter(pk=second.pk).update(state=ItemState.RUNNING)
    Job.objects.update(state=JobState.LOST)
    runs.runs_due(timezone.now())
    run.refresh_from_db()
    assert run.state == RunState.PARTIAL
    assert sorted(Item.objects.values_list("state", flat=True)) == ["removed", "skipped", "unknown"]


def ended(plan: Plan, person: User) -> Run:
    run = runs.run_start(by=person, plan=plan)
    Item.objects.update(state=ItemState.REMOVED)
    Job.objects.update(state=JobState.SUCCEEDED)
    runs.run_settle(run)
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": HostState.OFFLINE}, RunState.PARTIAL),
        ({"synced_at": datetime(2026, 1, 1, tzinfo=UTC)}, RunState.PARTIAL),
        ({"is_enabled": False}, RunState.SUCCEEDED),  # on purpose
        ({}, RunState.SUCCEEDED),
    ],
)
def test_run_with_a_host_that_had_to_be_left_out_is_partial(
    person: User, host: Host, fields: dict[str, Any], state: RunState
) -> None:
    other = factories.make_host("other")
    Host.objects.filter(pk=other.pk).update(**fields)
    run = ended(planned(rows.make_policy(hosts=[host, other]), person), person)
    assert run.state == state


def test_scheduled_run_whose_only_host_is_offline_has_failed(host: Host, night: Any) -> None:
    Host.objects.update(state=HostState.OFFLINE)
    scheduled(host)
    runs.runs_due(timezone.now())
    plan_all()
    assert [run.state for run in Run.objects.all()] == [RunState.FAILED]


def test_unknown_items_are_settled_by_the_next_look_at_the_host(person: User, host: Host) -> None:
    run = runs.run_start(by=person, plan=planned(policy_for(host), person))
    Item.objects.update(state=ItemState.RUNNING)
    Job.objects.update(state=JobState.LOST)
    runs.runs_due(timezone.now())
    items_due(timezone.now())
    assert set(Item.objects.values_list("state", flat=True)) == {"unknown"}, "nobody has looked yet"
    gone, *_ = Item.objects.all()
    Copy.objects.filter(engine_id=gone.engine_id).delete()
    Host.objects.update(synced_at=timezone.now() + timedelta(seconds=1))
    items_due(timezone.now())
    assert sorted(Item.objects.values_list("state", flat=True)) == ["removed", "unknown", "unknown"]
    Host.objects.update(synced_at=timezone.now() + timedelta(seconds=30))
    items_due(timezone.now())
    assert sorted(Item.objects.values_list("state", flat=True)) == ["failed", "failed", "removed"]
    run.refresh_from_db()
    assert run.state == RunState.PARTIAL


def test_policy_with_a_run_going_on_can_not_be_removed(person: User, host: Host) -> None:
    policy = policy_for(host)
    run = runs.run_start(by=person, plan=planned(policy, person))
    with pytest.raises(UserError) as error:
        policies.policy_remove(by=person, policy=policy)
    assert error.value.code == "policy_running"
    runs.run_cancel(by=person, run=run)
    policies.policy_remove(by=person, policy=policy)
    assert not Plan.objects.exists()


# By schedule


def scheduled(host: Host, **fields: Any) -> Policy:
    defaults = {"schedule": "0 3 * * *", "next_run_at": SLOT, "seen_revision": 1}
    return policy_for(host, **(defaults | fields))


@pytest.fixture
def night(host: Host) -> Any:
    """The slot has just come, and the inventory is fresh."""
    with time_machine.travel(SLOT + timedelta(seconds=10), tick=False) as traveller:
        Host.objects.update(synced_at=timezone.now())
        Copy.objects.update(arrived_at=SLOT - timedelta(days=9))
        yield traveller


def plan_all() -> None:
    for plan in Plan.objects.filter(state=PlanState.MAKING):
        planning.plan_carry_out(plan.pk)


def test_cleanup_is_asked_on_every_tick() -> None:
    assert tasks.make_plan.name == "cleanup.tasks.make_plan"
    assert {runs.runs_due, planning.plans_due, items_due} <= set(TICKS)


def test_scheduled_run_starts_by_itself(host: Host, night: Any) -> None:
    policy = scheduled(host)
    assert runs.runs_due(timezone.now()) == 1
    run = Run.objects.get()
    assert (run.state, run.slot, run.is_late, run.started_by) == (RunState.PLANNING, SLOT, False, None)
    plan_all()
    run.refresh_from_db()
    assert run.state == RunState.RUNNING
    policy.refresh_from_db()
    assert policy.next_run_at == SLOT + timedelta(days=1)


def test_two_ticks_at_once_start_one_run(host: Host, night: Any) -> None:
    policy = scheduled(host)
    stale = Policy.objects.get(pk=policy.pk)
    assert runs._slot_claim(policy, timezone.now())
    assert not runs._slot_claim(stale, timezone.now())
    assert Run.objects.count() == 1


def test_slot_that_was_run_already_is_not_run_again(host: Host, night: Any) -> None:
    policy = scheduled(host)
    runs.runs_due(timezone.now())
    Policy.objects.update(next_run_at=SLOT)
    assert runs.runs_due(timezone.now()) == 0
    policy.refresh_from_db()
    assert policy.next_run_at == SLOT + timedelta(days=1)
    assert Run.objects.count() == 1


def test_missed_slots_run_once_late_and_say_so(host: Host, night: Any) -> None:
    policy = scheduled(host)
    night.move_to(SLOT + timedelta(days=3, hours=2))
    runs.runs_due(timezone.now())
    run = Run.objects.get()
    assert (run.slot, run.is_late) == (SLOT + timedelta(days=3), True)
    policy.refresh_from_db()
    assert policy.next_run_at == SLOT + timedelta(days=4)
    assert runs.runs_due(timezone.now()) == 0


@pytest.mark.parametrize(("cron", "is_late"), [("* * * * *", False), ("*/30 * * * *", True)])
def test_run_is_late_by_its_own_slot_and_not_by_those_missed_before(
    host: Host, night: Any, cron: str, is_late: bool
) -> None:
    scheduled(host, schedule=cron)
    night.move_to(SLOT + timedelta(hours=2, minutes=10, seconds=20))
    runs.runs_due(timezone.now())
    assert Run.objects.get().is_late is is_late


@pytest.mark.parametrize(
    ("first", "slots"),
    [
        # Berlin, 02:30: does not exist on 29 March, comes twice on 25 October.
        (datetime(2026, 3, 28, 1, 30, tzinfo=UTC), ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        (datetime(2026, 10, 24, 0, 30, tzinfo=UTC), ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
    ],
)
def test_daylight_saving_neither_skips_nor_repeats_a_run(
    host: Host, first: datetime, slots: list[str]
) -> None:
    scheduled(host, schedule="30 2 * * *", time_zone="Europe/Berlin", next_run_at=first)
    moment = first
    while moment < first + timedelta(days=2, hours=4):
        with time_machine.travel(moment, tick=False):
            runs.runs_due(timezone.now())
        moment += timedelta(minutes=15)
    found = Run.objects.order_by("slot").values_list("slot", flat=True)
    assert [f"{slot:%m-%d %H:%M}" for slot in found if slot] == slots


def test_revision_nobody_has_looked_at_waits(host: Host, person: User, night: Any) -> None:
    scheduled(host, seen_revision=0)
    runs.runs_due(timezone.now())
    plan_all()
    run = Run.objects.get()
    assert (run.state, run.waiting_reason) == (RunState.WAITING, "unseen")
    assert runs.run_approve(by=person, run=run).state == RunState.RUNNING
    assert not Policy.objects.get().needs_a_look, "who approves has looked"


def test_scheduled_run_above_a_limit_waits(host: Host, night: Any) -> None:
    scheduled(host, limit_items=1)
    runs.runs_due(timezone.now())
    plan_all()
    assert Run.objects.get().waiting_reason == "limit"


def test_paused_cleanup_starts_nothing_and_says_so(host: Host, person: User, night: Any) -> None:
    scheduled(host)
    policies.cleanup_pause(by=person, is_paused=True, reason="x")
    runs.runs_due(timezone.now())
    run = Run.objects.get()
    assert (run.state, run.waiting_reason) == (RunState.CANCELLED, "paused")
    assert not Plan.objects.exists()


def test_pause_during_planning_makes_it_wait(host: Host, person: User, night: Any) -> None:
    scheduled(host)
    runs.runs_due(timezone.now())
    policies.cleanup_pause(by=person, is_paused=True, reason="x")
    plan_all()
    runs.runs_due(timezone.now())
    run = Run.objects.get()
    assert (run.state, run.waiting_reason) == (RunState.WAITING, "paused")


def held_by_pause(host: Host, person: User, **fields: Any) -> Run:
    scheduled(host, **fields)
    runs.runs_due(timezone.now())
    policies.cleanup_pause(by=person, is_paused=True, reason="x")
    plan_all()
    return Run.objects.get()


def test_run_that_waits_because_of_the_pause_goes_on_when_it_is_over(
    host: Host, person: User, night: Any
) -> None:
    run = held_by_pause(host, person)
    policies.cleanup_pause(by=person, is_paused=False)
    runs.runs_due(timezone.now())
    run.refresh_from_db()
    assert run.state == RunState.RUNNING


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({"revision": 2}, RunState.WAITING, "unseen"),
        ({"limit_items": 1}, RunState.WAITING, "limit"),
        ({"is_enabled": False}, RunState.CANCELLED, "off"),
    ],
)
def test_what_changed_during_the_pause_holds_the_run(
    host: Host, person: User, night: Any, fields: dict[str, Any], state: RunState, reason: str
) -> None:
    run = held_by_pause(host, person)
    Policy.objects.update(**fields)
    policies.cleanup_pause(by=person, is_paused=False)
    runs.runs_due(timezone.now())
    run.refresh_from_db()
    assert (run.state, run.waiting_reason) == (state, reason)


def test_run_with_nothing_to_remove_succeeds(host: Host, night: Any) -> None:
    Copy.objects.all().delete()
    scheduled(host)
    runs.runs_due(timezone.now())
    plan_all()
    run = Run.objects.get()
    assert (run.state, run.freed_bytes) == (RunState.SUCCEEDED, 0)


def test_policy_that_is_off_does_not_run(host: Host, night: Any) -> None:
    scheduled(host, is_enabled=False)
    assert runs.runs_due(timezone.now()) == 0


def test_plan_that_could_not_be_made_fails_the_run(host: Host, night: Any) -> None:
    policy = scheduled(host)
    policy.rules.update(kind="gone in this version")
    runs.runs_due(timezone.now())
    plan_all()
    assert Run.objects.get().state == RunState.FAILED
