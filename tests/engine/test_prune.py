"""Prune, one reference and limits on a real engine: what was promised is freed, and nothing else is touched."""

from collections.abc import Callable
from unittest import mock

import pytest
from django.test import Client

from cleanup import planning, runs
from cleanup.models import Plan, RunState
from cleanup.prunes import prune_plan
from config.demo import images as demo
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images.commands.pull import pull_start
from images.engine.client import Connection, open_engine
from images.engine.read import layers_size
from images.jobs import life
from images.jobs.life import job_carry_out
from images.models import Copy, Host, Job, JobState, User
from tests import factories
from tests.engine.cleaning import is_as_promised
from tests.engine.freed import registered, told
from tests.engine.test_limits import Most
from tests.engine.test_pull import fill
from tests.engine.workers import Bench, wait_for
from tests.registry import PrivateRegistry

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

BASE = Layer("base", 300_000)
TOOLS = Layer("tools", tools=True)


@pytest.fixture
def person() -> User:
    return factories.make_admin()


def names_on(engine: PrivateEngine) -> set[str]:
    with engine.client() as api:
        return {name for row in api.images() for name in row.get("RepoTags") or ()}


def total(host: Host) -> int:
    with open_engine(Connection.of(host)) as opened:
        return told(layers_size(opened))


def pruned(host: Host, kind: str, by: User) -> Plan:
    plan = prune_plan(by=by, host=host, kind=kind)
    planning.plan_carry_out(plan.pk)
    plan.refresh_from_db()
    run = runs.run_start(by=by, plan=plan)
    for job in Job.objects.filter(host_run__run=run):
        job_carry_out(job.pk)
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED
    assert is_as_promised(run, plan)
    assert plan.promised_bytes > 0
    assert not run.host_runs.get().was_disturbed
    return plan


def test_everything_unused_goes_and_frees_what_was_promised(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        demo.load(
            api, Image(["shop/app:1", "shop/app:latest"], [BASE, Layer("one", 50_000)]),
            Image(["shop/app:2"], [BASE, Layer("two", 60_000)]), Image(["shop/db:1"], [TOOLS]),
        )  # fmt: skip
        demo.load_dangling(api, Image([], [BASE, Layer("lost", 90_000)]))
        demo.run_container(api, "shop/db:1", "stopped", start=False)
    host = registered(engine.address)
    before = total(host)
    plan = pruned(host, "unused", person)
    assert plan.item_count == 3
    assert names_on(engine) == {"shop/db:1"}
    assert before - total(host) == plan.run.freed_bytes
    assert STORE == "containerd" or plan.promised_bytes == 500_000


def test_dangling_alone_goes(engine: PrivateEngine, person: User) -> None:
    with engine.client() as api:
        demo.load(api, Image(["shop/app:1"], [BASE, Layer("one", 50_000)]))
        demo.load_dangling(api, Image([], [BASE, Layer("lost", 90_000)]))
    host = registered(engine.address)
    plan = pruned(host, "dangling", person)
    assert plan.promised_bytes == 90_000 or (STORE == "containerd" and plan.promised_bytes > 90_000)
    assert names_on(engine) == {"shop/app:1"}


def reference_removed(client: Client, copy: Copy, name: str, seen: str, is_last: str) -> Job:
    url = f"/copies/{copy.pk}/references/remove/?reference={name}"
    response = client.post(url, {"is_last": is_last, "seen": seen}, headers={"HX-Request": "true"})
    pk = int(response.headers["HX-Redirect"].split("/")[2])
    job_carry_out(pk)
    return Job.objects.get(pk=pk)


def test_one_reference_untags_and_the_last_takes_the_image(
    client: Client, engine: PrivateEngine, person: User
) -> None:
    with engine.client() as api:
        demo.load(api, Image(["shop/app:1", "shop/app:latest"], [BASE]))
    host = registered(engine.address)
    client.force_login(person)
    with mock.patch.object(life, "dispatch"):
        copy = Copy.objects.get(host=host)
        job = reference_removed(client, copy, "shop/app:1", "shop/app:1 shop/app:latest", "")
        assert (job.state, job.result["freed_bytes"], job.result["counts"]) == (
            "succeeded",
            0,
            {"untagged": 1},
        )
        assert names_on(engine) == {"shop/app:latest"}
        job = reference_removed(client, copy, "shop/app:latest", "shop/app:latest", "1")
    assert job.result["freed_bytes"] == job.result["promised_bytes"]
    assert job.result["freed_bytes"] == 300_000 or STORE == "containerd"
    assert names_on(engine) == set()


def test_removal_of_a_rest_is_tried_again_on_the_engine(engine: PrivateEngine, person: User) -> None:
    from images.removal import removal_start
    from images.retry import job_retry

    with engine.client() as api:
        demo.load(api, Image(["a:1"], [TOOLS]), Image(["b:1"], [BASE]))
        demo.run_container(api, "a:1", "holder", start=False)
        host = registered(engine.address)
        with mock.patch.object(life, "dispatch"):
            [job] = removal_start(by=person, copies=Copy.objects.filter(host=host))
            job_carry_out(job.pk)
            assert Job.objects.get(pk=job.pk).result["counts"] == {"removed": 1, "skipped": 1}
            api.remove_container("holder")
            again = job_retry(by=person, job=Job.objects.select_related("host").get(pk=job.pk))
            job_carry_out(again.pk)
    assert list(again.items.values_list("name", "state")) == [("a:1", "removed")]
    assert names_on(engine) == set()


@pytest.mark.registry
@pytest.mark.services
def test_five_pulls_on_a_host_of_two_never_run_more_than_two_at_once(
    engine: PrivateEngine, workers: Bench, make_registry: Callable[..., PrivateRegistry], person: User
) -> None:
    registry = make_registry()
    fill(engine, registry, *[f"shop/api:{n}" for n in range(5)])
    host = registered(engine.address)
    Host.objects.filter(pk=host.pk).update(most_transfers=2)
    workers.start("engine")
    workers.started("engine")
    with Most(host) as most:
        for n in range(5):
            [job] = pull_start(by=person, hosts=[host], reference=f"{registry.host}/shop/api:{n}")
            workers.send("carry_out", job.pk, queue="engine")
        ended = Job.objects.exclude(state__in=(JobState.QUEUED, JobState.RUNNING))
        wait_for(lambda: ended.count() == 5, 60)
    assert set(ended.values_list("state", flat=True)) == {JobState.SUCCEEDED}
    assert most.seen == 2
    assert len(names_on(engine)) == 5
