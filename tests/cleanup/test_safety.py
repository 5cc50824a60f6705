"""What must hold between the look at a plan and the last image of its run. Every test here was a hole once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from cleanup import runs, settling
from cleanup.guards import Guards
from cleanup.loading import wanted_by
from cleanup.models import HostPlan, Item, Plan, PlanState, Run, RunState, Survivor
from images.commands.copy import copy_start
from images.engine.snapshots import ContainerSummary, ImageSummary
from images.errors import UserError
from images.hosts import changes, freshness, last_use
from images.models import Copy, Host, HostGroup, ItemState, Job, Pin
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    now = timezone.now()
    return factories.make_host(
        "r",
        use_known_since=now - timedelta(days=100),
        watched_since=now,
        watcher_lease_until=now + timedelta(minutes=1),
        root_directory="/var/lib/docker",
        engine_id="ID",
    )


def part_of(host: Host, **fields: Any) -> HostPlan:
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    return HostPlan.objects.create(plan=plan, host=host, inventory_at=timezone.now(), **fields)


def item_on(host: Host, name: str = "app:1", **fields: Any) -> Item:
    copy = factories.make_copy(host, name, arrived_at=timezone.now() - timedelta(days=90))
    return Item.objects.create(
        host_plan=part_of(host), position=0, copy=copy, engine_id=copy.engine_id, name=name, references=[name],
        **fields,
    )  # fmt: skip


def held(
    monkeypatch: pytest.MonkeyPatch, item: Item, containers: Sequence[ContainerSummary] = (), **options: Any
) -> str:
    """What holds the item back, "" for nothing; the engine is asked for its containers and for single images."""
    there = ImageSummary(item.engine_id)
    monkeypatch.setattr("images.engine.read.list_containers", lambda engine: list(containers))
    monkeypatch.setattr("images.engine.read.find_image", lambda engine, name: options.pop("found", there))
    host = item.host_plan.host
    made_at = item.host_plan.inventory_at or timezone.now()
    guards = Guards(
        host, [item], made_at=made_at, minimum_age=timedelta(hours=24),
        keep_needs_use=options.pop("keep_needs_use", False),
    )  # fmt: skip
    engine: Any = None
    stops = guards.stops(engine, [item], timezone.now())
    return stops[item.pk][0] if item.pk in stops else ""


def test_image_that_came_again_without_a_row_is_kept(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    item = item_on(host)
    assert held(monkeypatch, item) == ""
    Copy.objects.all().delete()
    assert held(monkeypatch, item) == "not_in_inventory"
    assert held(monkeypatch, item, found=None) == "", "what is gone needs no guard"


@pytest.mark.parametrize("lost", ["gap open", "gap closed after the plan", "watcher died"])
def test_rule_on_use_keeps_once_use_is_not_known_without_a_gap(
    monkeypatch: pytest.MonkeyPatch, host: Host, lost: str
) -> None:
    by_use, by_age = (
        item_on(host, "app:1", rule_kind="unused_for"),
        item_on(host, "app:2", rule_kind="older_than"),
    )
    assert held(monkeypatch, by_use) == ""
    now = timezone.now()
    values: dict[str, dict[str, Any]] = {
        "gap open": {"use_known_since": None},
        "gap closed after the plan": {"use_known_since": now + timedelta(seconds=1)},
        "watcher died": {"watcher_lease_until": now - timedelta(seconds=1)},
    }
    Host.objects.filter(pk=host.pk).update(**values[lost])
    assert held(monkeypatch, by_use) == "use_lost"
    assert held(monkeypatch, by_age) == ""
    assert held(monkeypatch, by_age, keep_needs_use=True) == "use_lost"


def test_container_that_names_its_image_by_manifest_counts_on_the_containerd_store(
    monkeypatch: pytest.MonkeyPatch, host: Host
) -> None:
    item = item_on(host)
    other = ContainerSummary("c1", "web", f"sha256:{'9' * 64}", "app:1")
    assert held(monkeypatch, item, [other]) == "", "on a graph driver the ID says it all"
    Host.objects.filter(pk=host.pk).update(store_kind="containerd")
    assert held(monkeypatch, item, [other]) == "in_use"


def test_scheduled_run_whose_plan_expired_while_it_waited_never_begins(host: Host) -> None:
    policy = rows.make_policy(hosts=[host], seen_revision=1)
    then = timezone.now() - timedelta(days=3)
    plan = rows.make_plan(policy, expires_at=then)
    rows.add_host(plan, host)
    run = Run.objects.create(policy=policy, plan=plan, slot=then)
    runs.runs_due(timezone.now())
    run.refresh_from_db()
    assert (run.state, run.host_runs.count()) == (RunState.EXPIRED, 0)


def test_scheduled_run_of_a_policy_switched_off_meanwhile_never_begins(host: Host) -> None:
    policy = rows.make_policy(hosts=[host], seen_revision=1, is_enabled=False)
    plan = rows.make_plan(policy)
    rows.add_host(plan, host)
    run = Run.objects.create(policy=policy, plan=plan, slot=timezone.now())
    runs.runs_due(timezone.now())
    run.refresh_from_db()
    assert (run.state, run.host_runs.count()) == (RunState.CANCELLED, 0)


def begun(host: Host, **policy: Any) -> tuple[Run, Plan]:
    made = rows.make_policy(**({"hosts": [host]} | policy))
    plan = rows.make_plan(made)
    rows.add_host(plan, host, engine_mark=host.engine_mark)
    return runs.run_start(by=factories.make_admin(), plan=plan), plan


def test_nothing_holds_a_run_that_is_as_it_was(host: Host) -> None:
    run, _ = begun(host)
    assert runs.run_hold(run.host_runs.get()) == ""


def test_run_stops_when_its_plan_expires_or_its_policy_changes(host: Host) -> None:
    run, plan = begun(host)
    Plan.objects.filter(pk=plan.pk).update(expires_at=timezone.now())
    assert runs.run_hold(run.host_runs.get()) == "plan_expired"
    plan.policy.revision += 1
    plan.policy.save()
    assert runs.run_hold(run.host_runs.get()) == "plan_outdated"


def test_run_stops_on_a_host_that_was_switched_off(host: Host) -> None:
    run, _ = begun(host)
    Host.objects.update(is_enabled=False)
    assert runs.run_hold(run.host_runs.get()) == "host_off"


def test_run_stops_on_a_host_that_left_the_scope(host: Host) -> None:
    group = HostGroup.objects.create(name="ci")
    host.groups.add(group)
    run, _ = begun(host, hosts=(), groups=[group])
    host.groups.clear()
    assert runs.run_hold(run.host_runs.get()) == "out_of_scope"


def test_run_stops_when_who_started_it_loses_the_right(host: Host) -> None:
    run, _ = begun(host)
    assert run.started_by
    run.started_by.is_active = False
    run.started_by.save()
    assert runs.run_hold(run.host_runs.get()) == "right_withdrawn"


def test_plan_of_an_engine_that_moved_away_can_not_be_started(host: Host) -> None:
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    rows.add_host(plan, host, engine_mark=host.engine_mark)
    changes.host_edit(by=factories.make_admin("root"), host=host, name="r", address="tcp://elsewhere:2375")
    with pytest.raises(UserError) as refused:
        runs.run_start(by=factories.make_admin("ada"), plan=plan)
    assert refused.value.code == "engine_changed"
    assert not Copy.objects.filter(host=host).exists(), "what the old engine held says nothing of the new one"


def test_editing_a_host_does_not_close_a_gap_that_opened_meanwhile(host: Host) -> None:
    stale = Host.objects.get(pk=host.pk)
    last_use.watch_ended(Host.objects.filter(pk=host.pk))
    changes.host_edit(by=factories.make_admin(), host=stale, name="renamed", address=stale.address)
    host.refresh_from_db()
    assert (host.name, host.use_known_since, host.watched_since) == ("renamed", None, None)


@pytest.mark.parametrize("state", [PlanState.MAKING, PlanState.FAILED])
def test_plan_that_nobody_could_see_releases_no_policy(client: Any, host: Host, state: PlanState) -> None:
    policy = rows.make_policy(hosts=[host])
    plan = rows.make_plan(policy, state=state, expires_at=None, made_at=None)
    client.force_login(factories.make_admin())
    client.post(reverse("cleanup:plan-seen", args=[plan.pk]))
    policy.refresh_from_db()
    assert policy.needs_a_look


def test_pins_follow_a_copy_whose_content_becomes_another_row(host: Host) -> None:
    copy = factories.make_copy(host, "app:1")
    elsewhere = factories.make_host("elsewhere")
    for where in (host, None, elsewhere):
        Pin.objects.create(image=copy.image, host=where, reason="Audit")
    other = factories.make_image()
    from images.inventory.contents import Known
    from images.inventory.copies import copies_write

    known = {copy.engine_id: Known(other.pk, None, 5)}
    copies_write(host, [ImageSummary(copy.engine_id, references=("app:1",))], known, timezone.now())
    copy.refresh_from_db()
    assert copy.image_id == other.pk
    assert {pin.host for pin in Pin.objects.filter(image=other)} == {host, None}


def test_item_cut_off_with_references_missing_is_not_settled_before_it_has_them_back(
    host: Host, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[tuple[Any, ...]] = []
    monkeypatch.setattr(settling, "wake", lambda *args, **options: woken.append(args))
    item = item_on(host, "app:1", state=ItemState.UNKNOWN, journal=["app:1", "app:1.0"])
    ended = timezone.now() - timedelta(minutes=10)
    Item.objects.filter(pk=item.pk).update(ended_at=ended)
    Host.objects.filter(pk=host.pk).update(state_since=ended)
    run = Run.objects.create(
        policy=item.host_plan.plan.policy, plan=item.host_plan.plan, state=RunState.FAILED
    )
    run.host_runs.create(host_plan=item.host_plan, host=host, state=RunState.FAILED)
    with django_capture_on_commit_callbacks(execute=True):
        settling.items_due(timezone.now())
    item.refresh_from_db()
    assert item.state == ItemState.UNKNOWN
    assert woken == [("cleanup.tasks.restore_references", host.pk)]
    Item.objects.filter(pk=item.pk).update(journal=[])
    settling.items_due(timezone.now())
    item.refresh_from_db()
    assert (item.state, item.outcome_code) == (ItemState.FAILED, "not_carried_out")


def test_old_plans_go_and_runs_keep_their_items(host: Host) -> None:
    policy = rows.make_policy(hosts=[host])
    never, used, young = (rows.make_plan(policy) for _ in range(3))
    for plan in (never, used, young):
        rows.add_host(plan, host, removed=2, kept=3)
    rows.make_run(used, RunState.SUCCEEDED)
    old = timezone.now() - timedelta(days=15)
    Plan.objects.filter(pk__in=[never.pk, used.pk]).update(created_at=old)
    settling.plans_forget(timezone.now())
    assert set(Plan.objects.all()) == {used, young}
    assert Item.objects.filter(host_plan__plan=used).count() == 2
    assert not Survivor.objects.filter(host_plan__plan=used).exists()
    assert Survivor.objects.filter(host_plan__plan=young).count() == 3


def test_another_engine_at_the_same_address_starts_from_nothing(host: Host) -> None:
    from images.engine.snapshots import EngineInfo

    factories.make_copy(host, "app:1")
    freshness.host_reached(host, EngineInfo(engine_id="ID", root_directory="/var/lib/docker"))
    assert Copy.objects.filter(host=host).count() == 1
    freshness.host_reached(host, EngineInfo(engine_id="NEW", root_directory="/var/lib/docker"))
    assert not Copy.objects.filter(host=host).exists()


def test_image_that_a_copy_to_another_host_waits_for_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job stands at the target; what it reads is here."""
    item = item_on(host)
    assert held(monkeypatch, item) == ""
    copies = Copy.objects.filter(host=host).select_related("host", "image")
    [job] = copy_start(by=factories.make_admin(), copies=list(copies), hosts=[factories.make_host("target")])
    assert wanted_by(host)[item.engine_id] == {"job": job.pk, "kind": "copy"}
    assert held(monkeypatch, item) == "wanted"
    Job.objects.update(state="cancelled")
    assert held(monkeypatch, item) == ""
