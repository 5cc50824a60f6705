"""Jobs in real worker processes on a real Redis: killed, woken twice, forgotten, cancelled."""

from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
import redis
from django.utils import timezone

from images.jobs import life
from images.jobs.life import ItemInput
from images.models import Host, ItemState, Job, JobState
from tests import factories
from tests.engine.workers import Bench, wait_for

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def host() -> Host:
    return factories.make_host()


def crawl(host: Host, path: Path, count: int, kind: str = "crawl") -> Job:
    items = [ItemInput(name=f"item {n}") for n in range(count)]
    return life.job_start(kind=kind, host=host, by=None, items=items, parameters={"path": str(path)})


def state(job: Job) -> str:
    return Job.objects.values_list("state", flat=True).get(pk=job.pk)


def done_count(job: Job) -> int:
    return job.items.filter(state=ItemState.REMOVED).count()


def kill_in_the_middle(workers: Bench, job: Job) -> None:
    worker = workers.started("engine")
    workers.send("carry_out", job.pk, queue="engine")
    # Right after an item was recorded, while the next one waits: nothing is half done.
    wait_for(lambda: done_count(job) >= 3, 20, every=0.005)
    worker.kill()
    assert state(job) == JobState.RUNNING


def silence(job: Job) -> None:
    """Instead of waiting until the reaper believes it."""
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))


def test_job_of_a_killed_worker_is_finished_by_another_and_no_item_is_done_twice(
    workers: Bench, host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "done"
    job = crawl(host, path, 10)
    kill_in_the_middle(workers, job)
    silence(job)
    workers.start("quick", 1)
    workers.started("engine")
    workers.send("tick", queue="quick")
    wait_for(lambda: state(job) == JobState.SUCCEEDED, 30)
    assert path.read_text().splitlines() == [f"item {n}" for n in range(10)]
    assert Job.objects.get(pk=job.pk).attempt == 2


def test_job_whose_attempts_are_used_up_is_lost_with_its_worker(
    workers: Bench, host: Host, tmp_path: Path
) -> None:
    job = crawl(host, tmp_path / "done", 10)
    kill_in_the_middle(workers, job)
    silence(job)
    with mock.patch.object(life, "MOST_ATTEMPTS", 1):
        life.jobs_reap(timezone.now())
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.LOST, "job_lost")
    assert done_count(job) + job.items.filter(state=ItemState.PENDING).count() == 10


def test_task_delivered_many_times_is_done_once(workers: Bench, host: Host, tmp_path: Path) -> None:
    path = tmp_path / "done"
    job = crawl(host, path, 5)
    for _ in range(6):
        workers.send("carry_out", job.pk, queue="engine")
    workers.start("engine")
    workers.started("engine")
    wait_for(lambda: state(job) == JobState.SUCCEEDED, 30)
    assert path.read_text().splitlines() == [f"item {n}" for n in range(5)]
    assert Job.objects.get(pk=job.pk).attempt == 1


def test_job_whose_message_redis_forgot_is_woken_by_the_tick(
    workers: Bench, host: Host, tmp_path: Path, redis_url: str
) -> None:
    job = crawl(host, tmp_path / "done", 1)
    workers.send("carry_out", job.pk, queue="engine")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    workers.start("engine")
    workers.started("quick", 1)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=1))
    # Two ticks, as two beats would send them.
    workers.send("tick", queue="quick")
    workers.send("tick", queue="quick")
    wait_for(lambda: state(job) == JobState.SUCCEEDED, 30)
    assert Job.objects.get(pk=job.pk).attempt == 1


def test_job_on_an_engine_that_hangs_is_cancelled_within_two_seconds(
    workers: Bench, hung_port: int, tmp_path: Path
) -> None:
    host = factories.make_host(address=f"tcp://127.0.0.1:{hung_port}")
    job = crawl(host, tmp_path / "done", 1, kind="ask")
    workers.started("engine")
    workers.send("carry_out", job.pk, queue="engine")
    wait_for(lambda: state(job) == JobState.RUNNING)
    job.refresh_from_db()
    life.job_cancel(by=factories.make_user(), job=job)
    assert wait_for(lambda: state(job) == JobState.CANCELLED) < 2


def test_click_reaches_a_waiting_worker_fast(workers: Bench, host: Host, tmp_path: Path) -> None:
    workers.started("engine")
    waits = []
    for n in range(9):
        job = crawl(host, tmp_path / f"done{n}", 0)
        workers.send("carry_out", job.pk, queue="engine")
        waits.append(wait_for(lambda job=job: state(job) != JobState.QUEUED, every=0.005))  # type: ignore[misc]
    assert sorted(waits)[4] < 0.3
