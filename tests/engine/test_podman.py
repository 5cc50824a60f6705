"""What Podman alone does."""

from collections.abc import Callable

import pytest

from config.demo.images import Image
from images.commands.push import push_start
from images.jobs.life import job_carry_out
from images.models import Copy, Job, JobState
from tests import factories
from tests.engine.extra import AddressOf, emptied, load
from tests.engine.freed import registered
from tests.engine.moves import noise
from tests.registry import PrivateRegistry
from tests.way import way_to

pytestmark = [
    pytest.mark.engine, pytest.mark.registry, pytest.mark.podman, pytest.mark.django_db(transaction=True),
]  # fmt: skip


def test_push_that_takes_its_time_is_not_taken_for_a_hung_registry(
    address_of: AddressOf, make_registry: Callable[..., PrivateRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first word and the digest Podman says nothing, however long that takes."""
    monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
    registry = make_registry()
    with way_to(registry.port) as way:
        name = f"{way.host}/shop/api:1"
        with emptied(address_of("podman")) as api:
            load(api, Image([name], [noise("data", 20_000_000)]))
        host = registered(address_of("podman"))
        way.slow_bytes = 4_000_000
        copy = Copy.objects.get(host=host, references__name=name)
        [job] = push_start(by=factories.make_user(), copies=[copy], reference=name)
        job_carry_out(job.pk)
    job = Job.objects.get(pk=job.pk)
    assert job.started_at
    assert job.ended_at
    assert (job.ended_at - job.started_at).total_seconds() > 4, "it was too quick to show anything"
    assert (job.state, job.error_code) == (JobState.SUCCEEDED, ""), job.error_raw
    assert job.result["digest"] == registry.digest("shop/api", "1")
