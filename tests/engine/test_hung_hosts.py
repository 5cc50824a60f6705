"""More hosts that hang than there are quick workers: a healthy host does not notice."""

from collections.abc import Callable, Iterator

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.jobs import context, life
from images.models import Copy, Host, HostState, Job, JobState
from images.removal import removal_start
from tests import factories
from tests.engine.freed import registered
from tests.engine.workers import Bench, wait_for

pytestmark = [pytest.mark.engine, pytest.mark.services, pytest.mark.django_db(transaction=True)]

QUICK_WORKERS = 4
ENGINE_WORKERS = 4
SECONDS = 2.0


@pytest.fixture
def stopped(make_engine: Callable[..., PrivateEngine]) -> Iterator[PrivateEngine]:
    """A real engine whose process was stopped in its tracks."""
    engine = make_engine("stopped")
    engine.pause()
    yield engine
    engine.cont()


def hung_hosts(stopped: PrivateEngine, port: int) -> list[Host]:
    silent = [factories.make_host(address=f"tcp://127.0.0.1:{port}", synced_at=None) for _ in range(5)]
    return [*silent, factories.make_host(address=stopped.address, synced_at=None)]


def healthy_host(engine: PrivateEngine) -> Host:
    return factories.make_host("healthy", address=engine.address, state="new", synced_at=None)


def is_synced(host: Host) -> bool:
    return Host.objects.filter(pk=host.pk, synced_at__isnull=False).exists()


def test_healthy_host_syncs_within_two_seconds_beside_hung_ones(
    workers: Bench, engine: PrivateEngine, stopped: PrivateEngine, hung_port: int
) -> None:
    hung, healthy = hung_hosts(stopped, hung_port), healthy_host(engine)
    assert len(hung) > QUICK_WORKERS
    workers.started("quick", QUICK_WORKERS)
    for host in hung:
        workers.send("sync_host", host.pk, queue="quick")
    workers.send("sync_host", healthy.pk, queue="quick")
    assert wait_for(lambda: is_synced(healthy)) < SECONDS
    pks = [host.pk for host in hung]
    wait_for(lambda: not Host.objects.filter(pk__in=pks).exclude(state=HostState.OFFLINE).exists(), 20)
    codes = set(Host.objects.filter(pk__in=pks).values_list("error_code", flat=True))
    assert codes == {"host_timeout"}


def test_refresh_that_was_clicked_is_not_held_up_by_hung_hosts(
    workers: Bench, engine: PrivateEngine, stopped: PrivateEngine, hung_port: int
) -> None:
    healthy = healthy_host(engine)
    wanted = [
        life.job_start(kind="sync", host=host, by=None) for host in (*hung_hosts(stopped, hung_port), healthy)
    ]
    workers.started("quick", QUICK_WORKERS)
    for job in wanted:
        workers.send("carry_out", job.pk, queue="quick")
    assert wait_for(lambda: is_synced(healthy)) < SECONDS

    def have_ended() -> bool:
        """With the tick that beat sends: a message may be lost on its way, and is sent again by it."""
        workers.send("tick", queue="quick")
        return not Job.objects.open().exists()

    wait_for(have_ended, 40, every=1.0)
    assert set(Job.objects.exclude(host=healthy).values_list("state", flat=True)) == {"failed"}


@pytest.mark.parametrize("state", [HostState.OFFLINE, HostState.ONLINE])
def test_removal_on_a_healthy_host_does_not_wait_for_those_on_hung_ones(
    workers: Bench, engine: PrivateEngine, stopped: PrivateEngine, hung_port: int, state: HostState
) -> None:
    """More of these than there are workers; known to be silent, or not noticed by anybody yet."""
    with engine.client() as api:
        demo.load(api, Image(["shop/app:1"], [Layer("app", 1000)]))
    person, hung = factories.make_admin(), hung_hosts(stopped, hung_port)
    Host.objects.filter(pk__in=[host.pk for host in hung]).update(state=state)
    copies = [factories.make_copy(host, "shop/app:1") for host in hung]
    healthy = registered(engine.address)
    copies += Copy.objects.filter(host=healthy)
    waiting = removal_start(by=person, copies=copies)
    [wanted] = [job for job in waiting if job.host_id == healthy.pk]
    workers.started("quick", QUICK_WORKERS)
    workers.started("engine", ENGINE_WORKERS)
    for job in sorted(waiting, key=lambda job: job == wanted):
        workers.send("carry_out", job.pk, queue="engine")
    seconds = SECONDS if state == HostState.OFFLINE else context.REACH_SECONDS + SECONDS
    wait_for(lambda: Job.objects.get(pk=wanted.pk).state == JobState.SUCCEEDED, seconds)
    wait_for(lambda: not Job.objects.open().exists(), 40)
    others = Job.objects.filter(kind="remove").exclude(pk=wanted.pk)
    assert set(others.values_list("state", "error_code")) == {("failed", "host_timeout")}
    wait_for(lambda: not Host.objects.exclude(pk=healthy.pk).exclude(state=HostState.OFFLINE).exists(), 20)


def test_host_that_wakes_up_is_back_by_itself(workers: Bench, stopped: PrivateEngine) -> None:
    host = factories.make_host(address=stopped.address, state="new", synced_at=None)
    workers.started("quick", QUICK_WORKERS)
    workers.beat()
    wait_for(lambda: Host.objects.get(pk=host.pk).state == HostState.OFFLINE, 40, every=0.1)
    stopped.cont()
    wait_for(lambda: Host.objects.get(pk=host.pk).state == HostState.ONLINE, 60, every=0.1)
