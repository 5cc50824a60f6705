"""Cleanup on a real engine: what is promised is freed, and what changed after the plan is left alone."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cleanup import executor, runs, settling
from cleanup.guards import Guards
from cleanup.models import HostRun, Item, RunState
from cleanup.policies import cleanup_pause
from config.demo import images as demo
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images.engine import remove
from images.engine.client import Connection, Engine, EngineCut, open_engine
from images.inventory import picture
from images.jobs.context import JobContext, JobStopped
from images.jobs.life import job_cancel, job_carry_out, job_claim
from images.models import Copy, Host, HostState, ItemState, Job, JobState, Pin, User
from images.models import Image as ImageRow
from tests import factories
from tests.engine.cleaning import (
    BASE,
    TOOLS,
    app,
    apps,
    carried_out,
    is_as_promised,
    names_on,
    outcomes,
    planned,
    policy_for,
)
from tests.engine.freed import registered

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def person() -> User:
    return factories.make_admin()


def test_freed_is_as_promised(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        demo.load(api, *apps(12), Image(["other:1"], [BASE, Layer("other", 70_000)]))
        demo.load_dangling(api, Image([], [BASE, Layer("lost", 90_000)]))
    host = registered(engine.address)
    rules: Any = (("delete", "beyond_newest", {"count": 3, "order": "version"}), ("delete", "dangling", {}))
    plan = planned(policy_for(host, *rules), person)
    assert plan.item_count == 10
    run = carried_out(runs.run_start(by=person, plan=plan))
    assert run.state == RunState.SUCCEEDED
    assert is_as_promised(run, plan)
    assert plan.promised_bytes > 0
    host_run = run.host_runs.get()
    assert not host_run.was_disturbed
    assert names_on(engine) == {"shop/app:1.9", "shop/app:1.10", "shop/app:1.11", "other:1"}
    assert Copy.objects.filter(host=host).count() == 4


def test_untagged_parents_of_a_classic_build_are_items_and_go_along(
    engine: PrivateEngine, person: User
) -> None:
    with engine.client() as api:
        demo.load(api, Image(["base:1"], [TOOLS]))
        dockerfile = "FROM base:1\nCOPY a /a\nENV x=1\nCOPY b /b\n"
        demo.build(api, dockerfile, tag="built:1", files={"a": b"a" * 5000, "b": b"b" * 7000})
    host = registered(engine.address)
    policy = policy_for(
        host, ("delete", "tag_pattern", {"pattern": "built:*", "syntax": "glob", "target": "reference"})
    )
    plan = planned(policy, person)
    assert Item.objects.filter(host_plan__plan=plan, is_parent=True).count() == 2
    run = carried_out(runs.run_start(by=person, plan=plan))
    assert run.state == RunState.SUCCEEDED, outcomes(plan)
    assert is_as_promised(run, plan)
    assert plan.promised_bytes >= 12_000
    assert {state for state, _ in outcomes(plan).values()} == {ItemState.REMOVED}


@pytest.mark.parametrize("start", [True, False])
def test_container_that_came_after_the_plan_keeps_its_image(
    engine: PrivateEngine, person: User, start: bool
) -> None:
    with engine.client() as api:
        demo.load(api, *(Image([f"t:{n}"], [TOOLS, Layer(f"t{n}", 1000)]) for n in range(3)))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    with engine.client() as api:
        demo.run_container(api, "t:0", "late", start=start)
    run = carried_out(runs.run_start(by=person, plan=plan))
    assert run.state == RunState.PARTIAL
    assert outcomes(plan) == {"t:0": ("skipped", "in_use"), "t:1": ("removed", "")}
    assert names_on(engine) == {"t:0", "t:2"}


def test_pin_that_came_after_the_plan_holds(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        demo.load(api, *apps(3))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    pinned = Copy.objects.get(host=host, tag="1.0")
    Pin.objects.create(image=pinned.image, reason="Audit", created_by=person)
    carried_out(runs.run_start(by=person, plan=plan))
    assert outcomes(plan) == {"shop/app:1.0": ("skipped", "pinned"), "shop/app:1.1": ("removed", "")}
    assert "shop/app:1.0" in names_on(engine)


def test_tag_that_moved_after_the_plan_leaves_both_images_alone(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        ids = demo.load(api, *apps(4))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    with engine.client() as api:
        api.tag(ids["shop/app:1.1"], "shop/app", "1.0")
    carried_out(runs.run_start(by=person, plan=plan))
    assert outcomes(plan) == {
        "shop/app:1.0": ("skipped", "image_changed"),
        "shop/app:1.1": ("skipped", "image_changed"),
        "shop/app:1.2": ("removed", ""),
    }
    assert {"shop/app:1.0", "shop/app:1.1"} <= names_on(engine)


def test_image_that_comes_to_match_after_the_plan_stays(engine: PrivateEngine, person: User) -> None:
    """One that came, one that lost its container and one that a newer version overtook: none is in the plan."""
    with engine.client() as api:
        demo.load(api, *apps(3), Image(["shop/app:1.3"], [TOOLS]), Image(["shop/app:1.4"], [BASE, TOOLS]))
        demo.run_container(api, "shop/app:1.3", "old", start=False)
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    assert set(outcomes(plan)) == {"shop/app:1.0", "shop/app:1.1", "shop/app:1.2"}
    with engine.client() as api:
        api.remove_container("old")
        demo.load(api, app("0.1"), app("1.5"))
    with open_engine(Connection.of(host)) as connected:
        picture.sync(host, connected)
    again = planned(policy_for(host, name="again"), person)
    assert set(outcomes(again)) > {"shop/app:0.1", "shop/app:1.3", "shop/app:1.4"}, (
        "a new plan would take them"
    )
    run = carried_out(runs.run_start(by=person, plan=plan))
    assert run.state == RunState.SUCCEEDED
    assert names_on(engine) == {"shop/app:0.1", "shop/app:1.3", "shop/app:1.4", "shop/app:1.5"}


def test_image_with_several_references_goes_with_all_of_them(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        demo.load(api, app("1.0", "shop/app:1.0.0", "mirror.example:5000/app:1"), app("2.0"))
    host = registered(engine.address)
    plan = planned(
        policy_for(host, ("delete", "tag_pattern", {"pattern": "1*", "syntax": "glob", "target": "tag"})),
        person,
    )
    run = carried_out(runs.run_start(by=person, plan=plan))
    assert run.state == RunState.SUCCEEDED
    assert names_on(engine) == {"shop/app:2.0"}


def test_refused_image_with_several_references_gets_them_back(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.client() as api:
        demo.load(api, Image(["t:1", "t:1.0", "t:1.0.0"], [TOOLS]), Image(["t:2"], [TOOLS, BASE]))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    with engine.client() as api:
        demo.run_container(api, "t:1", "late", start=False)
    # The container is there and its guard did not see it: the engine's own refusal is the last one.
    monkeypatch.setattr(Guards, "stops", lambda *args: {})
    carried_out(runs.run_start(by=person, plan=plan))
    assert [*outcomes(plan).values()] == [("skipped", "image_in_use")]
    assert names_on(engine) == {"t:1", "t:1.0", "t:1.0.0", "t:2"}


def test_killed_worker_resumes_and_does_nothing_twice(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        demo.load(api, *apps(6), app("0.9", "shop/app:0.9.0"))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    run = runs.run_start(by=person, plan=plan)
    first, second = Item.objects.filter(host_plan__plan=plan, name__startswith="shop/app:1").order_by("name")[
        :2
    ]
    several = Item.objects.get(host_plan__plan=plan, name__startswith="shop/app:0.9")
    # What a worker leaves that was killed in the middle of a batch, in a job that is queued again.
    with engine.client() as api:
        api.remove_image(first.engine_id)  # done, and not written down yet
        api.remove_image("shop/app:0.9.0")  # one of two references is gone
    Item.objects.filter(pk__in=[first.pk, second.pk, several.pk]).update(state=ItemState.RUNNING)
    Item.objects.filter(pk=several.pk).update(journal=several.references)
    host_run = run.host_runs.get()
    job = job_claim(host_run.job_id or 0)
    assert job
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED, worker="")
    run = carried_out(run)
    assert run.state == RunState.SUCCEEDED, outcomes(plan)
    assert {state for state, _ in outcomes(plan).values()} == {ItemState.REMOVED}
    assert names_on(engine) == {"shop/app:1.5"}
    job_carry_out(job.pk)  # a second delivery
    assert names_on(engine) == {"shop/app:1.5"}


def test_engine_that_stops_leaves_items_unknown_and_the_next_sync_settles_them(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "BATCH", 2)
    with engine.client() as api:
        demo.load(api, *apps(5))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    run = runs.run_start(by=person, plan=plan)
    opened = short_calls(monkeypatch)
    marked = executor._mark_running

    def hang(items: Sequence[Item]) -> None:
        marked(items)
        engine.pause()

    monkeypatch.setattr(executor, "_mark_running", hang)
    run = carried_out(run)
    assert opened
    assert run.state == RunState.FAILED
    states = [state for state, _ in outcomes(plan).values()]
    assert states.count(ItemState.UNKNOWN) == 2
    assert states.count(ItemState.SKIPPED) == 2
    assert run.freed_bytes is None, "not measured is said, not guessed"
    engine.cont()
    with open_engine(Connection.of(host)) as connected:
        picture.sync(host, connected)
    Host.objects.filter(pk=host.pk).update(
        synced_at=timezone.now() + timedelta(minutes=1), state=HostState.ONLINE
    )
    settling.items_due(timezone.now())
    after = outcomes(plan)
    assert ItemState.UNKNOWN not in {state for state, _ in after.values()}
    for name, (state, _) in after.items():
        assert (state == ItemState.REMOVED) == (name not in names_on(engine))


def short_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Engines whose calls time out after 2 s: the minute of production is too long for a test."""
    import images.jobs.context as module

    opened: list[Any] = []

    def opener(connection: Connection, **options: Any) -> Any:
        opened.append(connection)
        return open_engine(connection, **(options | {"timeout_seconds": 2.0}))

    monkeypatch.setattr(module, "open_engine", opener)
    monkeypatch.setattr(executor, "open_engine", opener)
    return opened


def test_cancelled_run_keeps_what_is_done(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "BATCH", 2)
    with engine.client() as api:
        demo.load(api, *apps(7))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    run = runs.run_start(by=person, plan=plan)
    told = executor._Work._tell

    def tell_and_cancel(self: Any) -> None:
        told(self)
        self.context.stop = JobStopped("cancelled")

    monkeypatch.setattr(executor._Work, "_tell", tell_and_cancel)
    run = carried_out(run)
    assert run.state == RunState.PARTIAL
    assert len(names_on(engine)) == 5
    removed = Item.objects.filter(host_plan__plan=plan, state="removed").values_list("frees_bytes", flat=True)
    assert run.freed_bytes
    # With the containerd store they are told at most.
    assert run.freed_bytes == sum(removed) or (STORE == "containerd" and run.freed_bytes < sum(removed))


def test_pause_stops_a_run_before_its_next_batch(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "BATCH", 2)
    with engine.client() as api:
        demo.load(api, *apps(6))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    run = runs.run_start(by=person, plan=plan)
    told = executor._Work._tell

    def tell_and_pause(self: Any) -> None:
        told(self)
        cleanup_pause(by=person, is_paused=True, reason="Stop")

    monkeypatch.setattr(executor._Work, "_tell", tell_and_pause)
    run = carried_out(run)
    assert run.state == RunState.PARTIAL
    assert [code for _, code in outcomes(plan).values()].count("cleanup_paused") == 3


def test_somebody_else_at_the_engine_is_said_and_vanished_images_count_as_done(
    engine: PrivateEngine, person: User
) -> None:
    with engine.client() as api:
        demo.load(api, *apps(4))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    with engine.client() as api:
        api.remove_image("shop/app:1.0")
    run = carried_out(runs.run_start(by=person, plan=plan))
    assert run.state == RunState.SUCCEEDED
    assert outcomes(plan)["shop/app:1.0"] == ("gone", "image_gone")
    assert run.host_runs.get().was_disturbed


def test_engine_that_is_away_fails_the_run_and_removes_nothing(
    make_engine: Callable[..., PrivateEngine], person: User
) -> None:
    engine = make_engine("away")
    with engine.client() as api:
        demo.load(api, *apps(2))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    run = runs.run_start(by=person, plan=plan)
    engine.stop()
    run = carried_out(run)
    assert run.state == RunState.FAILED
    assert [*outcomes(plan).values()] == [("skipped", "not_reached")]
    assert HostRun.objects.get(run=run).freed_bytes is None
    assert ImageRow.objects.count() == 2


def test_plan_for_one_engine_is_never_carried_out_on_another(
    make_engine: Callable[..., PrivateEngine], person: User
) -> None:
    planned_for, other = make_engine("a"), make_engine("b")
    for each in (planned_for, other):
        with each.client() as api:
            demo.load(api, *apps(3))
    host = registered(planned_for.address)
    plan = planned(policy_for(host), person)
    run = runs.run_start(by=person, plan=plan)
    # Whoever changes the address in the database alone gets past every check but the engine's own word.
    Host.objects.filter(pk=host.pk).update(address=other.address)
    run = carried_out(run)
    assert run.state == RunState.FAILED
    assert Job.objects.get(host_run__run=run).error_code == "engine_changed"
    assert names_on(planned_for) == names_on(other) == {"shop/app:1.0", "shop/app:1.1", "shop/app:1.2"}


def test_run_that_is_cut_off_between_two_requests_gives_references_back(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.client() as api:
        demo.load(api, app("1.0", "shop/app:1.0.0", "mirror.example:5000/app:1"), app("2.0"))
    host = registered(engine.address)
    rules = ("delete", "tag_pattern", {"pattern": "1*", "syntax": "glob", "target": "tag"})
    plan = planned(policy_for(host, rules), person)
    delete = remove._delete

    def cut_first(opened: Engine, *arguments: Any, **options: Any) -> Any:
        opened.cut()
        return delete(opened, *arguments, **options)

    monkeypatch.setattr(remove, "_delete", cut_first)
    run = runs.run_start(by=person, plan=plan)
    job = job_claim(run.host_runs.get().job_id or 0)
    assert job
    with JobContext(job, 60) as context:
        context.stop = JobStopped("cancelled")
        monkeypatch.setattr(context, "check", lambda: None)
        with pytest.raises(EngineCut):
            executor.cleanup(context)
    assert names_on(engine) == {"shop/app:1.0", "shop/app:1.0.0", "mirror.example:5000/app:1", "shop/app:2.0"}
    assert [state for state, _ in outcomes(plan).values()] == [ItemState.UNKNOWN]


@pytest.mark.parametrize("reason", ["cancelled", "lost"])
def test_cut_while_the_guards_are_asked_is_told_by_its_reason(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """The SDK tells it as a fault of the connection, which it is not."""
    with engine.client() as api:
        demo.load(api, *apps(4))
    plan = planned(policy_for(registered(engine.address)), person)
    run = runs.run_start(by=person, plan=plan)
    job = Job.objects.get(host_run__run=run)
    ask = Guards.stops

    def cut_and_ask(self: Any, opened: Engine, *arguments: Any) -> Any:
        if reason == "cancelled":
            job_cancel(by=person, job=Job.objects.get(pk=job.pk))
        else:
            Job.objects.filter(pk=job.pk).update(worker="another worker, which goes on with it")
        opened.cut()
        return ask(self, opened, *arguments)

    monkeypatch.setattr(Guards, "stops", cut_and_ask)
    job_carry_out(job.pk)
    run.refresh_from_db()
    job.refresh_from_db()
    assert len(names_on(engine)) == 4
    if reason == "cancelled":
        assert (job.state, run.state) == (JobState.CANCELLED, RunState.CANCELLED)
        assert set(outcomes(plan).values()) == {("skipped", "run_cancelled")}
    else:
        assert (job.state, run.state) == (JobState.RUNNING, RunState.RUNNING)
        assert {state for state, _ in outcomes(plan).values()} == {ItemState.PENDING}


@pytest.mark.parametrize("when", ["while it asks the guards", "while it removes", "while it measures"])
def test_worker_that_was_taken_for_dead_writes_nothing_any_more(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    with engine.client() as api:
        demo.load(api, *apps(3))
    plan = planned(policy_for(registered(engine.address)), person)
    run = runs.run_start(by=person, plan=plan)
    job = Job.objects.get(host_run__run=run)
    owner, name = {
        "while it asks the guards": (Guards, "stops"),
        "while it removes": (executor._Work, "_collect"),
        "while it measures": (executor._Work, "_measure"),
    }[when]
    done: Any = getattr(owner, name)

    def lose_and_do(self: Any, *arguments: Any) -> Any:
        Job.objects.filter(pk=job.pk).update(worker="another worker, which goes on with it")
        return done(self, *arguments)

    monkeypatch.setattr(owner, name, lose_and_do)
    job_carry_out(job.pk)
    run.refresh_from_db()
    assert run.state == RunState.RUNNING
    assert run.host_runs.get().state == RunState.RUNNING
    states = {state for state, _ in outcomes(plan).values()}
    if when == "while it asks the guards":
        assert (states, len(names_on(engine))) == ({ItemState.PENDING}, 3)
    elif when == "while it removes":
        assert states == {ItemState.RUNNING}, "the successor looks at the engine for them"
    else:
        assert states == {ItemState.REMOVED}


def test_nothing_goes_after_the_run_has_ended(
    engine: PrivateEngine, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.client() as api:
        demo.load(api, *apps(3))
    plan = planned(policy_for(registered(engine.address)), person)
    run = runs.run_start(by=person, plan=plan)
    take_up = executor._Work._take_up

    def end_meanwhile(self: Any, opened: Engine) -> None:
        take_up(self, opened)
        runs.host_run_end(HostRun.objects.get(run=run), JobState.FAILED)

    monkeypatch.setattr(executor._Work, "_take_up", end_meanwhile)
    job_carry_out(Job.objects.get(host_run__run=run).pk)
    assert len(names_on(engine)) == 3
    assert set(outcomes(plan).values()) == {("skipped", "run_ended")}


def test_references_that_an_unreachable_engine_is_owed_come_back_with_it(
    engine: PrivateEngine, person: User
) -> None:
    with engine.client() as api:
        demo.load(api, app("1.0", "shop/app:1.0.0"), app("2.0"))
    host = registered(engine.address)
    plan = planned(policy_for(host), person)
    item = Item.objects.get(host_plan__plan=plan)
    with engine.client() as api:
        api.remove_image("shop/app:1.0.0")
    Item.objects.filter(pk=item.pk).update(
        state=ItemState.UNKNOWN, journal=item.references, ended_at=timezone.now()
    )
    settling.references_restore(host.pk)
    assert names_on(engine) == {"shop/app:1.0", "shop/app:1.0.0", "shop/app:2.0"}
    item.refresh_from_db()
    assert item.journal == []
