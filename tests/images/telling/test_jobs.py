"""What the list of jobs, a job and a batch tell, fact by fact."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from images.jobs import logs
from images.models import Copy, Host, Job, JobItem, JobLog, User
from images.promises import Promise
from tests.images.telling.made import address, copy_of, page_of, ways_of, words_of
from tests.pages import NOW, signed_in, tells, words

pytestmark = pytest.mark.django_db
OLD = "sha256:" + "cd" * 32
LAYERS = [("a", "done"), ("b", "downloading")]


@pytest.fixture
def api(host: Host) -> Copy:
    return copy_of(host, "shop/api:1")


def job_of(host: Host, kind: str = "pull", **fields: Any) -> Job:
    job = Job.objects.create(kind=kind, host=host, **fields)
    Job.objects.filter(pk=job.pk).update(created_at=NOW - timedelta(minutes=10))
    return job


@pytest.fixture
def removal(ada: User, host: Host, api: Copy) -> Job:
    """Three images: one went, one is in use, one the engine refused; then the host was lost."""
    job = job_of(
        host, "remove", state="failed", created_by=ada, retry_of=job_of(host, "remove", state="failed"),
        attempt=2, cancel_requested_at=NOW, cancel_requested_by=ada, started_at=NOW - timedelta(minutes=9),
        ended_at=NOW - timedelta(minutes=2), error_code="host_gone", error_values={"host": "runner"},
        error_raw="unexpected EOF", progress_done=2, progress_total=3, progress_unit="items",
        result=Promise(5000, 5000).values | {"freed_bytes": 4000, "over_budget_bytes": 700},
    )  # fmt: skip
    JobItem.objects.create(job=job, position=0, name="shop/api:1", copy=api, state="removed")
    used = {"state": "skipped", "error_code": "image_in_use", "error_values": {"container": "db"}}
    JobItem.objects.create(job=job, position=1, name="shop/db:1", **used)
    JobItem.objects.create(
        job=job,
        position=2,
        name="shop/x:1",
        state="failed",
        error_code="image_conflict",
        error_raw="conflict: x",
    )
    return job


# A job


def test_job_tells_what_it_did_how_it_ended_and_what_each_image_came_to(
    client: Client, ada: User, removal: Job
) -> None:
    assert words_of(client, "job-detail", removal.pk) == (
        f"Jobs / runner Remove images 3 images #{removal.pk} Failed Started by ada, 10 min ago Try again 2 / 3 "
        f"Host|runner|Began|9 min ago|Ended|2 min ago|Took|7 min 0 s|Tries again|#{removal.retry_of_id}|Attempt|2|"
        "Cancelled by|ada|The connection to runner was lost. The engine stopped or was restarted in the middle of "
        "it. Drydock reconnects by itself; then look at what was done and start the rest again. What the engine "
        "said unexpected EOF runner is over its image budget by 700 B now. Its page shows what removing unused "
        "images would free. Promised 5.00 kB Freed 4.00 kB As the engine measured it. "
        "Items 1 not done Image|Result|Why|shop/api:1|Removed||"
        "shop/db:1|Skipped|In use by the container db. Remove the container first with docker rm, or leave the "
        "image.|shop/x:1|Failed|The engine refused to remove it. Read the engine's text below. What the engine said "
        "conflict: x|"
    )
    ways = ways_of(client, "job-detail", removal.pk)
    assert ways.items() >= {
        "Jobs": address("job-list"),
        "Try again": address("job-retry", removal.pk),
        f"#{removal.retry_of_id}": address("job-detail", removal.retry_of_id),
        "shop/api:1": address("image-detail", Copy.objects.get().image_id),
    }.items()  # fmt: skip
    page = page_of(client, "job-detail", removal.pk)
    tells(page, f"<title>Remove images 3 images #{removal.pk}", 'aria-label="Items"', "badge is-danger")
    assert f"job:{removal.pk}" not in page, "nothing changes any more"


def test_open_job_follows_itself_and_can_be_cancelled(client: Client, ada: User, host: Host) -> None:
    job = job_of(
        host, state="running", subject="shop/api:2", created_by=ada, started_at=NOW - timedelta(minutes=1),
        progress_done=510, progress_total=2010, progress_unit="bytes", parameters={"reference": "shop/api:2"},
        detail={"layers": [
            {"id": "aaa", "state": "done", "done": 10, "total": 10},
            {"id": "bbb", "state": "downloading", "done": 500, "total": 2000},
            {"id": "ccc", "state": "extracting", "done": 30, "total": 30, "extracted": 20},
            {"id": "ddd", "state": "waiting", "done": 0, "total": 0},
        ]},
    )  # fmt: skip
    tells(
        words_of(client, "job-detail", job.pk),
        f"Pull shop/api:2 #{job.pk} Running Started by ada, 10 min ago Cancel this job 510 B / 2.01 kB",
        "Host|runner|Began|1 min ago|Took|1 min 0 s|",
        "Layers 4 layers. The size of 1 that waits is not known yet: total and time left will grow. "
        "Layer|State|Progress|Size|Rate|aaa|Done||10 B||bbb|Downloading||500 B of 2.00 kB||ccc|",
        "What was asked Image|shop/api:2|",
    )
    page = page_of(client, "job-detail", job.pk)
    tells(
        page,
        f'data-live="job:{job.pk}" data-live-refresh hx-get="{address("job-detail", job.pk)}"',
        'hx-trigger="live, every 10s"',
        'aria-label="Layers"',
        '<progress value="500" max="2000" aria-label="bbb"',
        '<progress value="20" max="30" aria-label="ccc"',
    )
    assert ways_of(client, "job-detail", job.pk)["Cancel this job"] == address("job-cancel", job.pk)
    signed_in(client, "viewer")
    assert "Cancel this job" not in ways_of(client, "job-detail", job.pk)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"state": "queued"},
            "No worker has taken it yet. They are all busy, or none is running. It waits for",
        ),
        (
            {"state": "running", "cancel_requested_at": NOW},
            "It was asked to end. The engine is being cut off.",
        ),
        ({"state": "queued"}, "Queued Started by Drydock, 10 min ago"),
        ({"state": "queued"}, "Began|–|Took|–|"),
        ({"state": "cancelled", "ended_at": NOW}, "Cancelled Started by Drydock, 10 min ago"),
        ({"state": "lost", "error_code": "job_lost"}, "Lost Started by Drydock"),
        ({"state": "lost", "error_code": "job_lost"}, "The worker that carried this out went silent."),
        ({"state": "succeeded", "result": {"freed_bytes": 10}}, "Freed 10 B As the engine measured it."),
    ],
)
def test_job_tells_of_itself_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], told: str
) -> None:
    tells(words_of(client, "job-detail", job_of(host, **fields).pk), told)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"was_here": True}, "Result Image|shop/api:1 was here already|"),
        ({"references": ["shop/api:1", "shop/api:2"]}, "|References|shop/api:1 shop/api:2|"),
        ({"digest": OLD}, f"|Digest|{OLD}|"),
        ({"account": ""}, "|Account|none: without signing in|"),
        ({"account": "Hub"}, "|Account|Hub|"),
        ({"accounts": {"base:1": "", "tools:1": "Hub"}}, "|base:1: none: without signing in tools:1: Hub|"),
        (
            {"mirrors": ["a.example", "b.example"]},
            "|Mirror|a.example, b.example is asked first; what it lacks",
        ),
        ({"replaced": OLD}, "|Replaced|The name belonged to cdcdcdcdcdcd before.|"),
        ({"moved": {"shop/api:1": OLD}}, "|Replaced|shop/api:1 belonged to cdcdcdcdcdcd before.|"),
    ],
)
def test_job_tells_what_came_of_it(
    client: Client, ada: User, host: Host, api: Copy, result: dict[str, Any], told: str
) -> None:
    job = job_of(host, state="succeeded", subject="shop/api:1", result={"image": api.image_id} | result)
    tells(words_of(client, "job-detail", job.pk), told)
    assert ways_of(client, "job-detail", job.pk)["shop/api:1"] == address("image-detail", api.image_id)


def test_build_tells_what_each_step_added(client: Client, ada: User, host: Host, api: Copy) -> None:
    layers = [{"by": "COPY api /api", "bytes": 1500}, {"by": "", "bytes": 20}]
    moved = {"shop/api:1": OLD}
    result = {"image": api.image_id, "layers": layers, "total_bytes": 5500, "moved": moved}
    page = words_of(client, "job-detail", job_of(host, "build", state="succeeded", result=result).pk)
    tells(page, "What each step added The image 5.50 kB Step|Size|COPY api /api|1.50 kB|–|20 B|")
    assert page.count("shop/api:1 belonged to cdcdcdcdcdcd before.") == 1


def test_log_is_shown_searched_and_whole(
    client: Client, ada: User, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(host, state="succeeded")
    JobLog.objects.create(job=job, text="first line\nsecond line\nlast\n")
    tells(words_of(client, "job-detail", job.pk), "Log Search The whole log first line second line last")
    ways = ways_of(client, "job-detail", job.pk)
    assert ways["The whole log"] == address("job-log", job.pk)
    tells(page_of(client, "job-detail", job.pk), 'placeholder="Search the log"', 'aria-label="Log">')
    found = page_of(client, "job-detail", job.pk, q="LINE")
    tells(words(found), "2 lines with “LINE”. Clear first line second line")
    tells(found, 'name="q" value="LINE"', 'aria-label="Lines found"')
    assert ways_of(client, "job-detail", job.pk, q="first")["Clear"] == address("job-detail", job.pk)
    tells(words_of(client, "job-detail", job.pk, q="first"), "1 line with “first”.")
    monkeypatch.setattr(logs, "MOST_FOUND", 1)
    tells(words_of(client, "job-detail", job.pk, q="line"), "The first 1 lines with “line”. Clear first line")


# The list


def test_list_tells_of_each_job(client: Client, ada: User, removal: Job, vault: Host) -> None:
    waiting = job_of(vault, state="queued", subject="shop/api:2")
    page = words_of(client, "job-list")
    tells(
        page,
        "Job|Host|State|Progress|Started by|When|Took|",
        f"|Pull #{waiting.pk} shop/api:2|vault|Queued|It waits for a worker.|Drydock|10 min ago|–|",
        f"|Remove images #{removal.pk} 3 images|runner|Failed|2 / 3|ada|10 min ago|7 min 0 s|",
        f"|Remove images #{removal.retry_of_id}|runner|Failed|–|Drydock|10 min ago|–|",
    )
    ways = ways_of(client, "job-list")
    assert ways[f"Pull #{waiting.pk}"] == address("job-detail", waiting.pk)
    assert ways["vault"] == address("host-detail", vault.pk)
    text = page_of(client, "job-list", state="open")
    tells(
        text,
        'data-live="jobs" data-live-refresh hx-get="/jobs/?state=open"',
        'aria-label="Jobs"',
        "<title>Jobs",
    )


def test_running_job_has_its_bar_in_the_list(client: Client, ada: User, host: Host) -> None:
    job_of(host, state="running", progress_done=500, progress_total=2000, progress_unit="bytes")
    tells(words_of(client, "job-list"), "|Running|500 B / 2.00 kB")
    tells(page_of(client, "job-list"), 'aria-label="Pull" value="500" max="2000"')


def test_list_without_jobs_tells_why(client: Client, ada: User, host: Host) -> None:
    tells(
        words_of(client, "job-list"),
        "No job has run yet Whatever takes a while, such as removing images, runs here in the background.",
    )
    assert ways_of(client, "job-list")["See the images"] == address("image-list")
    tells(
        words_of(client, "job-list", state="lost"),
        "Filter Clear No job fits these filters Take a filter away to see more.",
    )
    assert ways_of(client, "job-list", state="lost")["Clear"] == address("job-list")


# Several started together


def test_batch_tells_of_all_its_jobs(client: Client, ada: User, host: Host, vault: Host) -> None:
    batch, attic = uuid.uuid4(), Host.objects.create(name="attic", address="unix:///run/attic.sock")
    same: dict[str, Any] = {"batch": batch, "subject": "shop/api:1", "created_by": ada}
    failed = job_of(
        host, state="failed", error_code="host_gone", error_values={"host": "runner"}, error_raw="EOF",
        started_at=NOW - timedelta(seconds=8), ended_at=NOW, **same,
    )  # fmt: skip
    layers = {"layers": [{"id": name, "state": state, "done": 1, "total": 2} for name, state in LAYERS]}
    running = job_of(vault, state="running", detail=layers, started_at=NOW, **same)
    job_of(attic, state="running", cancel_requested_at=NOW, **same)
    page = words_of(client, "batch-detail", batch)
    tells(
        page,
        "Jobs Pull shop/api:1 3 jobs Running: 2 Failed: 1 Started by ada, 10 min ago Cancel 1 job Try 1 again",
        "Host|State|Progress|What happens|Took|",
        "|The connection to runner was lost. Drydock reconnects by itself; then look at what was done and start the "
        "rest again. What the engine said EOF|8 s|",
        "|1 of 2 layers|",
        "|It was asked to end.|",
    )
    ways = ways_of(client, "batch-detail", batch)
    assert ways["Cancel 1 job"] == address("batch-cancel", batch)
    assert ways["Try 1 again"] == address("batch-retry", batch)
    assert ways["runner"] == address("job-detail", failed.pk)
    text = page_of(client, "batch-detail", batch)
    tells(
        text,
        f"job:{running.pk} ", f'hx-get="{address("batch-detail", batch)}"', "<title>Pull shop/api:1",
        'aria-label="Jobs that have ended"', 'aria-label="Jobs by host"', 'value="1" max="3"',
    )  # fmt: skip
    tells(
        words_of(client, "job-detail", failed.pk),
        "Started together Side by side Host|State|Progress|attic|Running|",
        "|runner|Failed|",
    )
    assert ways_of(client, "job-detail", failed.pk)["Side by side"] == address("batch-detail", batch)
    assert f"job:{running.pk}" in page_of(client, "job-detail", running.pk)


def test_batch_tells_of_each_kind_of_work(client: Client, ada: User, host: Host, vault: Host) -> None:
    batch = uuid.uuid4()
    job_of(host, "remove", state="succeeded", batch=batch, result={"freed_bytes": 5000})
    steps = [
        {"n": n, "name": "RUN", "kind": "step", "state": state} for n, state in ((1, "done"), (2, "running"))
    ]
    job_of(vault, "build", state="running", batch=batch, detail={"steps": steps}, subject="shop/api:1")
    tells(
        words_of(client, "batch-detail", batch),
        "|freed 5.00 kB|",
        "|1 of 2 steps|",
        "vault shop/api:1|Running|",
    )
