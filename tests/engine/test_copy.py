"""Copying from engine to engine, and what happens when one of the two goes away."""

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.copy import copy_again, copy_start
from images.engine import quiet
from images.errors import UserError, explain
from images.jobs.life import job_cancel, job_carry_out
from images.models import Copy, Host, HostGroup, Job, JobState, StoreKind, User
from tests import factories
from tests.conftest import closing
from tests.engine.freed import find, registered
from tests.engine.moves import loaded, noise, tags, until

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

BASE = noise("base", 400_000)
API = Image(["shop/api:1", "shop/api:latest"], [BASE, noise("api", 300_000)])
WEB = Image(["shop/web:2"], [BASE, noise("web", 300_000)])
BIG = Image(["big:1"], [Layer("data", 600_000_000)])


@pytest.fixture
def target(make_engine: Any) -> PrivateEngine:
    engine: PrivateEngine = make_engine("target")
    return engine


def filled(engine: PrivateEngine, *images: Image) -> Host:
    loaded(engine, *images)
    return registered(engine.address)


def begun(source: Host, hosts: list[Host], *names: str) -> list[Job]:
    return copy_start(by=factories.make_user(), copies=[find(source, name) for name in names], hosts=hosts)


def copied(source: Host, host: Host, *names: str) -> Job:
    [job] = begun(source, [host], *names)
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)


def in_background(job: Job) -> threading.Thread:
    thread = threading.Thread(target=closing(job_carry_out), args=(job.pk,))
    thread.start()
    return thread


def moving(job: Job) -> Job:
    """Waits until bytes are on the way."""
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        row = Job.objects.get(pk=job.pk)
        if row.progress_done or not row.is_open:
            return row
        time.sleep(0.02)
    raise AssertionError(row.detail)


def test_copy_is_the_same_image_with_all_its_names(engine: PrivateEngine, target: PrivateEngine) -> None:
    source, host = filled(engine, API), registered(target.address)
    job = copied(source, host, "shop/api:1")
    assert (job.state, job.error_raw) == (JobState.SUCCEEDED, "")
    assert tags(target) == {"shop/api:1", "shop/api:latest"}
    assert find(host, "shop/api:1").image == find(source, "shop/api:1").image
    assert job.progress_done == job.progress_total == job.result["bytes"] > 700_000


def test_several_images_arrive_with_their_shared_layers_once(
    engine: PrivateEngine, target: PrivateEngine
) -> None:
    source, host = filled(engine, API, WEB), registered(target.address)
    job = copied(source, host, "shop/api:1", "shop/web:2")
    assert tags(target) == {"shop/api:1", "shop/api:latest", "shop/web:2"}
    assert job.result["bytes"] < 1_200_000
    assert [layer["state"] for layer in job.detail["layers"]] == ["done"] * 3, "each as it was unpacked there"
    host.refresh_from_db()
    assert host.total_bytes < (
        2_500_000 if host.store_kind == StoreKind.CONTAINERD else 1_200_000
    )  # blobs, too


def test_what_is_there_already_is_not_sent(engine: PrivateEngine, target: PrivateEngine) -> None:
    source, host = filled(engine, API, WEB), filled(target, API)
    with target.client() as api:
        api.remove_image("shop/api:latest")
    job = copied(source, host, "shop/api:1", "shop/web:2")
    assert (job.result["here"], job.result["tagged"]) == (["shop/api:1"], ["shop/api:latest"])
    assert tags(target) == {"shop/api:1", "shop/api:latest", "shop/web:2"}
    again = copied(source, host, "shop/api:1", "shop/web:2")
    assert again.state == JobState.SUCCEEDED
    assert (again.result["bytes"], again.result["tagged"]) == (0, [])
    assert len(again.result["here"]) == 3


def test_image_without_a_name_is_copied_by_its_id(engine: PrivateEngine, target: PrivateEngine) -> None:
    loaded(engine, WEB)
    with engine.client() as api:
        api.tag("shop/web:2", "aside", "1")
        loaded(engine, Image(["shop/web:2"], [noise("newer", 1000)]))
        engine_id = demo.inspect(api, "aside:1")["Id"]
        loaded(engine, Image(["aside:1"], [noise("newest", 1000)]))
    source, host = registered(engine.address), registered(target.address)
    job = copied(source, host, engine_id)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert Copy.objects.get(host=host).is_dangling
    assert job.result["loaded"]


def test_host_that_is_down_stops_no_other(
    engine: PrivateEngine, target: PrivateEngine, make_engine: Any
) -> None:
    source, up = filled(engine, API), registered(target.address)
    third = make_engine("third")
    also, down = registered(third.address), factories.make_host(address="unix:///run/nobody.sock")
    jobs = begun(source, [up, down, also], "shop/api:1")
    threads = [in_background(job) for job in jobs]
    for thread in threads:
        thread.join(60)
    ended = {job.host_id: Job.objects.get(pk=job.pk) for job in jobs}
    assert ended[up.pk].state == ended[also.pk].state == JobState.SUCCEEDED
    assert (ended[down.pk].state, ended[down.pk].error_code) == (JobState.FAILED, "host_no_socket")
    assert tags(target) == tags(third) == {"shop/api:1", "shop/api:latest"}


@pytest.mark.parametrize(("which", "code"), [("source", "copy_source_lost"), ("target", "copy_target_lost")])
def test_engine_that_is_killed_in_the_middle_is_named(
    engine: PrivateEngine, target: PrivateEngine, which: str, code: str
) -> None:
    source, host = filled(engine, BIG), registered(target.address)
    [job] = begun(source, [host], "big:1")
    thread = in_background(job)
    moving(job)
    (engine if which == "source" else target).kill()
    thread.join(30)
    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.error_code) == (JobState.FAILED, code), job.error_raw
    if which == "source":
        assert not tags(target)
        assert engine.address not in job.error_raw + str(job.error_values)


@pytest.mark.parametrize(("which", "code"), [("source", "copy_source_lost"), ("target", "copy_target_lost")])
def test_engine_that_hangs_is_noticed_and_named(
    engine: PrivateEngine, target: PrivateEngine, which: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "QUIET_SECONDS", 1.0)
    monkeypatch.setattr(quiet, "ANSWER_SECONDS", 1.0)
    source, host = filled(engine, BIG), registered(target.address)
    [job] = begun(source, [host], "big:1")
    thread = in_background(job)
    moving(job)
    (engine if which == "source" else target).pause()
    thread.join(30)
    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.error_code) == (JobState.FAILED, code), job.error_raw


def test_source_that_is_away_from_the_start_is_named(engine: PrivateEngine, target: PrivateEngine) -> None:
    source, host = filled(engine, API), registered(target.address)
    engine.stop()
    assert copied(source, host, "shop/api:1").error_code == "copy_source_lost"


def test_cancel_cuts_both(engine: PrivateEngine, target: PrivateEngine) -> None:
    source, host = filled(engine, BIG), registered(target.address)
    [job] = begun(source, [host], "big:1")
    thread = in_background(job)
    job = moving(job)
    began = time.monotonic()
    job_cancel(by=factories.make_admin(), job=job)
    thread.join(30)
    assert Job.objects.get(pk=job.pk).state == JobState.CANCELLED
    assert time.monotonic() - began < 5
    assert not tags(target)
    assert engine.ping()
    assert target.ping()


def test_name_that_was_moved_on_the_source_meanwhile_is_not_copied(
    engine: PrivateEngine, target: PrivateEngine
) -> None:
    """The archive is made by name, and would hold what nobody chose."""
    source, host = filled(engine, API, WEB), registered(target.address)
    [job] = begun(source, [host], "shop/api:1")
    with engine.client() as api:
        api.tag("shop/web:2", "shop/api", "1", force=True)
    job_carry_out(job.pk)
    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.error_code, job.error_values) == (
        JobState.FAILED, "copy_source_gone", {"subject": "shop/api:1"},
    )  # fmt: skip
    assert not tags(target)


def test_names_that_a_copy_takes_from_other_images_are_told(
    engine: PrivateEngine, target: PrivateEngine
) -> None:
    loaded(target, Image(["shop/api:1", "other:1"], [noise("older", 100_000)]))
    source, host = filled(engine, API), registered(target.address)
    older = find(host, "shop/api:1").engine_id
    job = copied(source, host, "shop/api:1")
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert job.result["moved"] == {"shop/api:1": older}
    assert tags(target) == {"shop/api:1", "shop/api:latest", "other:1"}


@pytest.mark.graph_driver
def test_full_disk_of_the_source_is_not_said_of_the_target(
    target: PrivateEngine, small_disk: Callable[[], PrivateEngine]
) -> None:
    """A graph driver writes the whole archive to its own disk before it sends it; the containerd store streams it."""
    small = small_disk()
    loaded(small, Image(["shop/big:1"], [noise("big", 50_000_000)]))
    with (small.directory / "filler").open("wb") as filler:
        filler.write(bytes(shutil.disk_usage(small.directory).free - 30_000_000))
    source, host = registered(small.address), registered(target.address)
    job = copied(source, host, "shop/big:1")
    assert (job.state, job.error_code, job.error_raw) == (JobState.FAILED, "copy_source_full", "")
    assert explain(job.error_code, job.error_values).remedy


def test_disk_that_fills_up_is_said(engine: PrivateEngine, small_disk: Callable[[], PrivateEngine]) -> None:
    small = small_disk()
    source, host = filled(engine, BIG), registered(small.address)
    job = copied(source, host, "big:1")
    assert (job.state, job.error_code) == (JobState.FAILED, "disk_full"), job.error_raw
    assert not tags(small)


def test_source_that_lost_the_image_is_said(engine: PrivateEngine, target: PrivateEngine) -> None:
    source, host = filled(engine, API), registered(target.address)
    [job] = begun(source, [host], "shop/api:1")
    engine.wipe()
    job_carry_out(job.pk)
    assert until(job).error_code == "copy_source_gone"


def test_image_that_is_there_in_part_is_refused(engine: PrivateEngine) -> None:
    source = filled(engine, API)
    copy = find(source, "shop/api:1")
    copy.image.is_partial = True
    with pytest.raises(UserError) as refused:
        copy_start(by=factories.make_user(), copies=[copy], hosts=[factories.make_host()])
    assert refused.value.code == "image_partial"


def test_same_image_on_several_hosts_is_taken_from_one_that_answers(engine: PrivateEngine) -> None:
    source = filled(engine, API)
    copy = find(source, "shop/api:1")
    offline = factories.make_host(state="offline")
    other = factories.make_copy(offline, "shop/api:1", "shop/api:latest", image=copy.image)
    [job] = copy_start(by=factories.make_user(), copies=[other, copy], hosts=[factories.make_host()])
    assert job.parameters["source"] == source.pk


def test_trying_again_needs_the_right_to_take_from_the_source(engine: PrivateEngine) -> None:
    source, group = filled(engine, API), HostGroup.objects.create(name="targets")
    [job] = begun(source, [factories.make_host(groups=(group,))], "shop/api:1")
    person: User = factories.make_user()
    factories.grant(person, "operator", group)
    with pytest.raises(UserError):
        copy_again(person, job)
    factories.grant(person, "operator")
    assert copy_again(person, job).parameters == job.parameters
