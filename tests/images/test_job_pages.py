"""The list of jobs, a job's page, its log, cancelling it."""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from images.jobs.operations import OPERATIONS, operation
from images.models import Host, HostGroup, ItemState, Job, JobItem, JobLog, Permission, User
from images.promises import Promise
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def scrub() -> Iterator[None]:
    """A kind of job that only these tests have."""

    @operation("scrub", label="Scrub the decks", permission=Permission.REMOVE)
    def _scrub(context: Any) -> dict[str, Any]:
        return {}

    yield
    del OPERATIONS["scrub"]


@pytest.fixture
def vera(group: HostGroup) -> User:
    """May only view."""
    vera = factories.make_user("vera")
    factories.grant(vera, "viewer", group)
    return vera


def make_job(host: Host, **fields: Any) -> Job:
    return Job.objects.create(**({"kind": "scrub", "host": host} | fields))


def page(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def test_list_shows_only_jobs_on_hosts_one_sees(client: Client, ada: User, host: Host) -> None:
    seen, hidden = make_job(host), make_job(factories.make_host("secret-host"))
    client.force_login(ada)
    text = page(client, "/jobs/")
    assert f"/jobs/{seen.pk}/" in text
    assert f"/jobs/{hidden.pk}/" not in text
    assert "secret-host" not in text


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("open", {"queued", "running"}),
        ("ended", {"succeeded", "lost"}),
        ("running", {"running"}),
        ("", {"queued", "running", "succeeded", "lost"}),
    ],
)
def test_list_filters_by_state(client: Client, ada: User, host: Host, state: str, shown: set[str]) -> None:
    jobs = {name: make_job(host, state=name) for name in ("queued", "running", "succeeded", "lost")}
    client.force_login(ada)
    text = page(client, f"/jobs/?state={state}")
    assert {name for name, job in jobs.items() if f'id="job_{job.pk}"' in text} == shown


def test_list_filters_by_host_kind_and_person(client: Client, ada: User, vera: User, host: Host) -> None:
    other = factories.make_host(groups=tuple(host.groups.all()))
    wanted = make_job(host, created_by=ada)
    others = [make_job(host, created_by=vera), make_job(other, created_by=ada), make_job(host, kind="x")]
    client.force_login(ada)
    text = page(client, f"/jobs/?host={host.pk}&kind=scrub&person={ada.pk}")
    assert f'id="job_{wanted.pk}"' in text
    assert not [job for job in others if f'id="job_{job.pk}"' in text]


def test_people_of_hidden_jobs_are_not_offered_as_filter(client: Client, ada: User, host: Host) -> None:
    make_job(factories.make_host(), created_by=factories.make_user("unseen-person"))
    client.force_login(ada)
    assert "unseen-person" not in page(client, "/jobs/")


def test_wrong_filter_is_said_and_ignored(client: Client, ada: User, host: Host) -> None:
    job = make_job(host)
    client.force_login(ada)
    text = page(client, "/jobs/?state=nonsense")
    assert "field-errors" in text
    assert f"/jobs/{job.pk}/" in text


def test_list_is_paged_and_a_fragment_for_htmx(client: Client, ada: User, host: Host) -> None:
    Job.objects.bulk_create(Job(kind="scrub", host=host) for _ in range(60))
    client.force_login(ada)
    text = page(client, "/jobs/?page=2", **{"HX-Request": "true"})
    assert text.count('<tr id="job_') == 10
    assert "<html" not in text
    assert 'rel="prev"' in text


def test_list_needs_the_same_queries_for_many_jobs(
    client: Client, ada: User, host: Host, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(20):
        make_job(host, created_by=ada, state="running", progress_total=5)
    client.force_login(ada)
    with django_assert_max_num_queries(8):
        client.get("/jobs/")


def test_empty_list_says_what_to_do(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert "No job has run yet" in page(client, "/jobs/")
    assert "No job fits these filters" in page(client, "/jobs/?state=lost")


def test_stranger_gets_404_for_a_job(client: Client, host: Host) -> None:
    job = make_job(host)
    client.force_login(factories.make_user())
    for url in (f"/jobs/{job.pk}/", f"/jobs/{job.pk}/log/", f"/jobs/{job.pk}/cancel/"):
        assert client.get(url).status_code == 404


def test_running_job_shows_progress_rate_and_time_left(client: Client, vera: User, host: Host) -> None:
    job = make_job(
        host,
        state="running",
        started_at=timezone.now(),
        progress_done=250,
        progress_total=1000,
        progress_rate=5.0,
    )
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    assert 'value="250" max="1000"' in text
    assert "5/s" in text
    assert "2 min 30 s left" in text
    assert f'data-live="job:{job.pk}"' in text
    assert "data-live-refresh" in text


def test_bytes_are_shown_as_sizes(client: Client, vera: User, host: Host) -> None:
    job = make_job(
        host,
        state="running",
        progress_unit="bytes",
        progress_done=5_000_000,
        progress_total=20_000_000,
        progress_rate=1e6,
    )
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    assert "5.00 MB" in text
    assert "1.00 MB/s" in text


def test_ended_job_is_not_refreshed(client: Client, vera: User, host: Host) -> None:
    job = make_job(host, state="succeeded", ended_at=timezone.now())
    client.force_login(vera)
    assert "data-live-refresh" not in page(client, f"/jobs/{job.pk}/").partition("notice_watch")[0]


def test_error_is_explained_with_the_engines_words_folded(client: Client, vera: User, host: Host) -> None:
    job = make_job(
        host,
        state="failed",
        error_code="host_refused",
        error_values={"address": "tcp://x"},
        error_raw="<dial tcp>",
    )
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    assert "Nothing answers at tcp://x" in text
    assert "&lt;dial tcp&gt;" in text
    assert "What the engine said" in text


def test_items_show_their_results(client: Client, vera: User, host: Host) -> None:
    job = make_job(host, state="succeeded")
    copy = factories.make_copy(host, "redis:7")
    JobItem.objects.create(job=job, position=0, name="redis:7", copy=copy, state="removed")
    JobItem.objects.create(
        job=job,
        position=1,
        name="postgres:16",
        state="failed",
        error_code="image_in_use",
        error_values={"container": "db"},
    )
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    assert f"/images/{copy.image_id}/" in text
    assert "In use by the container db." in text
    assert "1 not done" in text


def test_item_of_a_job_that_ended_before_it_waits_for_nothing(client: Client, vera: User, host: Host) -> None:
    job = make_job(host, state="running", worker="w", started_at=timezone.now(), heartbeat_at=timezone.now())
    JobItem.objects.create(job=job, position=0, name="app:1")
    client.force_login(vera)
    assert ">Waiting<" in page(client, f"/jobs/{job.pk}/")
    Job.objects.filter(pk=job.pk).update(state="failed", ended_at=timezone.now(), error_code="host_timeout")
    answer = page(client, f"/jobs/{job.pk}/")
    assert ">Waiting<" not in answer
    assert ">Not reached<" in answer


def test_every_result_of_an_item_has_its_own_word(client: Client, vera: User, host: Host) -> None:
    job = make_job(host, state="succeeded", attempt=2)
    for position, state in enumerate(ItemState):
        JobItem.objects.create(job=job, position=position, name=f"app:{position}", state=state)
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    for word in ("Removed", "Untagged only", "Gone already", "Skipped", "Failed", "Unknown"):
        assert f">{word}</span>" in text
    assert "<dt>Attempt</dt><dd>2</dd>" in text


def test_list_says_how_long_a_job_took(client: Client, vera: User, host: Host) -> None:
    now = timezone.now()
    make_job(host, state="succeeded", started_at=now - timedelta(seconds=95), ended_at=now)
    client.force_login(vera)
    assert "1 min 35 s" in page(client, "/jobs/")


def test_many_items_need_no_more_queries(
    client: Client, vera: User, host: Host, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    job = make_job(host, state="running", batch=uuid.uuid4())
    image = factories.make_image()
    for n in range(20):
        copy = factories.make_copy(host, f"app:{n}", image=image)
        JobItem.objects.create(job=job, position=n, name=f"app:{n}", copy=copy)
    client.force_login(vera)
    with django_assert_max_num_queries(12):
        client.get(f"/jobs/{job.pk}/")


def test_jobs_of_one_click_are_shown_together_as_far_as_visible(
    client: Client, vera: User, host: Host
) -> None:
    batch = uuid.uuid4()
    other = factories.make_host("ci-2", groups=tuple(host.groups.all()))
    job, sibling = make_job(host, batch=batch), make_job(other, batch=batch)
    hidden = make_job(factories.make_host("secret-host"), batch=batch)
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    assert f"/jobs/{sibling.pk}/" in text
    assert f"job:{sibling.pk}" in text
    assert str(hidden.host) not in text


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"promised_bytes": 4_600_000, "freed_bytes": 4_600_000}, "4.60 MB Freed 4.60 MB Exactly what was"),
        ({"promised_bytes": 4_600_000, "freed_bytes": 4_500_000}, "4.60 MB Freed 4.50 MB As the engine"),
        (
            Promise(4000, 5000).values | {"freed_bytes": 4500},
            "4.00 kB to 5.00 kB Freed 4.50 kB Within what was",
        ),
        (
            Promise(4000, 5000).values | {"freed_bytes": 3999},
            "4.00 kB to 5.00 kB Freed 4.00 kB As the engine",
        ),
        (Promise(5000, 5000, True).values | {"freed_bytes": 0}, "up to 5.00 kB Freed 0 B Within what was"),
        (Promise(5000, 5000).values, "5.00 kB"),
    ],
)
def test_promised_and_freed_are_shown_as_exactly_as_they_are_known(
    client: Client, vera: User, host: Host, result: dict[str, Any], said: str
) -> None:
    job = make_job(host, state="succeeded", result=result)
    client.force_login(vera)
    words = " ".join(re.sub(r"<[^>]*>", " ", page(client, f"/jobs/{job.pk}/")).split())
    assert f"Promised {said}" in words
    assert ("Freed" in words) is ("freed_bytes" in result)


def test_log_is_shown_escaped_and_whole_as_text(client: Client, vera: User, host: Host) -> None:
    job = make_job(host, state="succeeded")
    for line in ("first <b>\n", "second\n"):
        JobLog.objects.create(job=job, text=line)
    client.force_login(vera)
    assert "first &lt;b&gt;\nsecond" in page(client, f"/jobs/{job.pk}/")
    response = client.get(f"/jobs/{job.pk}/log/")
    assert b"".join(response) == b"first <b>\nsecond\n"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_long_log_shows_its_end(client: Client, vera: User, host: Host) -> None:
    job = make_job(host)
    JobLog.objects.bulk_create(JobLog(job=job, text=f"{'x' * 400}\nline {n}\n") for n in range(250))
    client.force_login(vera)
    text = page(client, f"/jobs/{job.pk}/")
    assert "line 249\n" in text
    assert "line 49\n" not in text
    assert "Only its end is shown here." in text


def test_job_that_no_worker_takes_says_so(client: Client, vera: User, host: Host) -> None:
    job = make_job(host)
    client.force_login(vera)
    assert "It waits for a worker." in page(client, f"/jobs/{job.pk}/")
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    assert "No worker has taken it yet." in page(client, f"/jobs/{job.pk}/")


def test_job_that_waits_for_a_worker_behind_others_says_its_place(
    client: Client, vera: User, host: Host
) -> None:
    batch = uuid.uuid4()
    _, last = make_job(host, batch=batch), make_job(factories.make_host(), batch=batch)
    client.force_login(factories.make_admin())
    for url in (f"/jobs/{last.pk}/", "/jobs/", f"/jobs/batches/{batch}/"):
        assert page(client, url).count("Place 2 in the queue for a worker.") == 1, url


def test_viewer_cannot_cancel_a_job(client: Client, vera: User, host: Host) -> None:
    job = make_job(host)
    client.force_login(vera)
    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 403
    assert f"/jobs/{job.pk}/cancel/" not in page(client, f"/jobs/{job.pk}/")
    job.refresh_from_db()
    assert job.state == "queued"


def test_who_may_start_it_may_cancel_it(client: Client, ada: User, host: Host) -> None:
    job = make_job(host)
    client.force_login(ada)
    assert f"/jobs/{job.pk}/cancel/" in page(client, f"/jobs/{job.pk}/")
    assert "Cancel this job?" in page(client, f"/jobs/{job.pk}/cancel/", **{"HX-Request": "true"})
    response = client.post(f"/jobs/{job.pk}/cancel/", headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == f"/jobs/{job.pk}/"
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_by) == ("cancelled", ada)


def test_cancelling_a_running_job_says_that_it_is_under_way(client: Client, ada: User, host: Host) -> None:
    job = make_job(host, state="running", started_at=timezone.now())
    client.force_login(ada)
    client.post(f"/jobs/{job.pk}/cancel/")
    assert "It was asked to end." in page(client, f"/jobs/{job.pk}/")


@pytest.mark.parametrize("is_fragment", [True, False])
def test_button_that_leaves_the_job_alone_is_not_called_cancel(
    client: Client, ada: User, host: Host, is_fragment: bool
) -> None:
    """Beside "Cancel the job" nobody could tell which of the two it is."""
    url = f"/jobs/{make_job(host).pk}/cancel/"
    client.force_login(ada)
    text = page(client, url, **({"HX-Request": "true"} if is_fragment else {}))
    assert "Let it go on" in text
    assert ">Cancel<" not in text


def test_get_cancels_nothing(client: Client, ada: User, host: Host) -> None:
    job = make_job(host)
    client.force_login(ada)
    client.get(f"/jobs/{job.pk}/cancel/")
    job.refresh_from_db()
    assert job.state == "queued"


def test_kind_that_is_gone_still_shows(client: Client, ada: User, host: Host) -> None:
    job = make_job(host, kind="of-old")
    client.force_login(ada)
    assert "of-old" in page(client, f"/jobs/{job.pk}/")
    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 403
