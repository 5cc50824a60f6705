"""Ended jobs and old audit entries go after a time, and nothing that is still needed goes along."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from images import audit, forgetting
from images.models import AuditEntry, Container, Host, Image, Job, JobItem, JobLog, Layer, Pin
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return factories.make_host()


def job(host: Host, days: float | None, state: str = "succeeded") -> Job:
    ended_at = None if days is None else timezone.now() - timedelta(days=days)
    made = Job.objects.create(kind="pull", host=host, state=state, ended_at=ended_at)
    JobItem.objects.create(job=made, position=0, name="x")
    JobLog.objects.create(job=made, text="x\n")
    return made


def test_jobs_that_ended_long_ago_go_with_items_and_logs(host: Host, settings: Any) -> None:
    settings.JOB_DAYS = 30
    old, young, running = job(host, 31), job(host, 29), job(host, None, "running")
    again = Job.objects.create(kind="pull", host=host, retry_of=old)
    assert forgetting.jobs_forget(timezone.now()) == 1
    assert set(Job.objects.all()) == {young, running, again}
    assert JobItem.objects.count() == JobLog.objects.count() == 2
    again.refresh_from_db()
    assert again.retry_of is None


def test_they_go_in_small_batches(host: Host) -> None:
    for _ in range(5):
        job(host, 1000)
    with mock.patch.object(forgetting, "JOBS_AT_ONCE", 3):
        assert [forgetting.jobs_forget(timezone.now()) for _ in range(3)] == [3, 2, 0]


def test_jobs_of_a_cleanup_run_stay_while_the_run_does(host: Host) -> None:
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    rows.add_host(plan, host)
    run = rows.make_run(plan)
    run.host_runs.update(job=job(host, 1000))
    assert forgetting.jobs_forget(timezone.now()) == 0
    run.delete()
    assert forgetting.jobs_forget(timezone.now()) == 1


def test_zero_keeps_everything(host: Host, settings: Any) -> None:
    settings.JOB_DAYS = settings.AUDIT_DAYS = 0
    job(host, 10_000)
    assert forgetting.jobs_forget(timezone.now()) == forgetting.entries_forget(timezone.now()) == 0


def test_old_audit_entries_go(settings: Any) -> None:
    settings.AUDIT_DAYS = 400
    old, young = audit.record(by=None, action="x"), audit.record(by=None, action="y")
    AuditEntry.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=401))
    assert forgetting.entries_forget(timezone.now()) == 1
    assert list(AuditEntry.objects.all()) == [young]


def forget_images(days: float = 0) -> int:
    """A tick in so many days that looks at all of them: their numbers may be high."""
    with mock.patch.object(forgetting, "IMAGES_AT_ONCE", 10**9):
        return forgetting.images_forget(timezone.now() + timedelta(days=days))


def test_image_that_nothing_has_any_more_goes_after_a_week_with_the_layers_of_its_own(host: Host) -> None:
    base, top = factories.make_layer(10), factories.make_layer(20)
    gone = factories.make_copy(host, "gone:1", image=factories.make_image(base, top))
    kept = factories.make_copy(host, "kept:1", image=factories.make_image(base))
    assert forget_images() == 0
    gone.delete()
    assert [forget_images(days) for days in (0, 6.9, 7.1)] == [0, 0, 1]
    assert list(Image.objects.all()) == [kept.image]
    assert list(Layer.objects.all()) == [base]
    assert list(kept.image.image_layers.values_list("layer", flat=True)) == [base.pk]


def test_image_that_came_back_in_between_begins_anew(host: Host) -> None:
    copy = factories.make_copy(host, "app:1")
    image = copy.image
    copy.delete()
    forget_images()
    again = factories.make_copy(host, "app:1", image=image)
    assert forget_images(8) == 0
    again.delete()
    assert forget_images(8) == 0, "nothing has had it since now only"
    assert forget_images(16) == 1


@pytest.mark.parametrize("holder", ["container", "pin"])
def test_image_of_a_container_or_a_pin_stays(host: Host, holder: str) -> None:
    image = factories.make_image(factories.make_layer(10))
    if holder == "container":
        Container.objects.create(host=host, image=image, container_id="c" * 64, name="web")
    else:
        Pin.objects.create(image=image, reason="audit")
    assert [forget_images(days) for days in (0, 8)] == [0, 0]
    assert Image.objects.get() == image


def test_each_tick_looks_at_some_and_in_the_end_at_all() -> None:
    keys = [factories.make_image().pk for _ in range(7)]
    parts = range(keys[0] // 3 * 3, keys[-1] + 1, 3)
    with (
        mock.patch.object(forgetting, "IMAGES_AT_ONCE", 3),
        mock.patch.object(forgetting, "random") as chance,
    ):
        for days in (0, 8):
            chance.randrange.side_effect = parts
            now = timezone.now() + timedelta(days=days)
            gone = [forgetting.images_forget(now) for _ in parts]
            assert chance.randrange.call_args == mock.call(0, keys[-1] + 1, 3)
    assert max(gone) <= 3
    assert sum(gone) == 7
