"""Trying an ended job again, and what a job was asked, without its secrets."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from images.commands.build import build_start
from images.commands.save import save_start
from images.errors import UserError
from images.jobs import wording
from images.jobs.life import ItemInput, job_carry_out, job_start
from images.jobs.operations import OPERATIONS, operation
from images.models import AuditEntry, Host, HostGroup, ItemState, Job, JobState, Permission, Upload, User
from images.removal import removal_start
from images.retry import can_retry, job_retry
from images.secrets import MASK
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def scrub() -> Iterator[None]:
    @operation("scrub", label="Scrub the decks", permission=Permission.PULL)
    def _scrub(context: Any) -> dict[str, Any]:
        return {}

    yield
    del OPERATIONS["scrub"]


def ended(job: Job, state: str = JobState.FAILED, **fields: Any) -> Job:
    Job.objects.filter(pk=job.pk).update(state=state, ended_at=timezone.now(), **fields)
    return Job.objects.select_related("host").get(pk=job.pk)


def test_retry_is_a_new_job_with_the_same_input(host: Host, ada: User) -> None:
    job = ended(
        job_start(
            kind="scrub", host=host, by=None, parameters={"reference": "redis:7"}, subject="redis:7",
            items=[ItemInput("a", "sha256:1")],
        )
    )  # fmt: skip
    again = Job.objects.get(pk=job_retry(by=ada, job=job).pk)
    assert (again.state, again.parameters, again.subject) == ("queued", {"reference": "redis:7"}, "redis:7")
    assert (again.retry_of, again.created_by) == (job, ada)
    assert list(again.items.values_list("name", "engine_id", "state")) == [("a", "sha256:1", "pending")]
    entry = AuditEntry.objects.get(action="job.scrub", actor=ada)
    assert entry.detail["retry_of"] == job.pk


def test_open_job_is_not_tried_again(host: Host, ada: User) -> None:
    job = job_start(kind="scrub", host=host, by=None)
    with pytest.raises(UserError, match="can not be started again"):
        job_retry(by=ada, job=job)


def test_cleanup_and_what_streams_to_a_browser_is_not_repeated(host: Host) -> None:
    for kind in ("cleanup", "save", "load", "of-old"):
        if kind in OPERATIONS or kind == "of-old":
            assert not can_retry(ended(Job.objects.create(kind=kind, host=host))), kind


def test_switched_off_host_gets_no_new_job(host: Host) -> None:
    host.is_enabled = False
    host.save()
    assert not can_retry(ended(Job.objects.create(kind="scrub", host=host)))


def removal(host: Host, ada: User) -> Job:
    copies = [factories.make_copy(host, f"shop/api:{n}") for n in range(3)]
    [job] = removal_start(by=ada, copies=copies)
    items = list(job.items.order_by("position"))
    for item, state in zip(items, (ItemState.REMOVED, ItemState.SKIPPED, ItemState.FAILED), strict=True):
        item.state = state
        item.save()
    return ended(job, JobState.SUCCEEDED, result={"counts": {"removed": 1, "skipped": 1, "failed": 1}})


def test_removal_is_repeated_for_what_was_not_done(host: Host, ada: User) -> None:
    job = removal(host, ada)
    undone = set(job.items.exclude(state=ItemState.REMOVED).values_list("copy_id", flat=True))
    again = job_retry(by=ada, job=job)
    assert set(again.items.values_list("copy_id", flat=True)) == undone
    assert Job.objects.get(pk=again.pk).retry_of == job


def test_removal_that_did_everything_has_no_rest(host: Host, ada: User) -> None:
    job = removal(host, ada)
    assert can_retry(job)
    assert not can_retry(ended(job, JobState.SUCCEEDED, result={"counts": {"removed": 3}}))


def test_image_that_changed_since_is_left_alone_by_the_retry(host: Host, ada: User) -> None:
    job = removal(host, ada)
    item = job.items.get(state=ItemState.FAILED)
    factories.make_copy(host, "shop/other:1")
    again = job_retry(by=ada, job=job)
    position = again.items.get(copy=item.copy).position
    assert again.parameters["items"][position]["seen"] == job.parameters["items"][item.position]["seen"]


def test_subject_of_a_removal_is_its_image_or_how_many(host: Host, ada: User, client: Client) -> None:
    [one] = removal_start(by=ada, copies=[factories.make_copy(host, "shop/web:1")])
    several = removal(host, ada)
    assert (one.subject, several.subject) == ("shop/web:1", "")
    client.force_login(ada)
    for url in ("/jobs/", f"/hosts/{host.pk}/", "/overview/jobs/"):
        text = client.get(url).content.decode()
        assert "shop/web:1" in text, url
        assert "3 images" in text or url == "/overview/jobs/", url


def test_who_may_start_it_may_try_it_again(client: Client, host: Host, ada: User, group: HostGroup) -> None:
    job = ended(job_start(kind="scrub", host=host, by=None))
    vera = factories.make_user("vera")
    factories.grant(vera, "viewer", group)
    client.force_login(vera)
    assert "Try again" not in client.get(f"/jobs/{job.pk}/").content.decode()
    assert client.post(f"/jobs/{job.pk}/retry/").status_code == 403
    client.force_login(ada)
    assert f"/jobs/{job.pk}/retry/" in client.get(f"/jobs/{job.pk}/").content.decode()
    assert not job.retries.exists()
    response = client.post(f"/jobs/{job.pk}/retry/", headers={"HX-Request": "true"})
    again = job.retries.get()
    assert response.headers["HX-Redirect"] == f"/jobs/{again.pk}/"
    assert f'href="/jobs/{job.pk}/">#{job.pk}<' in client.get(f"/jobs/{again.pk}/").content.decode()


def test_refused_retry_says_why_in_the_dialog(client: Client, host: Host, ada: User) -> None:
    job = job_start(kind="scrub", host=host, by=None)
    client.force_login(ada)
    response = client.post(f"/jobs/{job.pk}/retry/", headers={"HX-Request": "true"})
    assert "This job can not be started again." in response.content.decode()


# What was asked


def lines(job: Job) -> dict[str, tuple[str, ...]]:
    return {each.label: each.lines for each in wording.asked(job)}


def test_input_is_shown_in_words(host: Host) -> None:
    job = Job(
        kind="pull", host=host,
        parameters={"repository": "redis", "tag": "7", "platform": "linux/arm64", "reference": "redis:7"},
    )  # fmt: skip
    assert lines(job) == {"Image": ("redis:7",), "Platform": ("linux/arm64",)}
    job.parameters = {"repository": "redis", "tag": "", "platform": "", "reference": "redis"}
    assert lines(job) == {"Image": ("redis",), "Tags": ("every tag of the repository",)}


def test_secrets_of_the_input_are_masked(host: Host) -> None:
    arguments = {"VERSION": "3", "NPM_TOKEN": "hunter2"}
    job = Job(
        kind="build", host=host,
        parameters={"build_args": arguments, "git_url": "https://ada:hunter2@git.example.com/x", "odd": [1, "two"]},
    )  # fmt: skip
    shown = lines(job)
    assert "hunter2" not in str(shown)
    assert shown["Build arguments"][0] == "VERSION=3"
    assert shown["odd"] == ("1", "two")


def test_name_of_a_job_holds_no_secret_of_its_address(host: Host, ada: User) -> None:
    address = "https://git.example.com/x?private_token=hunter2"
    [job] = build_start(by=ada, hosts=[host], git_url=address)
    assert job.parameters["git_url"] == address
    assert job.subject == f"https://git.example.com/x?private_token={MASK}"
    assert "hunter2" not in AuditEntry.objects.get(action="job.build").target


def test_error_of_a_job_is_stored_without_its_secrets(host: Host) -> None:
    @operation("leak", label="Leak", permission=Permission.PULL)
    def _leak(context: Any) -> dict[str, Any]:
        raise UserError(
            "build_failed", raw="ENV API_TOKEN=hunter2", step="RUN x --password hunter2", host="ci-1"
        )

    try:
        job = job_start(kind="leak", host=host, by=None)
        job_carry_out(job.pk)
    finally:
        del OPERATIONS["leak"]
    job.refresh_from_db()
    assert job.error_raw == f"ENV API_TOKEN={MASK}"
    assert job.error_values == {"step": f"RUN x --password {MASK}", "host": "ci-1"}


def test_build_from_an_upload_is_repeated_by_its_owner_alone(host: Host, ada: User) -> None:
    ada_s = Upload.objects.create(created_by=ada, name="context.tar")
    job = ended(job_start(kind="scrub", host=host, by=ada, parameters={"upload": str(ada_s.pk)}))
    assert job_retry(by=ada, job=job).parameters == job.parameters
    with pytest.raises(UserError):
        job_retry(by=factories.make_admin(), job=job)


def test_build_with_secrets_is_not_repeated_because_they_are_forgotten(host: Host, ada: User) -> None:
    job = ended(job_start(kind="build", host=host, by=ada, parameters={"secret_ids": ["token"]}))
    assert not can_retry(job)
    with pytest.raises(UserError) as refused:
        job_retry(by=ada, job=job)
    assert refused.value.code == "secrets_forgotten"


def test_copy_does_not_name_its_source_to_who_sees_the_target_alone(host: Host) -> None:
    parameters = {
        "source": 7,
        "source_name": "secret-1",
        "images": [{"id": "sha256:1", "name": "shop/api:1"}],
    }
    assert lines(Job(kind="copy", host=host, parameters=parameters)) == {"Images": ("shop/api:1",)}


def test_what_only_the_operation_needs_is_not_shown(client: Client, host: Host, ada: User) -> None:
    job = removal(host, ada)
    client.force_login(ada)
    assert wording.asked(job) == []
    assert "What was asked" not in client.get(f"/jobs/{job.pk}/").content.decode()


def test_load_says_what_the_browser_calls_its_file_and_no_name_of_a_field(host: Host) -> None:
    parameters = {"file": "images.tar", "size_bytes": 10}
    assert lines(Job(kind="load", host=host, parameters=parameters)) == {"File": ("images.tar",)}


# Where the browser does a part


def load_job(host: Host, by: User, state: str = JobState.FAILED, **fields: Any) -> Job:
    parameters = {"file": "images.tar", "size_bytes": 10}
    job = job_start(kind="load", host=host, by=by, parameters=parameters, subject="images.tar", **fields)
    return ended(job, state)


def test_load_begins_again_with_its_host_chosen(client: Client, host: Host, ada: User) -> None:
    factories.make_host("ci-2", groups=tuple(host.groups.all()))
    job = load_job(host, ada)
    client.force_login(ada)
    address = f"/load/?host={host.pk}"
    assert f'href="{address}"' in client.get(f"/jobs/{job.pk}/").text
    assert client.get(address).context["form"].initial["hosts"] == [host]
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)
    assert f'href="{address}"' not in client.get(f"/jobs/{job.pk}/").text


def test_loads_of_several_hosts_begin_again_with_those_that_failed(
    client: Client, host: Host, group: HostGroup, ada: User
) -> None:
    batch = uuid.uuid4()
    hosts = [host, *(factories.make_host(groups=(group,)) for _ in range(2))]
    states = (JobState.FAILED, JobState.SUCCEEDED, JobState.LOST)
    for each, state in zip(hosts, states, strict=True):
        load_job(each, ada, state, batch=batch)
    client.force_login(ada)
    address = f"/load/?host={hosts[0].pk},{hosts[2].pk}"
    assert f'href="{address}"' in client.get(f"/jobs/batches/{batch}/").text
    assert set(client.get(address).context["form"].initial["hosts"]) == {hosts[0], hosts[2]}
    viewer = factories.make_user("eve")
    factories.grant(viewer, "viewer", group)
    client.force_login(viewer)
    assert "/load/?host=" not in client.get(f"/jobs/batches/{batch}/").text


def test_save_begins_again_with_its_images_that_are_still_there(
    client: Client, host: Host, ada: User
) -> None:
    kept, gone = factories.make_copy(host), factories.make_copy(host)
    job = ended(save_start(by=ada, copies=[kept, gone]))
    gone.delete()
    client.force_login(ada)
    address = f"{reverse('images:command', args=['save'])}?copies={kept.pk}"
    assert f'href="{address}"' in client.get(f"/jobs/{job.pk}/").text
    assert [copy.pk for copy in client.get(address).context["form"].chosen] == [kept.pk]
    kept.delete()
    assert "?copies=" not in client.get(f"/jobs/{job.pk}/").text
