"""Removing on a real engine: what is refused, what is put back, and what a job records."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from config.demo import images as demo
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images import restoring
from images.engine import remove as removing
from images.engine.client import Connection, Engine, open_engine
from images.engine.remove import Outcome, remove_copy, remove_references
from images.jobs.life import job_carry_out
from images.models import AuditEntry, Copy, Host, ItemState, Job, JobItem, Pin
from images.removal import removal_start
from tests import factories
from tests.engine.freed import find, registered

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

BASE = Layer("base", 100_000)
TOOLS = Layer("tools", tools=True)


@pytest.fixture
def connected(engine: PrivateEngine) -> Iterator[Engine]:
    with open_engine(Connection(engine.address)) as opened:
        yield opened


def removed(connected: Engine, engine_id: str, *seen: str, force: bool = False) -> Outcome:
    return remove_copy(connected, engine_id, seen, force=force, journal=lambda reference: None)


def tags(connected: Engine, engine_id: str) -> list[str]:
    return sorted(connected.api.inspect_image(engine_id)["RepoTags"])


@pytest.mark.parametrize("start", [True, False])
def test_image_of_a_container_stays_with_all_its_references(
    engine: PrivateEngine, connected: Engine, start: bool
) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "b:1"], [TOOLS]))
        demo.run_container(api, "a:1", "holder", start=start)
    outcome = removed(connected, ids["a:1"], "a:1", "b:1")
    assert (outcome.state, outcome.code) == (ItemState.SKIPPED, "image_in_use")
    assert outcome.values == {"container": "holder"}
    assert tags(connected, ids["a:1"]) == ["a:1", "b:1"]


def test_name_that_moves_in_the_very_moment_it_is_taken_away_is_said_aloud(
    engine: PrivateEngine, connected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "b:1"], [BASE])) | demo.load(api, Image(["other:1"], [TOOLS]))
    request = removing._request_removal

    def overtaken(engine_: Engine, name: str, *, force: bool) -> Any:
        with engine.client() as api:
            api.tag(ids["other:1"], "a", "1", force=True)
            api.remove_image("other:1")
        return request(engine_, name, force=force)

    monkeypatch.setattr(removing, "_request_removal", overtaken)
    outcome = removed(connected, ids["a:1"], "a:1", "b:1")
    assert (outcome.state, outcome.code) == (ItemState.FAILED, "untag_removed")
    assert outcome.values == {"image": ids["other:1"], "reference": "a:1"}
    assert tags(connected, ids["a:1"]) == ["b:1"], "nothing more was taken away"


@pytest.mark.parametrize("start", [True, False])
def test_container_that_came_meanwhile_is_refused_by_the_engine_and_tags_come_back(
    engine: PrivateEngine, connected: Engine, start: bool
) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "b:1", "shop.example:5000/c/d:2"], [TOOLS]))
        demo.run_container(api, "a:1", "holder", start=start)
    journal: list[str] = []
    outcome = remove_copy(
        connected, ids["a:1"], ["a:1", "b:1", "shop.example:5000/c/d:2"],
        journal=journal.append, containers_checked=True,
    )  # fmt: skip
    assert (outcome.state, outcome.code, outcome.lost) == (ItemState.SKIPPED, "image_in_use", ())
    assert outcome.values["container"] == "holder"
    assert len(journal) == 2, "all but one are taken away, each recorded before"
    assert tags(connected, ids["a:1"]) == ["a:1", "b:1", "shop.example:5000/c/d:2"]


def test_stopped_container_does_not_stop_force_and_a_running_one_does(
    engine: PrivateEngine, connected: Engine
) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "a:2"], [TOOLS]), Image(["b:1"], [TOOLS, BASE]))
        demo.run_container(api, "a:1", "stopped", start=False)
        demo.run_container(api, "b:1", "running")
    assert removed(connected, ids["a:1"], "a:1", "a:2", force=True).state == ItemState.REMOVED
    outcome = removed(connected, ids["b:1"], "b:1", force=True)
    assert (outcome.state, outcome.values) == (ItemState.SKIPPED, {"container": "running"})
    assert tags(connected, ids["b:1"]) == ["b:1"]


@pytest.mark.graph_driver  # the containerd store lets a parent go before its children
def test_container_of_a_child_does_not_count(engine: PrivateEngine, connected: Engine) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1"], [TOOLS]))
        demo.build(api, "FROM a:1\nCOPY f /\n", tag="child:1", files={"f": b"1"})
        demo.run_container(api, "child:1", start=False)
    assert removed(connected, ids["a:1"], "a:1").code == "image_has_children"
    assert tags(connected, ids["a:1"]) == ["a:1"]


def test_several_references_go_with_the_image(engine: PrivateEngine, connected: Engine) -> None:
    names = ["a:1", "a:latest", "localhost:5000/x/y:3"]
    with engine.client() as api:
        ids = demo.load(api, Image(names, [BASE]))
    outcome = removed(connected, ids["a:1"], *names)
    assert (outcome.state, sorted(outcome.untagged)) == (ItemState.REMOVED, sorted(names))
    assert connected.api.images(all=True) == []


def test_vanished_image_is_gone_already(connected: Engine) -> None:
    assert removed(connected, "sha256:" + "0" * 64).state == ItemState.GONE


def test_copy_that_gained_a_reference_is_left_alone(engine: PrivateEngine, connected: Engine) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1"], [BASE]))
        api.tag(ids["a:1"], "keep", "me")
    outcome = removed(connected, ids["a:1"], "a:1")
    assert (outcome.state, outcome.code) == (ItemState.SKIPPED, "image_changed")
    assert tags(connected, ids["a:1"]) == ["a:1", "keep:me"]


def test_reference_that_moved_to_another_image_is_not_taken_from_it(
    engine: PrivateEngine, connected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag moves between the first look and the removal: a pull of `latest` does this."""
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "a:2"], [BASE]), Image(["new:1"], [Layer("new", 5)]))

    def move(reference: str) -> None:
        connected.api.tag(ids["new:1"], *reference.split(":"), force=True)

    outcome = remove_copy(connected, ids["a:1"], ["a:1", "a:2"], journal=move)
    assert (outcome.state, outcome.code) == (ItemState.SKIPPED, "image_changed")
    assert len(tags(connected, ids["new:1"])) == 2
    assert len(tags(connected, ids["a:1"])) == 1


def test_one_of_two_references_only_untags(engine: PrivateEngine, connected: Engine) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "a:2"], [TOOLS]))
        demo.run_container(api, "a:1")
    outcome = remove_references(connected, ids["a:1"], ["a:1"], journal=lambda reference: None)
    assert (outcome.state, outcome.untagged) == (ItemState.UNTAGGED, ("a:1",))
    last = remove_references(connected, ids["a:1"], ["a:2"], journal=lambda reference: None)
    assert (last.state, last.code) == (ItemState.SKIPPED, "image_changed"), "the image would go with it"
    assert tags(connected, ids["a:1"]) == ["a:2"]


def test_error_for_an_image_that_is_gone_counts_as_removed(
    engine: PrivateEngine, connected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removals side by side give a 409 or 500 for an image that another request has just removed."""
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1"], [BASE]))
    request = removing._request_removal

    def twice(opened: Engine, name: str, *, force: bool) -> Any:
        request(opened, name, force=force)
        return request(opened, name, force=force)

    monkeypatch.setattr(removing, "_request_removal", twice)
    assert removed(connected, ids["a:1"], "a:1").state in (ItemState.REMOVED, ItemState.GONE)


def test_hung_engine_leaves_the_outcome_unknown(
    engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1"], [BASE]))
    with open_engine(Connection(engine.address), timeout_seconds=1) as opened:
        request = removing._request_removal

        def hang(*arguments: Any, **options: Any) -> Any:
            engine.pause()
            return request(*arguments, **options)

        monkeypatch.setattr(removing, "_request_removal", hang)
        try:
            outcome = removed(opened, ids["a:1"], "a:1")
        finally:
            engine.cont()
    assert (outcome.state, outcome.code) == (ItemState.UNKNOWN, "host_timeout")


# Whole jobs


def carried_out(job: Job) -> dict[str, JobItem]:
    job_carry_out(job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", (job.error_code, job.error_raw)
    return {item.name: item for item in job.items.all()}


def test_job_records_each_item_and_what_it_freed(engine: PrivateEngine) -> None:
    files = {"f": b"x" * 999, "g": b"y" * 5000}
    with engine.client() as api:
        demo.load(
            api,
            Image(["a:1", "a:latest"], [BASE]),
            Image(["used:1"], [TOOLS]),
            Image(["other:1"], [BASE, Layer("other", 10)]),
        )
        demo.load(api, Image(["base:1"], [Layer("b", 70)]), Image(["two:1", "two:2"], [Layer("t", 9)]))
        demo.build(api, "FROM base:1\nCOPY f /\nCOPY g /\n", tag="built:1", files=files)
        demo.run_container(api, "used:1", "holder", start=False)
    host = registered(engine.address)
    chosen = [find(host, name) for name in ("a:1", "used:1", "built:1", "two:1", "base:1")]
    two = find(host, "two:1").pk
    [job] = removal_start(by=factories.make_admin(), copies=chosen, references={two: ["two:1"]})
    items = carried_out(job)
    assert items["used:1"].error_values == {"container": "holder"}
    states = {name: item.state for name, item in items.items() if ":" in name}
    assert states == {
        "a:1": "removed", "used:1": "skipped", "built:1": "removed", "two:1": "untagged", "base:1": "removed",
    }  # fmt: skip
    promised, freed = job.result["promised_bytes"], job.result["freed_bytes"]
    assert promised == freed == 5999 + 70 or (STORE == "containerd" and promised >= freed > 5999 + 70)
    assert job.result["counts"]["removed"] == 4, "the untagged parent is an item of its own"
    assert set(Copy.objects.filter(host=host).values_list("repository", "tag")) == {
        ("used", "1"), ("two", "2"), ("other", "1"),
    }  # fmt: skip
    host.refresh_from_db()
    assert host.image_count == 3


def test_pin_that_came_after_the_start_still_holds(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["a:1"], [BASE]))
    host = registered(engine.address)
    copy = find(host, "a:1")
    [job] = removal_start(by=factories.make_admin(), copies=[copy])
    Pin.objects.create(image=copy.image, reason="Release of May")
    item = carried_out(job)["a:1"]
    assert (item.state, item.error_code) == ("skipped", "image_pinned")
    assert Copy.objects.filter(pk=copy.pk).exists()


def test_force_is_on_record_and_frees_nothing_while_the_container_lives(engine: PrivateEngine) -> None:
    with engine.client() as api:
        demo.load(api, Image(["a:1"], [BASE]))
        demo.run_container(api, "a:1", "holder", start=False)
    host: Host = registered(engine.address)
    [job] = removal_start(by=factories.make_admin(), copies=[find(host, "a:1")], force=True)
    assert AuditEntry.objects.filter(action="image.force", host=host).exists()
    assert carried_out(job)["a:1"].state == "removed"
    assert job.result["promised_bytes"] == 0
    # The containerd store lets the blobs go, which no container holds.
    assert job.result["freed_bytes"] == 0 or (STORE == "containerd" and job.result["freed_bytes"] > 0)


def test_cut_off_removal_owes_references_and_gives_them_back(
    engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.client() as api:
        ids = demo.load(api, Image(["a:1", "a:2", "b:1"], [BASE]))
    host: Host = registered(engine.address)
    [job] = removal_start(by=factories.make_admin(), copies=[find(host, "a:1")])
    delete = removing._delete

    def cut_first(opened: Engine, *arguments: Any, **options: Any) -> Any:
        opened.cut()
        return delete(opened, *arguments, **options)

    monkeypatch.setattr(removing, "_delete", cut_first)
    job_carry_out(job.pk)
    with open_engine(Connection(engine.address)) as connected:
        assert len(tags(connected, ids["a:1"])) == 1
        monkeypatch.setattr("images.restoring.wake", lambda *args, **options: True)
        assert restoring.jobs_owing(timezone.now()) == 1
        restoring.references_restore(job.pk)
        assert tags(connected, ids["a:1"]) == ["a:1", "a:2", "b:1"]
    assert restoring.jobs_owing(timezone.now()) == 0
    assert job.items.get().state == ItemState.UNKNOWN
