"""A host with a mirror: images of Docker Hub come through it, and Drydock knows the mirror's name."""

from collections.abc import Callable
from typing import Any

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.pull import pull_start
from images.engine import read
from images.engine.client import Connection, open_engine
from images.hosts import freshness
from images.jobs.life import job_carry_out
from images.models import Copy, Host, Job, JobState
from tests import factories
from tests.engine.freed import registered
from tests.registry import PrivateRegistry

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.django_db(transaction=True)]


def test_image_of_docker_hub_comes_from_the_hosts_mirror(
    engine: PrivateEngine,
    make_engine: Callable[..., PrivateEngine],
    make_registry: Callable[..., PrivateRegistry],
) -> None:
    hub = make_registry()
    mirror = make_registry(mirrored=f"http://{hub.host}")
    with engine.client() as client:
        api: Any = client
        name = f"{hub.host}/library/something:1"
        demo.load(api, Image([name], [Layer("own", 200_000)]))
        for line in api.push(name, stream=True, decode=True):
            assert "error" not in line, line
    mirrored = make_engine(arguments=("--registry-mirror", f"http://{mirror.host}"))
    host = registered(mirrored.address)
    with open_engine(Connection.of(host)) as opened:
        freshness.host_reached(host, read.info(opened))
    assert host.registry_mirrors == [f"http://{mirror.host}/"]
    job = pulled(host, "something:1")
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert job.result["digest"] == hub.digest("library/something", "1")
    assert job.result["mirrors"] == [f"http://{mirror.host}/"]
    assert Copy.objects.get(host=host).name == "something:1"
    copy = Copy.objects.get(host=host)
    for spelling in ("something:1", "library/something:1", "docker.io/library/something:1"):
        result = pulled(host, spelling).result
        assert (result["image"], result["was_here"], result["replaced"]) == (copy.image_id, True, ""), (
            spelling
        )
    with mirrored.client() as client:
        older = demo.load(client, Image(["older:1"], [Layer("older", 1000)]))["older:1"]
        client.tag("older:1", "something", "1", force=True)
    result = pulled(host, "docker.io/library/something:1").result
    assert (result["image"], result["replaced"]) == (copy.image_id, older)


def pulled(host: Host, reference: str) -> Job:
    [job] = pull_start(by=factories.make_user(), hosts=[host], reference=reference)
    job_carry_out(job.pk)
    return Job.objects.get(pk=job.pk)
