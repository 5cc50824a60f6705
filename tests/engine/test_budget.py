"""What does not fit into a host's image budget: said before it comes, as far as sizes are known."""

from typing import Any

import pytest
from django.test import Client

from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images.commands.copy import copy_start
from images.errors import UserError
from images.forms.commands.pull import PullForm
from images.hosts.budget import budget_check, lacking_bytes
from images.jobs.life import job_carry_out
from images.models import Host, ImageLayer, Job, JobState
from tests import factories
from tests.engine.freed import find, registered
from tests.engine.moves import loaded, tags

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

BASE = Layer("base", 3_000_000)
OLD = Image(["shop/api:1"], [BASE, Layer("one", 100_000)])
NEW = Image(["shop/api:2"], [BASE, Layer("two", 200_000)])


@pytest.fixture
def target(make_engine: Any) -> PrivateEngine:
    made: PrivateEngine = make_engine("target")
    return made


def copied(source: Host, host: Host, **options: Any) -> Job:
    [job] = copy_start(by=factories.make_user(), copies=[find(source, "shop/api:2")], hosts=[host], **options)
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)


def test_copy_counts_the_layers_that_its_target_lacks_and_no_other(
    engine: PrivateEngine, target: PrivateEngine
) -> None:
    loaded(engine, OLD, NEW)
    loaded(target, OLD)
    source, host = registered(engine.address), registered(target.address)
    new = find(source, "shop/api:2")
    lacking = ImageLayer.objects.get(
        image=new.image, position=1, layer__store_kind=host.store_kind
    ).layer.size_bytes
    assert lacking_bytes(source, [new.engine_id], host) == lacking >= 200_000
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=host.total_bytes + lacking - 1)
    job = copied(source, host)
    assert (job.state, job.error_code) == (JobState.FAILED, "image_over_budget"), job.error_raw
    assert tags(target) == {"shop/api:1"}
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=host.total_bytes + lacking)
    job = copied(source, host)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    # The containerd store keeps what came beside what it unpacked.
    assert "over_budget_bytes" not in job.result or STORE == "containerd"


def test_copy_above_the_budget_is_done_when_that_was_said(
    engine: PrivateEngine, target: PrivateEngine
) -> None:
    loaded(engine, NEW)
    source, host = registered(engine.address), registered(target.address)
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=1_200_000)
    job = copied(source, host, above_budget=True)
    host.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert job.result["over_budget_bytes"] == host.total_bytes - 1_200_000 >= 2_000_000


def test_archive_larger_than_the_whole_budget_is_refused_before_a_byte_is_sent(client: Client) -> None:
    host = factories.make_host("small", image_budget_bytes=1_000_000)
    client.force_login(factories.make_admin())
    sent = {"hosts": [host.pk], "file": "a.tar", "size": "1000001"}
    [problem] = client.post("/load/", sent).json()["problems"]
    assert "a.tar does not fit into the image budget of small" in problem
    assert not Job.objects.exists()
    assert "upload" in client.post("/load/", sent | {"above_budget": "on"}).json()
    assert "upload" in client.post("/load/", sent | {"size": "1000000"}).json()


def test_box_is_there_where_a_host_has_a_budget() -> None:
    host, root = factories.make_host(), factories.make_admin()
    assert "above_budget" not in PullForm(user=root).fields
    Host.objects.filter(pk=host.pk).update(image_budget_bytes=1)
    assert list(PullForm(user=root).fields)[-1] == "above_budget"


def test_host_without_a_budget_takes_everything() -> None:
    budget_check(factories.make_host(), 10**15, "x")
    with pytest.raises(UserError):
        budget_check(factories.make_host(image_budget_bytes=10**9), 10**15, "x")
