"""Guards during a run and what a run comes to; the engine itself is met in tests/engine/test_cleanup.py."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cleanup import runs
from cleanup.guards import Guards
from cleanup.models import HostPlan, Item, RunState
from images.engine.snapshots import ContainerSummary
from images.models import Copy, Host, ItemState, Job, JobState, Pin
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db
NOBODY: list[ContainerSummary] = []


@pytest.fixture
def host() -> Host:
    return factories.make_host("runner")


def item_of(part: HostPlan, *names: str, **fields: Any) -> Item:
    old = timezone.now() - timedelta(days=9)
    copy = factories.make_copy(part.host, *names, arrived_at=old, **fields)
    return Item.objects.create(
        host_plan=part, position=part.items.count(), copy=copy, engine_id=copy.engine_id, name=copy.name,
        references=list(names), is_parent=copy.is_intermediate,
    )  # fmt: skip


@pytest.fixture
def part(host: Host) -> HostPlan:
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    return HostPlan.objects.create(plan=plan, host=host, inventory_at=timezone.now())


def stops(
    monkeypatch: pytest.MonkeyPatch,
    part: HostPlan,
    containers: Sequence[ContainerSummary] = (),
    minimum_age: timedelta = timedelta(hours=24),
) -> dict[str, str]:
    """What holds the items back, by name; the container list is what an engine would tell."""
    monkeypatch.setattr("images.engine.read.list_containers", lambda engine: list(containers))
    items = list(part.items.all())
    made_at = part.inventory_at or timezone.now()
    asked = Guards(part.host, items, made_at=made_at, minimum_age=minimum_age)
    engine: Any = None
    found = asked.stops(engine, [item for item in items if not item.is_parent], timezone.now())
    return {item.name: found[item.pk][0] for item in items if item.pk in found}


def test_nothing_new_holds_nothing_back(monkeypatch: pytest.MonkeyPatch, part: HostPlan) -> None:
    item_of(part, "app:1")
    assert stops(monkeypatch, part) == {}


def test_container_is_known_by_the_id_of_its_image(monkeypatch: pytest.MonkeyPatch, part: HostPlan) -> None:
    item = item_of(part, "app:1")
    item_of(part, "app:2")
    holder = ContainerSummary("c1", "web", item.engine_id, "something else")
    assert stops(monkeypatch, part, [holder]) == {"app:1": "in_use"}


def test_container_without_an_image_id_is_known_by_the_name_it_was_started_with(
    monkeypatch: pytest.MonkeyPatch, part: HostPlan
) -> None:
    item_of(part, "app:1")
    assert stops(monkeypatch, part, [ContainerSummary("c1", "web", "", "app:1")]) == {"app:1": "in_use"}


def test_what_came_up_after_the_plan_holds(monkeypatch: pytest.MonkeyPatch, part: HostPlan) -> None:
    pinned, wanted, used, young = (item_of(part, f"app:{n}") for n in range(4))
    item_of(part, "app:4")
    now = timezone.now()
    assert pinned.copy and used.copy and young.copy  # noqa: PT018 - for mypy alone
    Pin.objects.create(image=pinned.copy.image, host=part.host, reason="Audit")
    Job.objects.create(kind="push", host=part.host, parameters={"references": wanted.references})
    Copy.objects.filter(pk=used.copy.pk).update(last_used_at=now + timedelta(seconds=1))
    Copy.objects.filter(pk=young.copy.pk).update(arrived_at=now - timedelta(hours=1))
    assert stops(monkeypatch, part) == {
        "app:0": "pinned", "app:1": "wanted", "app:2": "used_since", "app:3": "too_young",
    }  # fmt: skip


def test_name_without_a_tag_in_a_job_means_latest(monkeypatch: pytest.MonkeyPatch, part: HostPlan) -> None:
    item_of(part, "localhost:5000/app:latest")
    Job.objects.create(kind="build", host=part.host, parameters={"from": ["localhost:5000/app"]})
    assert stops(monkeypatch, part) == {"localhost:5000/app:latest": "wanted"}


def test_job_that_has_ended_or_is_elsewhere_wants_nothing(
    monkeypatch: pytest.MonkeyPatch, part: HostPlan
) -> None:
    item_of(part, "app:1")
    Job.objects.create(kind="push", host=part.host, parameters={"image": "app:1"}, state=JobState.SUCCEEDED)
    Job.objects.create(kind="push", host=factories.make_host(), parameters={"image": "app:1"})
    assert stops(monkeypatch, part) == {}


def test_pinned_parent_keeps_the_children_that_would_take_it_along(
    monkeypatch: pytest.MonkeyPatch, part: HostPlan
) -> None:
    parent = item_of(part, is_intermediate=True)
    between = item_of(part, is_intermediate=True, parent_engine_id=parent.engine_id)
    item_of(part, "app:1", parent_engine_id=between.engine_id)
    item_of(part, "app:2")
    assert parent.copy
    Pin.objects.create(image=parent.copy.image, reason="Audit")
    assert stops(monkeypatch, part) == {"app:1": "base_kept"}


def test_children_are_deeper_than_their_parents(part: HostPlan) -> None:
    parent = item_of(part, is_intermediate=True)
    child = item_of(part, "app:1", parent_engine_id=parent.engine_id)
    asked = Guards(part.host, [parent, child], made_at=timezone.now(), minimum_age=timedelta(0))
    assert (asked.depth(parent), asked.depth(child)) == (0, 1)


@pytest.mark.parametrize(
    ("states", "job_state", "expected"),
    [
        ({"removed", "gone"}, JobState.SUCCEEDED, RunState.SUCCEEDED),
        ({"removed", "skipped"}, JobState.SUCCEEDED, RunState.PARTIAL),
        ({"removed", "failed"}, JobState.SUCCEEDED, RunState.PARTIAL),
        ({"skipped"}, JobState.SUCCEEDED, RunState.PARTIAL),
        ({"failed"}, JobState.SUCCEEDED, RunState.FAILED),
        ({"skipped"}, JobState.FAILED, RunState.FAILED),
        ({"removed", "unknown"}, JobState.FAILED, RunState.PARTIAL),
        ({"skipped"}, JobState.CANCELLED, RunState.CANCELLED),
        ({"removed", "skipped"}, JobState.CANCELLED, RunState.PARTIAL),
    ],
)
def test_what_the_items_come_to(states: set[str], job_state: str, expected: str) -> None:
    assert states <= set(ItemState.values)
    assert runs._state_of_items(states, job_state) == expected
