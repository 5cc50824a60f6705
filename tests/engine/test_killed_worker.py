"""Workers that are killed while they delete, and a scheduled run that nobody has a hand in."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from cleanup import runs
from cleanup.models import Item, Run, RunState
from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.engine.client import Connection, open_engine
from images.engine.read import list_images
from images.jobs import life
from images.models import Copy, Host, ItemState, Job, JobState, User
from images.removal import removal_again, removal_start
from tests import factories
from tests.engine.cleaning import BASE, app, is_as_promised, names_on, outcomes, planned, policy_for
from tests.engine.freed import registered
from tests.engine.workers import Bench, bench, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.services, pytest.mark.django_db(transaction=True)]

COUNT = 90
KEPT = "shop/app:2.0"
PATTERN = {"pattern": "1.*", "syntax": "glob", "target": "tag"}


@pytest.fixture
def workers(tmp_path: Path, own_redis: str, settings: Any) -> Iterator[Bench]:
    with bench(tmp_path, own_redis, settings) as made, mock.patch.object(life, "dispatch"):
        yield made


@pytest.fixture
def person() -> User:
    return factories.make_admin()


@pytest.fixture
def host(engine: PrivateEngine) -> Host:
    """With many images that are to go, some under several names, and one that is to stay."""
    going = [
        Image([f"shop/app:1.{n}", *([f"shop/app:1.{n}-again"] if n % 3 == 0 else [])],
              [BASE, Layer(f"app-{n}", 10_000 + n)])
        for n in range(COUNT)
    ]  # fmt: skip
    with engine.client() as api:
        demo.load(api, *going, app("2.0"))
    return registered(engine.address)


def images_on(engine: PrivateEngine) -> int:
    with open_engine(Connection(engine.address)) as opened:
        return len(list_images(opened))


def kill_in_the_middle(workers: Bench, engine: PrivateEngine, job: Job) -> None:
    """The engine stops answering once some images are gone, then its worker is killed: calls are under way."""
    worker = workers.started("engine")
    workers.send("carry_out", job.pk, queue="engine")
    wait_for(lambda: images_on(engine) < COUNT - 5, 30, every=0.001)
    engine.pause()
    time.sleep(0.3)
    worker.kill()
    engine.cont()
    left = images_on(engine)
    assert 10 < left < COUNT - 5, "it was killed too late or too early to tell anything"
    job.refresh_from_db()
    assert job.state == JobState.RUNNING


def go_on(workers: Bench, job: Job) -> None:
    """Another worker, woken by the tick; only the silence of the first one is shortened."""
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    workers.start("quick", 1)
    workers.started("engine")
    workers.send("tick", queue="quick")
    wait_for(lambda: not Job.objects.open().filter(pk=job.pk).exists(), 60)
    job.refresh_from_db()


def references_by_id(engine: PrivateEngine) -> dict[str, set[str]]:
    with engine.client() as api:
        return {row["Id"]: set(row["RepoTags"]) for row in api.images()}


def deletions(engine: PrivateEngine, since: int) -> Counter[str]:
    """By image: how often the engine says it was deleted."""
    with engine.client() as api:
        told = api.events(since=since, until=int(time.time()) + 1, filters={"type": "image"}, decode=True)
        return Counter(event["Actor"]["ID"] for event in told if event["Action"] == "delete")


def test_cleanup_whose_worker_was_killed_is_finished_by_another(
    workers: Bench, engine: PrivateEngine, host: Host, person: User
) -> None:
    plan = planned(policy_for(host, ("delete", "tag_pattern", PATTERN)), person)
    assert plan.item_count == COUNT
    run = runs.run_start(by=person, plan=plan)
    host_run = run.host_runs.select_related("job").get()
    assert host_run.job
    since = int(time.time())
    kill_in_the_middle(workers, engine, host_run.job)
    go_on(workers, host_run.job)
    wait_for(lambda: Run.objects.get(pk=run.pk).state != RunState.RUNNING)
    run.refresh_from_db()
    assert (run.state, host_run.job.attempt) == (RunState.SUCCEEDED, 2), outcomes(plan)
    assert {state for state, _ in outcomes(plan).values()} == {ItemState.REMOVED}
    assert names_on(engine) == {KEPT}
    planned_ids = set(Item.objects.filter(host_plan__plan=plan).values_list("engine_id", flat=True))
    assert deletions(engine, since) == Counter(planned_ids)
    assert is_as_promised(run, plan)
    assert plan.promised_bytes > 0
    assert [copy.tag for copy in Copy.objects.filter(host=host)] == ["2.0"]


def test_removal_whose_worker_was_killed_is_lost_gives_references_back_and_can_be_done_again(
    workers: Bench, engine: PrivateEngine, host: Host, person: User
) -> None:
    """Somebody asked for it once: what is left of it is theirs to decide again."""
    copies = Copy.objects.filter(host=host, tag__startswith="1.")
    ids = set(copies.values_list("engine_id", flat=True))
    before = references_by_id(engine)
    [job] = removal_start(by=person, copies=copies)
    since = int(time.time())
    kill_in_the_middle(workers, engine, job)
    go_on(workers, job)
    assert (job.state, job.error_code, job.attempt) == (JobState.LOST, "job_lost", 1)
    left = references_by_id(engine)
    assert 10 < len(left) < COUNT
    workers.beat()  # the engine answers again: what was taken of an image that stayed is given back
    wait_for(lambda: references_by_id(engine) == {image: before[image] for image in left}, 60, every=0.2)
    again = removal_again(person, job)
    workers.send("carry_out", again.pk, queue="engine")
    wait_for(lambda: not Job.objects.open().filter(pk=again.pk).exists(), 60)
    again.refresh_from_db()
    assert again.state == JobState.SUCCEEDED, (again.error_code, again.error_raw)
    assert names_on(engine) == {KEPT}
    assert deletions(engine, since) == Counter(ids)


def test_schedule_runs_by_itself_from_the_tick_to_the_freed_bytes(
    workers: Bench, engine: PrivateEngine, person: User
) -> None:
    """Nobody sends a message here: beat does, and what it wakes."""
    with engine.client() as api:
        demo.load(api, app("1.0"), app("1.1"), app("2.0"))
    host = registered(engine.address)
    policy = policy_for(host, schedule="* * * * *", time_zone="UTC", is_enabled=True)
    planned(policy, person)
    policy.seen_revision = policy.revision
    policy.next_run_at = timezone.now() - timedelta(seconds=1)
    policy.save()
    workers.start("quick", 2)
    workers.start("engine", 2)
    workers.beat()
    wait_for(lambda: Run.objects.filter(state=RunState.SUCCEEDED).exists(), 90, every=0.2)
    run = Run.objects.filter(state=RunState.SUCCEEDED).earliest("pk")
    assert run.plan
    assert (run.started_by, run.approved_by) == (None, None)
    assert run.slot
    assert outcomes(run.plan) == {"shop/app:1.0": ("removed", ""), "shop/app:1.1": ("removed", "")}
    assert is_as_promised(run, run.plan)
    assert names_on(engine) == {KEPT}
    policy.refresh_from_db()
    assert policy.next_run_at
    assert policy.next_run_at > run.created_at
