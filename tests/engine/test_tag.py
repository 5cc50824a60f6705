"""Tagging on a real engine: the name, who had it before, and a question before it is taken from another image."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.tag import tag_start
from images.jobs.life import job_carry_out
from images.models import AuditEntry, Copy, Host, Job, JobState, Reference
from images.retry import job_retry
from tests import factories
from tests.engine.freed import registered

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


def holding(engine: PrivateEngine, *names: str) -> Host:
    with engine.client() as api:
        for name in names:
            demo.load(api, Image([name], [Layer(name, 100_000)]))
    return registered(engine.address)


def tagged(host: Host, name: str, reference: str, *, take_over: bool = False) -> Job:
    copy = Copy.objects.get(host=host, references__name=name)
    [job] = tag_start(by=factories.make_user(), copies=[copy], reference=reference, take_over=take_over)
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)


def names(host: Host) -> dict[str, str]:
    """Each tag and the ID it names, as the rows say it."""
    tags = Reference.objects.filter(host=host).exclude(tag="")
    return dict(tags.values_list("name", "copy__engine_id"))


def test_tag_gives_a_further_name(engine: PrivateEngine) -> None:
    host = holding(engine, "shop/api:1")
    job = tagged(host, "shop/api:1", "registry.example.com/shop/api")
    assert job.state == JobState.SUCCEEDED, job.error_raw
    held = names(host)
    assert set(held) == {"shop/api:1", "registry.example.com/shop/api:latest"}
    assert len(set(held.values())) == 1
    with engine.client() as client:
        api: Any = client
        assert set(api.inspect_image("shop/api:1")["RepoTags"]) == set(held)
    assert AuditEntry.objects.filter(action="job.tag", outcome="done").exists()


def test_tag_that_is_there_already_says_so(engine: PrivateEngine) -> None:
    host = holding(engine, "shop/api:1")
    assert tagged(host, "shop/api:1", "shop/api:1").result["was_here"] is True


def test_name_of_another_image_is_taken_only_when_that_was_said(engine: PrivateEngine) -> None:
    host = holding(engine, "shop/api:1", "shop/api:2")
    before = names(host)
    job = tagged(host, "shop/api:2", "shop/api:1")
    assert (job.state, job.error_code) == (JobState.FAILED, "tag_taken")
    assert names(host) == before
    job = tagged(host, "shop/api:2", "shop/api:1", take_over=True)
    assert job.state == JobState.SUCCEEDED
    assert job.result["replaced"] == before["shop/api:1"]
    assert set(names(host).values()) == {before["shop/api:2"]}
    assert Copy.objects.get(host=host, engine_id=before["shop/api:1"]).is_dangling


def test_name_that_somebody_else_has_by_now_is_not_taken_by_trying_again(engine: PrivateEngine) -> None:
    """Whom it was taken from was said once: that is no leave to take it from a third image later."""
    host = holding(engine, "shop/api:1", "shop/api:2", "shop/api:3")
    before = names(host)
    job = tagged(host, "shop/api:2", "shop/api:1", take_over=True)
    with engine.client() as client:
        client.tag("shop/api:3", "shop/api", "1", force=True)
    again = job_retry(by=factories.make_admin(), job=job)
    job_carry_out(again.pk)
    again.refresh_from_db()
    assert (again.state, again.error_code) == (JobState.FAILED, "tag_taken")
    with engine.client() as client:
        api: Any = client
        assert api.inspect_image("shop/api:1")["Id"] == before["shop/api:3"]


def test_image_that_is_gone_is_said(engine: PrivateEngine) -> None:
    host = holding(engine, "shop/api:1")
    engine.wipe()
    assert tagged(host, "shop/api:1", "shop/api:2").error_code == "image_gone"


def test_page_tags_on_every_host_that_was_chosen(
    engine: PrivateEngine, make_engine: Callable[..., PrivateEngine], client: Client
) -> None:
    hosts = [holding(each, "shop/api:1") for each in (engine, make_engine())]
    client.force_login(factories.make_admin())
    copy = Copy.objects.get(host=hosts[0])
    data = {"copy": copy.pk, "reference": "shop/api:stable", "hosts": [host.pk for host in hosts]}
    assert client.post(f"/commands/tag/?copy={copy.pk}", data).status_code == 302
    for job in Job.objects.filter(kind="tag"):
        job_carry_out(job.pk)
    assert all("shop/api:stable" in names(host) for host in hosts)
