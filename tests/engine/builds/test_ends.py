"""Builds that are cancelled, hang, lose their engine, host or worker, or wait for their turn."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from config.demo.engines import PrivateEngine
from images.commands.build import build_start
from images.engine import quiet
from images.hosts import freshness
from images.jobs import life
from images.jobs.life import job_cancel, job_carry_out
from images.models import Host, Job, JobState, User
from tests import factories
from tests.engine.builds.building import BASE, SLEEP, asleep, built, sleepers, steps
from tests.engine.workers import bench, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


@pytest.mark.usefixtures("no_sleepers")
def test_second_build_waits_on_a_host_of_one(host: Host, person: User) -> None:
    Host.objects.filter(pk=host.pk).update(most_builds=1)
    text = "FROM scratch\nLABEL a=b\n"
    with asleep(host, person) as first:
        [second] = build_start(by=person, hosts=[host], dockerfile_text=text, network="none")
        job_carry_out(second.pk)
        second.refresh_from_db()
        assert second.state == JobState.QUEUED
        job_cancel(by=person, job=first)
    job_carry_out(second.pk)
    second.refresh_from_db()
    assert second.state == JobState.SUCCEEDED, second.error_raw


def test_dead_host_stops_no_other_build(host: Host, person: User) -> None:
    dead = factories.make_host("dead", address="unix:///run/nobody.sock")
    jobs_made = build_start(
        by=person,
        hosts=[dead, host],
        dockerfile_text=f"FROM {BASE}\nRUN true\n",
        tags=["a:1"],
        network="none",
    )
    assert len({job.batch for job in jobs_made}) == 1
    for job in jobs_made:
        job_carry_out(job.pk)
        job.refresh_from_db()
    assert [(job.state, job.error_code) for job in jobs_made] == [
        ("failed", "host_no_socket"),
        ("succeeded", ""),
    ]


@pytest.mark.usefixtures("no_sleepers")
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_cancel_ends_the_build_in_the_engine(
    engine: PrivateEngine, host: Host, person: User, builder: str
) -> None:
    with asleep(host, person, builder=builder) as job:
        job_cancel(by=person, job=job)
    assert job.state == JobState.CANCELLED
    assert "stopped" in steps(job).values()
    wait_for(lambda: not sleepers(), 15)
    with engine.client() as api:
        wait_for(lambda: not api.containers(all=True), 15)
    after = built(host, person, dockerfile_text=f"FROM {BASE}\nRUN echo again\n", builder=builder)
    assert after.state == JobState.SUCCEEDED, after.error_raw


@pytest.mark.usefixtures("no_sleepers")
@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_a_build_without_an_image_leaves_in_the_cache_is_known(
    host: Host, person: User, end: str
) -> None:
    """Its layers hold those of the base back, so that a promise is "up to"; no list and no event tells of it."""
    freshness.host_sync(host.pk)
    host.refresh_from_db()
    assert not host.build_cache_holds_layers
    first = f"FROM {BASE}\nRUN echo kept > /kept\n"
    if end == "failed":
        job = built(host, person, dockerfile_text=f"{first}RUN false\n", builder="buildkit")
    else:
        text = first + SLEEP.splitlines()[1] + "\n"
        with asleep(host, person, text=text, builder="buildkit") as job:
            job_cancel(by=person, job=job)
        wait_for(lambda: not sleepers(), 15)
    assert job.state == end
    freshness.host_sync(host.pk)
    host.refresh_from_db()
    assert host.build_cache_holds_layers


@pytest.mark.usefixtures("no_sleepers")
def test_engine_that_hangs_in_the_middle_is_given_up(engine: PrivateEngine, host: Host, person: User) -> None:
    with asleep(host, person) as job:
        time.sleep(2)
        assert Job.objects.get(pk=job.pk).state == JobState.RUNNING, "a silent step is no hung engine"
        engine.pause()
    engine.cont()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_timeout")
    wait_for(lambda: not sleepers(), 15)


@pytest.mark.usefixtures("no_sleepers")
def test_engine_that_dies_in_the_middle_is_said(engine: PrivateEngine, host: Host, person: User) -> None:
    with asleep(host, person) as job:
        engine.kill()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_gone")
    engine.stop()


@pytest.mark.usefixtures("no_sleepers")
@pytest.mark.parametrize("pings_every", [0.5, 30.0])
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_engine_that_is_stopped_in_the_middle_is_no_fault_of_the_step(
    engine: PrivateEngine, host: Host, person: User, builder: str, pings_every: float
) -> None:
    """Whether the pings beside the build see it first or the step that the engine kills."""
    with (
        asleep(host, person, builder=builder) as job,
        mock.patch.object(quiet, "QUIET_SECONDS", pings_every),
    ):
        engine.stop()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_gone"), (job.error_code, job.error_raw)


KILL = "sh -c 'kill -9 $$'; exit $?"  # the first process itself would not obey


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_step_that_was_killed_is_said_while_the_engine_stays(host: Host, person: User, builder: str) -> None:
    job = built(host, person, dockerfile_text=f"FROM {BASE}\nRUN {KILL}\n", builder=builder)
    assert (job.state, job.error_code) == (JobState.FAILED, "build_step_killed"), job.error_raw
    assert job.error_values["step"] == f"RUN {KILL}"
    assert steps(job)[f"RUN {KILL}"] == "failed"
    ended = built(host, person, dockerfile_text=f"FROM {BASE}\nRUN exit 143\n", builder=builder)
    assert (ended.error_code, ended.error_values["exit_code"]) == ("build_step_failed", "143")


@pytest.mark.services
@pytest.mark.usefixtures("no_sleepers")
def test_build_whose_worker_was_killed_ends_in_the_engine_and_is_not_repeated(
    host: Host, person: User, tmp_path: Path, own_redis: str, settings: Any
) -> None:
    with bench(tmp_path, own_redis, settings) as workers, mock.patch.object(life, "dispatch"):
        [job] = build_start(by=person, hosts=[host], network="none", dockerfile_text=SLEEP)
        worker = workers.started("engine")
        workers.send("carry_out", job.pk, queue="engine")
        wait_for(sleepers, 30)
        worker.kill()
        wait_for(lambda: not sleepers(), 15)
        Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
        life.jobs_reap(timezone.now())
        workers.started("engine")
        workers.send("carry_out", job.pk, queue="engine")
        time.sleep(2)
        job.refresh_from_db()
        assert (job.state, job.error_code, job.attempt) == (JobState.LOST, "job_lost", 1)
        assert not sleepers()
