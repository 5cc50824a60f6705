"""The limits of a host with real workers: never more at once, fair between people, and none forgotten."""

import threading
import time
from typing import Any
from unittest import mock

import pytest
from django.db import connection

from images.jobs import life
from images.live import progress
from images.models import Host, Job, JobState, User
from tests import factories
from tests.engine.workers import Bench, wait_for

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def host() -> Host:
    return factories.make_host("prod-1", most_transfers=2)


class Most:
    """How many jobs of a host were seen running at once, looked at all the time."""

    def __init__(self, host: Host) -> None:
        self.host, self.seen = host, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Most":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            running = Job.objects.filter(host=self.host, state=JobState.RUNNING).count()
            self.seen = max(self.seen, running)
        connection.close()


def haul(workers: Bench, host: Host, by: User | None = None, seconds: float = 0.4) -> Job:
    job = life.job_start(kind="haul", host=host, by=by, parameters={"seconds": seconds})
    workers.send("carry_out", job.pk, queue="engine")
    return job


def all_done(made: list[Job]) -> bool:
    return not Job.objects.filter(pk__in=[job.pk for job in made]).exclude(state=JobState.SUCCEEDED).exists()


def test_five_jobs_on_a_host_of_two_never_run_more_than_two_at_once(workers: Bench, host: Host) -> None:
    # Two processes of four threads: each process counts for itself what it may take.
    workers.start("engine")
    workers.started("engine")
    with Most(host) as most:
        made = [haul(workers, host) for _ in range(5)]
        wait_for(lambda: all_done(made), 30)
    assert most.seen == 2
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


def test_jobs_that_wait_for_their_host_hold_up_no_worker(workers: Bench, host: Host) -> None:
    workers.started("engine", 2)
    crowd = [haul(workers, host, seconds=1.5) for _ in range(6)]
    host_two = factories.make_host()
    Host.objects.filter(pk=host.pk).update(most_transfers=1)
    wait_for(lambda: Job.objects.filter(state=JobState.RUNNING).exists())
    other = haul(workers, host_two, factories.make_user(), seconds=0.1)
    wait_for(lambda: all_done([other]), 6)
    assert not all_done(crowd)


def test_single_job_of_one_is_not_starved_by_twenty_of_another(workers: Bench, host: Host) -> None:
    ada, bo = factories.make_user("ada"), factories.make_user("bo")
    workers.started("engine")
    hers = [haul(workers, host, ada, seconds=0.3) for _ in range(20)]
    wait_for(lambda: Job.objects.filter(state=JobState.RUNNING).count() == 2)
    his = haul(workers, host, bo, seconds=0.1)
    wait_for(lambda: all_done([his]), 20)
    before = Job.objects.filter(
        pk__in=[job.pk for job in hers], started_at__lt=Job.objects.get(pk=his.pk).started_at
    )
    # Those that ran or were just being taken when he asked; without a fair order it would be all twenty.
    assert before.count() <= 5
    wait_for(lambda: all_done(hers), 40)


def test_click_reaches_a_worker_fast_though_many_wait(workers: Bench, host: Host) -> None:
    """The time from the click to the claim, with a queue of two hundred on another host."""
    ada, bo = factories.make_user("ada"), factories.make_user("bo")
    workers.started("engine")
    for _ in range(200):
        haul(workers, host, ada, seconds=5)
    time.sleep(3)  # until the messages of the crowd are worked off
    waits = []
    for _ in range(9):
        job = haul(workers, factories.make_host(), bo, seconds=0)
        waits.append(
            wait_for(lambda job=job: Job.objects.get(pk=job.pk).state != "queued", every=0.005)  # type: ignore[misc]
        )
    print("claimed after", [round(wait, 3) for wait in sorted(waits)])
    assert sorted(waits)[4] < 0.3
    Job.objects.filter(state=JobState.QUEUED).update(state=JobState.CANCELLED)


def test_page_of_a_waiting_job_says_its_place(host: Host, client: Any) -> None:
    from django.utils import timezone

    with mock.patch.object(life, "dispatch"), mock.patch.object(progress, "publish"):
        made = [life.job_start(kind="haul", host=host, by=None, parameters={"seconds": 0}) for _ in range(4)]
    Job.objects.filter(pk__in=[job.pk for job in made[:2]]).update(
        state=JobState.RUNNING, heartbeat_at=timezone.now()
    )
    client.force_login(factories.make_admin())
    for url in (f"/jobs/{made[3].pk}/", "/jobs/"):
        assert "Place 2 in the queue on prod-1" in client.get(url).content.decode()
