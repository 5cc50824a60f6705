"""Docker's image commands over ssh: the streams that are long or large, through a real ssh server."""

from collections.abc import Callable
from typing import Any

import pytest

from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images import hosts
from images.commands.build import build_start
from images.commands.copy import copy_start
from images.commands.pull import pull_start
from images.commands.push import push_start
from images.jobs import job_carry_out
from images.models import Copy, Host, Job, JobState
from tests import factories
from tests.engine.freed import find, registered
from tests.engine.moves import loaded, noise, tags
from tests.engine.test_ssh import host_of
from tests.registry import PrivateRegistry
from tests.sshd import PrivateSshd

pytestmark = [
    pytest.mark.engine, pytest.mark.ssh, pytest.mark.registry, pytest.mark.django_db(transaction=True),
]  # fmt: skip

TOOLS = Image(["shop/tools:1"], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]})


@pytest.fixture
def far(engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd]) -> Host:
    """The engine as it is reached over ssh, with a base image on it."""
    loaded(engine, TOOLS)
    host = host_of(engine, make_sshd())
    hosts.host_sync(host.pk)
    host.refresh_from_db()
    return host


def done(jobs: list[Job]) -> Job:
    [job] = jobs
    job_carry_out(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    return job


def test_build_push_and_pull_over_ssh(
    engine: PrivateEngine, far: Host, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry, person = make_registry(), factories.make_user()
    name = f"{registry.host}/shop/api:1"
    text = "FROM shop/tools:1\nRUN echo made > /made; echo said\n"
    job = done(build_start(by=person, hosts=[far], network="none", dockerfile_text=text, tags=[name]))
    assert "said" in "".join(job.log.values_list("text", flat=True))
    copy = Copy.objects.get(host=far, references__name=name)
    job = done(push_start(by=person, copies=[copy], reference=name))
    assert job.result["digest"] == registry.digest("shop/api", "1")
    with engine.client() as api:
        api.remove_image(name)
    job = done(pull_start(by=person, hosts=[far], reference=name))
    assert job.result["digest"] == registry.digest("shop/api", "1")
    assert name in tags(engine)


def test_images_are_copied_to_and_from_a_host_over_ssh(far: Host, make_engine: Any) -> None:
    near_engine, person = make_engine("near"), factories.make_user()
    loaded(near_engine, Image(["shop/web:1"], [noise("web", 20_000_000)]))
    near = registered(near_engine.address)
    job = done(copy_start(by=person, copies=[find(near, "shop/web:1")], hosts=[far]))
    assert job.result["bytes"] > 20_000_000
    done(copy_start(by=person, copies=[find(far, "shop/tools:1")], hosts=[near]))
    assert tags(near_engine) == {"shop/web:1", "shop/tools:1"}
