"""Docker's image commands over ssh: the streams that are long or large, through a real ssh server."""

from collections.abc import Callable
from typing import Any

import pytest

from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.build import build_start
from images.commands.copy import copy_start
from images.commands.pull import pull_start
from images.commands.push import push_start
from images.commands.tag import tag_start
from images.hosts import freshness
from images.jobs.life import job_carry_out
from images.models import Copy, Host, Job, JobState
from images.removal import removal_start
from tests import factories
from tests.browser.plugin import LiveSite
from tests.engine.freed import find, registered
from tests.engine.moves import loaded, noise, person, tags, until
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
    freshness.host_sync(host.pk)
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
    registry, builder = make_registry(), factories.make_user()
    name = f"{registry.host}/shop/api:1"
    text = "FROM shop/tools:1\nRUN echo made > /made; echo said\n"
    job = done(build_start(by=builder, hosts=[far], network="none", dockerfile_text=text, tags=[name]))
    assert "said" in "".join(job.log.values_list("text", flat=True))
    copy = Copy.objects.get(host=far, references__name=name)
    job = done(push_start(by=builder, copies=[copy], reference=name))
    assert job.result["digest"] == registry.digest("shop/api", "1")
    done(tag_start(by=builder, copies=[copy], reference="shop/api:kept", take_over=False))
    assert tags(engine) == {"shop/tools:1", name, "shop/api:kept"}
    done(removal_start(by=builder, copies=[find(far, name)]))
    assert tags(engine) == {"shop/tools:1"}
    job = done(pull_start(by=builder, hosts=[far], reference=name))
    assert job.result["digest"] == registry.digest("shop/api", "1")
    assert name in tags(engine)


@pytest.mark.services
def test_archives_pass_between_a_browser_and_a_host_over_ssh(
    live_site: LiveSite, engine: PrivateEngine, make_sshd: Callable[..., PrivateSshd]
) -> None:
    """By the site's own worker, which opens the way by itself."""
    loaded(engine, Image(["shop/web:1"], [noise("web", 20_000_000)]))
    host = host_of(engine, make_sshd())
    freshness.host_sync(host.pk)
    user = factories.make_user("ada")
    factories.grant(user, "operator")
    with person(live_site, user) as ada:
        job = ada.save(find(host, "shop/web:1"))
        content = ada.download(job)
        assert until(job).state == JobState.SUCCEEDED, job.error_raw
        assert len(content) > 20_000_000
        engine.wipe()
        [load] = ada.load([host], len(content))
        assert ada.upload(load, content).status_code == 200
        assert until(load).state == JobState.SUCCEEDED, load.error_raw
    assert tags(engine) == {"shop/web:1"}


def test_images_are_copied_to_and_from_a_host_over_ssh(far: Host, make_engine: Any) -> None:
    near_engine, mover = make_engine("near"), factories.make_user()
    loaded(near_engine, Image(["shop/web:1"], [noise("web", 20_000_000)]))
    near = registered(near_engine.address)
    job = done(copy_start(by=mover, copies=[find(near, "shop/web:1")], hosts=[far]))
    assert job.result["bytes"] > 20_000_000
    done(copy_start(by=mover, copies=[find(far, "shop/tools:1")], hosts=[near]))
    assert tags(near_engine) == {"shop/web:1", "shop/tools:1"}
