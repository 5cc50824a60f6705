"""Jobs that were started together: one page for all hosts, cancelling and repeating them at once."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from images.commands.pull import pull_start
from images.models import Host, HostGroup, Job, JobState, User
from images.views.jobs import jobs_url
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def hosts(group: HostGroup) -> list[Host]:
    return [factories.make_host(f"ci-{n}", groups=(group,)) for n in range(3)]


@pytest.fixture
def jobs(hosts: list[Host], ada: User) -> list[Job]:
    return pull_start(by=ada, hosts=hosts, reference="shop/api:1")


def set_to(job: Job, state: str, **fields: Any) -> None:
    ended = None if state in ("queued", "running") else timezone.now()
    Job.objects.filter(pk=job.pk).update(state=state, ended_at=ended, **fields)


def shown(client: Client, jobs: list[Job], part: str = "") -> str:
    response = client.get(f"/jobs/batches/{jobs[0].batch}/{part}")
    assert response.status_code == 200
    return response.content.decode()


def test_several_jobs_lead_to_their_batch_and_one_to_its_own_page(jobs: list[Job]) -> None:
    assert jobs_url(jobs) == f"/jobs/batches/{jobs[0].batch}/"
    assert jobs_url(jobs[:1]) == f"/jobs/{jobs[0].pk}/"


def test_every_host_stands_with_its_state_and_what_went_wrong(
    client: Client, ada: User, jobs: list[Job]
) -> None:
    set_to(
        jobs[0],
        "succeeded",
        detail={"layers": [{"id": "a", "state": "done"}, {"id": "b", "state": "exists"}]},
    )
    set_to(jobs[1], "failed", error_code="image_not_found", error_values={"subject": "shop/api:1"})
    client.force_login(ada)
    text = shown(client, jobs)
    assert "2 of 2 layers" in text
    assert "There is no shop/api:1." in text
    assert "It waits for a worker." in text
    assert f'data-live="job:{jobs[0].pk} job:{jobs[1].pk} job:{jobs[2].pk} "' in text
    for job in jobs:
        set_to(job, "succeeded")
    assert 'hx-trigger="live, every' not in shown(client, jobs)


def test_bar_shows_at_a_glance_whether_a_job_failed(client: Client, ada: User, jobs: list[Job]) -> None:
    client.force_login(ada)

    def bar() -> str:
        return shown(client, jobs).split('class="batch-progress')[1].split('"')[0].strip()

    set_to(jobs[0], "succeeded")
    assert bar() == ""
    for job in jobs:
        set_to(job, "succeeded")
    assert bar() == "is-good"
    set_to(jobs[1], "failed", error_code="image_in_use")
    assert bar() == "is-danger"


def test_fragment_is_the_same_without_the_page(client: Client, ada: User, jobs: list[Job]) -> None:
    client.force_login(ada)
    response = client.get(f"/jobs/batches/{jobs[0].batch}/", headers={"HX-Request": "true"})
    assert response.content.decode().lstrip().startswith('<div id="batch_live"')


def test_only_hosts_in_sight_are_shown_and_none_is_404(
    client: Client, hosts: list[Host], jobs: list[Job]
) -> None:
    stranger, some = factories.make_user(), HostGroup.objects.create(name="one")
    client.force_login(stranger)
    assert client.get(f"/jobs/batches/{jobs[0].batch}/").status_code == 404
    hosts[1].groups.add(some)
    factories.grant(stranger, "viewer", some)
    text = shown(client, jobs)
    assert "ci-1" in text
    assert "ci-0" not in text
    assert "ci-2" not in text
    assert client.get(f"/jobs/batches/{uuid.uuid4()}/").status_code == 404


def test_cancel_ends_all_that_are_open(client: Client, ada: User, jobs: list[Job]) -> None:
    set_to(jobs[0], "succeeded")
    set_to(jobs[1], "running")
    client.force_login(ada)
    assert "Cancel 2 jobs" in shown(client, jobs)
    assert "Cancel 2 jobs?" in shown(client, jobs, "cancel/")
    assert "Let them go on" in shown(client, jobs, "cancel/")
    client.post(f"/jobs/batches/{jobs[0].batch}/cancel/")
    for job in jobs:
        job.refresh_from_db()
    assert [job.state for job in jobs] == ["succeeded", "running", "cancelled"]
    assert jobs[1].cancel_requested_by == ada
    assert jobs[0].cancel_requested_at is None


def test_retry_says_what_could_not_be_started_again_and_why(
    client: Client, ada: User, hosts: list[Host]
) -> None:
    batch, gone = uuid.uuid4(), str(uuid.uuid4())
    factories.grant(ada, "admin")

    def failed(host: Host, **parameters: Any) -> Job:
        return Job.objects.create(
            kind="build", host=host, created_by=ada, batch=batch, state="failed", subject="a:1",
            parameters={"tags": ["a:1"], **parameters},
        )  # fmt: skip

    jobs = [failed(host, context="upload", upload=gone) for host in hosts[:2]]
    client.force_login(ada)
    text = client.post(f"/jobs/batches/{batch}/retry/", follow=True).content.decode()
    assert not Job.objects.filter(retry_of__in=jobs).exists()
    assert (
        "2 jobs could not be started again. The files that were sent for this build are not there any" in text
    )
    assert "nothing left" not in text
    typed = failed(hosts[2], context="typed", dockerfile_text="FROM scratch")
    text = client.post(f"/jobs/batches/{batch}/retry/", follow=True).content.decode()
    assert [job.retry_of for job in Job.objects.filter(retry_of__isnull=False)] == [typed]
    assert "2 jobs could not be started again" in text


def test_retry_starts_those_that_failed_as_a_batch_of_their_own(
    client: Client, ada: User, jobs: list[Job]
) -> None:
    set_to(jobs[0], "succeeded")
    set_to(jobs[1], "failed")
    set_to(jobs[2], "lost")
    client.force_login(ada)
    assert "Try 2 again" in shown(client, jobs)
    response = client.post(f"/jobs/batches/{jobs[0].batch}/retry/", headers={"HX-Request": "true"})
    again = list(Job.objects.filter(retry_of__in=jobs).order_by("id"))
    assert [job.retry_of for job in again] == jobs[1:]
    assert len({job.batch for job in again}) == 1
    assert again[0].batch != jobs[0].batch
    assert response.headers["HX-Redirect"] == f"/jobs/batches/{again[0].batch}/"


def test_viewer_may_look_but_not_touch(client: Client, group: HostGroup, jobs: list[Job]) -> None:
    vera = factories.make_user("vera")
    factories.grant(vera, "viewer", group)
    client.force_login(vera)
    assert "Cancel 3" not in shown(client, jobs)
    for part in ("cancel", "retry"):
        assert client.post(f"/jobs/batches/{jobs[0].batch}/{part}/").status_code == 403
    assert Job.objects.filter(state=JobState.QUEUED).count() == 3


def test_page_costs_the_same_for_many_hosts(client: Client, ada: User, group: HostGroup) -> None:
    client.force_login(ada)
    counts = []
    for number in (2, 12):
        made = [factories.make_host(f"h{number}-{n}", groups=(group,)) for n in range(number)]
        batch = pull_start(by=ada, hosts=made, reference="redis:7")
        with CaptureQueriesContext(connection) as queries:
            shown(client, batch)
        counts.append(len(queries))
    assert counts[0] == counts[1]
