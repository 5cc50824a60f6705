"""The queue: the limits of a host hold however many workers ask, and nobody is forgotten."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from images.jobs import life
from images.jobs import queue as job_queue
from images.jobs.context import JobContext
from images.jobs.operations import OPERATIONS, operation
from images.live import progress
from images.models import Host, Job, JobState, Permission, User
from tests import factories
from tests.conftest import closing

pytestmark = pytest.mark.django_db(transaction=True)


def nothing(context: JobContext) -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    """ "scrub" and "rinse" share a limit; "count" has none."""
    for kind, limit in (("scrub", "most_transfers"), ("rinse", "most_transfers"), ("count", "")):
        operation(kind, label=kind, permission=Permission.PULL, limit=limit)(nothing)
    yield
    for kind in ("scrub", "rinse", "count"):
        del OPERATIONS[kind]


@pytest.fixture(autouse=True)
def woken() -> Iterator[list[int]]:
    found: list[int] = []

    def wake(task: str, pk: int, queue: str) -> bool:
        found.append(pk)
        return True

    with (
        mock.patch.object(life, "wake", wake),
        mock.patch.object(progress, "publish"),
    ):
        yield found


@pytest.fixture
def host() -> Host:
    return factories.make_host("prod-1", most_transfers=2)


def queued(host: Host, by: User | None = None, kind: str = "scrub") -> Job:
    return life.job_start(kind=kind, host=host, by=by)


def claimed(job: Job) -> int | None:
    found = life.job_claim(job.pk)
    return found.pk if found else None


def running(host: Host) -> int:
    return Job.objects.filter(host=host, state=JobState.RUNNING).count()


def test_host_that_does_enough_leaves_a_job_queued(host: Host) -> None:
    first, second, third = queued(host), queued(host, kind="rinse"), queued(host)
    assert [claimed(job) for job in (first, second, third)] == [first.pk, second.pk, None]
    third.refresh_from_db()
    assert (third.state, third.attempt) == (JobState.QUEUED, 0)


def test_limit_is_each_hosts_own_and_each_sorts(host: Host) -> None:
    for _ in range(2):
        claimed(queued(host))
    elsewhere, unlimited = queued(factories.make_host()), queued(host, kind="count")
    assert claimed(elsewhere) == elsewhere.pk
    assert claimed(unlimited) == unlimited.pk


@pytest.mark.parametrize("round_", range(3))
def test_workers_that_claim_at_once_do_not_exceed_the_limit(host: Host, round_: int) -> None:
    waiting = [queued(host) for _ in range(8)]
    barrier = threading.Barrier(8)
    found: list[Job | None] = []

    def claim(pk: int) -> None:
        barrier.wait()
        found.append(life.job_claim(pk))

    threads = [threading.Thread(target=closing(claim), args=(job.pk,)) for job in waiting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([job for job in found if job]) == running(host) == 2


def test_end_of_a_job_wakes_the_next_of_its_sort(host: Host, woken: list[int]) -> None:
    first, _second, third = (queued(host) for _ in range(3))
    queued(host, kind="count")
    life.job_carry_out(first.pk)
    life.job_claim(first.pk)
    woken.clear()
    host.most_transfers = 1
    host.save()
    job = Job.objects.filter(state=JobState.RUNNING).get()
    life._end(job, JobState.SUCCEEDED)
    assert woken == [third.pk]


def test_lost_worker_gives_its_place_free(host: Host, woken: list[int]) -> None:
    host.most_transfers = 1
    host.save()
    lost, waiting = queued(host), queued(host)
    life.job_claim(lost.pk)
    Job.objects.filter(pk=lost.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    woken.clear()
    life.jobs_reap(timezone.now())
    assert woken == [waiting.pk]


def test_single_pull_is_not_starved_by_a_hundred(host: Host) -> None:
    ada, bo = factories.make_user("ada"), factories.make_user("bo")
    hundred = [queued(host, ada) for _ in range(100)]
    single = queued(host, bo)
    assert claimed(hundred[0]) == hundred[0].pk
    # The message that comes next is for one of Ada's; it is Bo's turn all the same.
    assert claimed(hundred[1]) == single.pk
    # His own message then takes up what was put off: no job is without one.
    Job.objects.filter(pk=single.pk).update(state=JobState.SUCCEEDED)
    assert claimed(single) == hundred[1].pk


def test_many_hosts_of_one_person_leave_a_worker_to_another() -> None:
    ada, bo = factories.make_user("ada"), factories.make_user("bo")
    hers = [queued(factories.make_host(), ada) for _ in range(10)]
    his = queued(factories.make_host(), bo)
    assert claimed(hers[0]) == hers[0].pk
    assert claimed(hers[1]) == his.pk


def test_every_job_is_taken_though_each_message_takes_whom_it_likes(host: Host) -> None:
    people = [factories.make_user() for _ in range(3)]
    hosts = [host, factories.make_host(), factories.make_host()]
    made = [queued(hosts[n % 3], people[n % 2], kind=["scrub", "count"][n % 2]) for n in range(12)]
    for job in made:
        life.job_carry_out(job.pk)
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.SUCCEEDED}


def test_tick_wakes_no_more_than_a_host_takes(host: Host, woken: list[int]) -> None:
    waiting = [queued(host) for _ in range(5)]
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    woken.clear()
    with mock.patch.object(life, "_queue_length", return_value=0):
        life.jobs_redispatch(timezone.now())
        assert woken == [job.pk for job in waiting[:2]]
        woken.clear()
        # A limit that was raised needs nobody to think of waking them.
        Host.objects.filter(pk=host.pk).update(most_transfers=4)
        life.jobs_redispatch(timezone.now())
    assert len(woken) == 4


def test_place_counts_who_comes_before(host: Host) -> None:
    ada, bo = factories.make_user("ada"), factories.make_user("bo")
    hers = [queued(host, ada) for _ in range(5)]
    for job in hers[:2]:
        life.job_claim(job.pk)
    his = queued(host, bo)
    places = job_queue.places(Job.objects.select_related("host"))
    assert {pk: place.place for pk, place in places.items()} == {
        his.pk: 1, hers[2].pk: 2, hers[3].pk: 3, hers[4].pk: 4,
    }  # fmt: skip
    assert (places[his.pk].host, places[his.pk].most) == (host, 2)


def test_job_that_waits_for_a_worker_alone_has_no_place(host: Host) -> None:
    for _ in range(2):
        queued(host)
    queued(host, kind="count")
    assert job_queue.places(Job.objects.select_related("host")) == {}


def test_turn_among_those_that_wait_for_a_worker_is_fair_and_leaves_silent_hosts_for_last(host: Host) -> None:
    ada, bo = factories.make_user("ada"), factories.make_user("bo")
    silent = queued(factories.make_host(state="offline"), ada)
    hers = [queued(factories.make_host(), ada) for _ in range(3)]
    for job in [queued(host, ada) for _ in range(2)]:
        life.job_claim(job.pk)
    held_up = queued(host, bo)
    his = queued(factories.make_host(), bo)
    listed = list(Job.objects.select_related("host"))
    told = job_queue.worker_turns(listed, job_queue.places(listed))
    assert held_up.pk not in told
    assert told == {his.pk: 1, hers[0].pk: 2, hers[1].pk: 3, hers[2].pk: 4, silent.pk: 5}
    assert [life.job_claim(his.pk), life.job_claim(his.pk)] == [his, hers[0]], "workers take them like that"


def copying(source: Host, target: Host, by: User | None = None) -> Job:
    return life.job_start(kind="copy", host=target, source=source, by=by)


def test_copy_whose_source_is_busy_has_its_place_there() -> None:
    source, targets = factories.make_host("quay", most_transfers=1), [factories.make_host() for _ in range(3)]
    first, *waiting = [copying(source, target) for target in targets]
    pull = queued(source, kind="pull")
    assert life.job_claim(first.pk) == first
    listed, admin = Job.objects.select_related("host"), factories.make_admin()
    places = job_queue.places(listed, admin)
    assert {pk: (place.place, place.host) for pk, place in places.items()} == {
        waiting[0].pk: (1, source), waiting[1].pk: (2, source), pull.pk: (3, source),
    }  # fmt: skip
    [alone] = job_queue.places(listed.filter(pk=waiting[1].pk), admin).values()
    assert (alone.place, alone.host) == (2, source)


def test_source_is_named_only_to_who_sees_it() -> None:
    source = factories.make_host("quay", most_transfers=1)
    first, second = copying(source, factories.make_host()), copying(source, factories.make_host())
    assert life.job_claim(first.pk) == first
    listed = list(Job.objects.select_related("host"))
    for user in (None, factories.make_user()):
        place = job_queue.places(listed, user)[second.pk]
        assert (place.place, place.host, place.most) == (1, None, 0)


def test_copy_has_its_place_on_its_own_host_when_that_is_full_too(host: Host) -> None:
    source = factories.make_host(most_transfers=1)
    for job in [queued(source), queued(host), queued(host)]:
        life.job_claim(job.pk)
    copy = copying(source, host)
    assert job_queue.places(Job.objects.select_related("host"))[copy.pk].host == host


def test_who_goes_first_because_the_source_of_another_is_busy_has_no_place(host: Host) -> None:
    source = factories.make_host(most_transfers=1)
    Host.objects.filter(pk=host.pk).update(most_transfers=1)
    life.job_claim(queued(source).pk)
    copy, pull = copying(source, host), queued(host)
    assert set(job_queue.places(Job.objects.select_related("host"))) == {copy.pk}
    assert life.job_claim(copy.pk) == pull


@pytest.mark.parametrize("count", [2, 30])
def test_places_cost_the_same_however_many(
    count: int, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    people = [factories.make_user() for _ in range(3)]
    for n in range(count):
        queued(
            factories.make_host(most_transfers=1) if n % 4 == 0 else Host.objects.latest("id"), people[n % 3]
        )
    listed = list(Job.objects.select_related("host"))
    with CaptureQueriesContext(connection) as queries:
        job_queue.places(listed)
    assert len(queries) <= 4


def test_removal_and_cleanup_of_a_host_go_one_after_another() -> None:
    """Each measures how the engine's total drops: side by side they would measure each other."""
    assert {"remove", "cleanup"} <= set(job_queue.kinds_under("most_removals"))
    assert factories.make_host().most_removals == 1


LIMITS = {
    "pull": "most_transfers", "push": "most_transfers", "save": "most_transfers", "load": "most_transfers",
    "copy": "most_transfers", "build": "most_builds", "remove": "most_removals", "cleanup": "most_removals",
    "sync": "", "tag": "",
}  # fmt: skip
"""Of every kind of job there is, the limit of its host that it obeys."""


def test_every_kind_has_its_limit_written_down() -> None:
    own = {"scrub", "rinse", "count"}
    assert {kind: each.limit for kind, each in OPERATIONS.items() if kind in LIMITS} == LIMITS
    tests_own = {kind for kind, each in OPERATIONS.items() if each.handler.__module__.startswith("tests.")}
    assert set(OPERATIONS) - own - tests_own == set(LIMITS)


@pytest.mark.parametrize("kind", sorted(kind for kind, limit in LIMITS.items() if limit))
def test_no_kind_goes_beyond_its_limit(kind: str) -> None:
    limit: dict[str, Any] = {LIMITS[kind]: 1}
    host = factories.make_host(**limit)
    first, second = queued(host, kind=kind), queued(host, kind=kind)
    assert life.job_claim(first.pk) == first
    assert life.job_claim(second.pk) is None


def test_copy_takes_a_place_on_the_host_it_comes_from_too(woken: list[int]) -> None:
    """Engines write each archive to their own disk first: twenty targets must not mean twenty archives at once."""
    source = factories.make_host("source", most_transfers=1)
    targets = [factories.make_host() for _ in range(2)]
    copies = [life.job_start(kind="copy", host=target, source=source, by=None) for target in targets]
    pull_there = queued(source, kind="pull")
    elsewhere = queued(factories.make_host(), kind="pull")
    claimed = life.job_claim(copies[0].pk)
    assert claimed == copies[0]
    assert life.job_claim(copies[1].pk) == elsewhere, "the source is busy, and nobody else waits for it"
    assert life.job_claim(pull_there.pk) is None
    woken.clear()
    life._end(claimed, JobState.SUCCEEDED)
    assert woken == [copies[1].pk]
    assert life.job_claim(copies[1].pk) == copies[1]


def test_end_of_a_copy_wakes_who_waits_on_either_host(woken: list[int]) -> None:
    source, target = factories.make_host(most_transfers=1), factories.make_host(most_transfers=1)
    copy = life.job_start(kind="copy", host=target, source=source, by=None)
    claimed = life.job_claim(copy.pk)
    assert claimed
    waiting = [queued(target, kind="pull"), queued(source, kind="push")]
    woken.clear()
    life._end(claimed, JobState.SUCCEEDED)
    assert sorted(woken) == [job.pk for job in waiting]
