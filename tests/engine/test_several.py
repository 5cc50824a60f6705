"""Several images pushed to a real registry and pulled again from it, in one go each."""

from collections.abc import Callable

import pytest
from django.test import Client

from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.jobs.life import job_carry_out
from images.models import Copy, Job, JobState
from tests import factories
from tests.engine.freed import registered
from tests.engine.moves import loaded, tags
from tests.registry import PrivateRegistry

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.django_db(transaction=True)]


def done_in_one_go(client: Client, kind: str, copies: list[Copy], **data: object) -> list[Job]:
    chosen = ",".join(str(copy.pk) for copy in copies)
    response = client.post(f"/commands/{kind}/", {"copies": chosen} | data)
    assert response.status_code == 302, response.content.decode()
    jobs = list(Job.objects.filter(kind=kind.partition("-")[0]).order_by("id"))
    for job in jobs:
        job_carry_out(job.pk)
        job.refresh_from_db()
        assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert response["Location"] == f"/jobs/batches/{jobs[0].batch}/"
    return jobs


def test_ticked_images_are_pushed_and_pulled_together(
    client: Client, engine: PrivateEngine, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry()
    names = [f"{registry.host}/shop/{name}:1" for name in ("api", "web", "worker")]
    loaded(engine, *(Image([name], [Layer("base", 100_000), Layer(name, 1000)]) for name in names))
    host = registered(engine.address)
    client.force_login(factories.make_admin("root"))
    copies = list(Copy.objects.filter(host=host))
    pushed = done_in_one_go(client, "push-several", copies, targets=[f"0@{registry.host}"])
    assert sorted(job.subject for job in pushed) == names
    for job in pushed:
        repository = job.subject.removeprefix(f"{registry.host}/").partition(":")[0]
        assert job.result["digest"] == registry.digest(repository, "1")

    pulled = done_in_one_go(client, "pull-several", list(Copy.objects.filter(host=host)))
    assert [job.result["digest"] for job in pulled] == [job.result["digest"] for job in pushed]
    assert tags(engine) == set(names)
