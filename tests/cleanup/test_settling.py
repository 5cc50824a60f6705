"""Items of which nobody knew whether the engine carried them out: the next look at the host tells."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cleanup.models import HostRun, Item, Run, RunState
from cleanup.settling import MARGIN, items_due, items_settle
from images.models import Copy, Host, HostState, ItemState, Job
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db
NOW = timezone.now()
ENDED = NOW - timedelta(minutes=10)


@pytest.fixture
def host() -> Host:
    return factories.make_host("runner", synced_at=NOW, state_since=ENDED - timedelta(days=1))


@pytest.fixture
def run(host: Host) -> Run:
    return run_on(host)


def run_on(host: Host, state: RunState = RunState.FAILED, count: int = 2) -> Run:
    """An ended run whose items all ended in the dark."""
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    rows.add_host(plan, host, removed=count, kept=0)
    run = rows.make_run(plan, state)
    job = Job.objects.create(kind="cleanup", host=host, state="lost")
    HostRun.objects.filter(run=run).update(job=job)
    Item.objects.filter(host_plan__plan=plan).update(
        state=ItemState.UNKNOWN, outcome_code="not_answered", ended_at=ENDED
    )
    return run


def items(run: Run) -> list[tuple[str, str]]:
    assert run.plan
    found = Item.objects.filter(host_plan__plan=run.plan).order_by("position")
    return list(found.values_list("state", "outcome_code"))


def gone(run: Run, *positions: int) -> None:
    """The inventory has these no more."""
    assert run.plan
    ids = Item.objects.filter(host_plan__plan=run.plan, position__in=positions).values("engine_id")
    Copy.objects.filter(engine_id__in=list(ids.values_list("engine_id", flat=True))).delete()


UNKNOWN = ("unknown", "not_answered")
REMOVED = ("removed", "")
FAILED = ("failed", "not_carried_out")


def test_what_the_inventory_lacks_was_removed_and_what_it_has_was_not(host: Host, run: Run) -> None:
    gone(run, 0)
    assert items_settle(host) == 2
    assert items(run) == [REMOVED, FAILED]
    assert all(item.ended_at and item.ended_at >= NOW for item in Item.objects.all())


def test_settled_items_are_settled_once(host: Host, run: Run) -> None:
    assert items_settle(host) == 2
    assert items_settle(host) == 0


def test_run_and_host_come_to_what_their_items_come_to(host: Host, run: Run) -> None:
    gone(run, 0, 1)
    items_settle(host)
    run.refresh_from_db()
    assert (run.state, run.host_runs.get().state) == (RunState.SUCCEEDED, RunState.SUCCEEDED)


@pytest.mark.parametrize(
    ("positions", "state"), [((), RunState.FAILED), ((0,), RunState.PARTIAL), ((0, 1), RunState.SUCCEEDED)]
)
def test_state_of_the_run_follows(host: Host, run: Run, positions: tuple[int, ...], state: RunState) -> None:
    gone(run, *positions)
    items_settle(host)
    run.refresh_from_db()
    assert run.state == state


@pytest.mark.parametrize(
    "fields",
    [{"synced_at": None}, {"state": HostState.OFFLINE}, {"state": HostState.NEW}, {"synced_at": ENDED}],
)
def test_without_a_look_since_nothing_is_settled(host: Host, run: Run, fields: dict[str, Any]) -> None:
    gone(run, 0)
    Host.objects.update(**fields)
    host.refresh_from_db()
    assert items_settle(host) == 0
    assert items(run) == [UNKNOWN, UNKNOWN]


def test_what_is_still_there_may_go_when_a_stopped_engine_wakes(host: Host, run: Run) -> None:
    """A list taken in the first moments may be older than the request that waited in the engine."""
    gone(run, 0)
    Host.objects.update(state_since=NOW - MARGIN + timedelta(seconds=1))
    host.refresh_from_db()
    assert items_settle(host) == 1
    assert items(run) == [REMOVED, UNKNOWN]
    Host.objects.update(synced_at=NOW + timedelta(seconds=2))
    host.refresh_from_db()
    assert items_settle(host) == 1
    assert items(run) == [REMOVED, FAILED]


def test_look_soon_after_the_request_settles_only_what_is_gone(host: Host, run: Run) -> None:
    gone(run, 0)
    Item.objects.update(ended_at=NOW - timedelta(seconds=1))
    assert items_settle(host) == 1
    assert items(run) == [REMOVED, UNKNOWN]


def test_run_that_still_works_on_the_host_is_left_alone(host: Host) -> None:
    run = run_on(host, RunState.RUNNING)
    gone(run, 0)
    assert items_settle(host) == 0
    assert items(run) == [UNKNOWN, UNKNOWN]


def test_items_in_any_other_state_are_left_alone(host: Host, run: Run) -> None:
    gone(run, 0)
    for state in ItemState:
        if state != ItemState.UNKNOWN:
            Item.objects.update(state=state)
            assert items_settle(host) == 0, state


def test_image_of_the_same_id_on_another_host_does_not_count(host: Host, run: Run) -> None:
    item = Item.objects.order_by("position")[0]
    gone(run, 0)
    factories.make_copy(factories.make_host(), engine_id=item.engine_id)
    items_settle(host)
    assert items(run)[0] == REMOVED


def test_image_that_came_back_since_was_not_removed_for_all_anybody_knows(host: Host, run: Run) -> None:
    item = Item.objects.order_by("position")[0]
    gone(run, 0)
    factories.make_copy(host, "back:1", engine_id=item.engine_id)
    items_settle(host)
    assert items(run)[0] == FAILED


def test_tick_settles_every_host_that_was_read_since_and_no_other(host: Host, run: Run) -> None:
    unread = factories.make_host(synced_at=ENDED - timedelta(hours=1))
    second = factories.make_host(synced_at=NOW, state_since=ENDED - timedelta(days=1))
    waiting, settled = run_on(unread), run_on(second)
    for each in (run, waiting, settled):
        gone(each, 0, 1)
    assert items_due(NOW) == 4
    assert items(run) == items(settled) == [REMOVED, REMOVED]
    assert items(waiting) == [UNKNOWN, UNKNOWN]
    assert items_due(NOW) == 0


def test_two_runs_of_one_host_are_settled_together(host: Host, run: Run) -> None:
    second = run_on(host)
    gone(run, 0, 1)
    assert items_settle(host) == 4
    assert items(second) == [FAILED, FAILED]
    run.refresh_from_db()
    second.refresh_from_db()
    assert (run.state, second.state) == (RunState.SUCCEEDED, RunState.FAILED)


def test_host_without_unknown_items_costs_little(host: Host, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(1):
        assert items_due(NOW) == 0
