"""The form of a build, findings beside the Dockerfile, and a job's page with steps and a long log."""

import os
import re
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from images.contexts import hadolint
from images.jobs import life, logs
from images.jobs.context import JobContext
from images.models import Host, Job, JobSecret, JobState, Upload, User
from images.transfers import uploads
from tests import factories
from tests.images.test_uploads import context

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> Path:
    settings.SPOOL_DIR = str(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def host() -> Host:
    return factories.make_host("build-1")


@pytest.fixture
def builder(client: Client, host: Host) -> User:
    user = factories.make_user()
    factories.grant(user, "maintainer")
    client.force_login(user)
    return user


def send(client: Client, host: Host, **fields: Any) -> Any:
    data = {"context": "typed", "dockerfile_text": "FROM scratch\n", "hosts": [host.pk]} | fields
    return client.post("/builds/new/", data)


def test_form_starts_a_job_on_each_host(client: Client, builder: User, host: Host) -> None:
    other = factories.make_host("build-2")
    response = send(
        client, host, hosts=[host.pk, other.pk], tags="shop/api:1\nshop/api", build_args="A=1\nB=x=y\n",
        labels="org.team=shop", target="final", network="none", no_cache="on", builder="classic",
    )  # fmt: skip
    assert response.status_code == 302
    jobs = Job.objects.order_by("host__name")
    assert [job.host for job in jobs] == [host, other]
    assert jobs[0].batch == jobs[1].batch
    assert jobs[0].parameters | {
        "tags": ["shop/api:1", "shop/api:latest"], "build_args": {"A": "1", "B": "x=y"}, "stage": "final",
        "labels": {"org.team": "shop"}, "network": "none", "no_cache": True, "pull": False, "builder": "classic",
        "context": "typed", "dockerfile_text": "FROM scratch\n",
    } == jobs[0].parameters  # fmt: skip


def test_form_comes_back_filled_to_be_changed_and_built_again(
    client: Client, builder: User, host: Host
) -> None:
    send(
        client, host, tags="shop/api:1\nshop/api", build_args="A=1\nB=x=y", labels="org.team=shop", target="final",
        network="none", no_cache="on", platform="linux/arm64", secrets="token=hush-hush",
    )  # fmt: skip
    job = Job.objects.get()
    assert f"/builds/new/?again={job.pk}" not in client.get(f"/jobs/{job.pk}/").content.decode()
    Job.objects.update(state=JobState.FAILED)
    assert f"/builds/new/?again={job.pk}" in client.get(f"/jobs/{job.pk}/").content.decode()
    response = client.get(f"/builds/new/?again={job.pk}")
    assert "hush" not in response.content.decode()
    form = response.context["form"]
    filled = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    assert filled["secrets"] == "token="
    filled |= {"hosts": [host.pk], "secrets": "token=again"}
    assert client.post("/builds/new/", filled).status_code == 302
    again = Job.objects.latest("pk")
    assert again.pk != job.pk
    assert again.parameters == job.parameters


def test_form_as_somebody_else_filled_it_is_not_shown(client: Client, builder: User, host: Host) -> None:
    send(client, host)
    Job.objects.update(state=JobState.FAILED, created_by=factories.make_user())
    [job] = Job.objects.all()
    assert "?again=" not in client.get(f"/jobs/{job.pk}/").content.decode()
    assert client.get(f"/builds/new/?again={job.pk}").status_code == 403
    assert client.get("/builds/new/?again=999").status_code == 404
    assert client.get("/builds/new/?again=x").status_code == 200


def secret(data: bytes, name: str = "token") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dockerfile_text": "  "}, "Write at least a FROM line."),
        ({"tags": "shop/api:1 Shop/API"}, "Shop/API is not a name for an image."),
        ({"build_args": "NPM_TOKEN=hush"}, "NPM_TOKEN looks like a secret."),
        ({"build_args": "1x=2"}, "Write it as NAME=value: 1x=2"),
        ({"context": "git"}, "Give the repository&#x27;s address."),
        ({"context": "git", "git_url": "git@machine:x.git"}, "is not an address that is cloned"),
        (
            {"context": "git", "git_url": "https://me:hush@machine/x"},
            "The address holds a name or a password.",
        ),
        ({"context": "archive"}, "Choose the files and wait until they have arrived."),
        (
            {"context": "folder", "upload": str(uuid.uuid4())},
            "Choose the files and wait until they have arrived.",
        ),
        ({"secrets": "token"}, "Write it as NAME=value: token"),
        ({"secrets": "a,b=1"}, "Write it as NAME=value: a,b=1"),
        ({"secrets": "token="}, "token is empty or no text"),
        ({"secrets": "token=x", "builder": "classic"}, "The classic builder knows no secrets."),
        ({"secrets": "token=x", "secret_files": [secret(b"y")]}, "The secret token is given twice."),
        ({"secret_files": [secret(b"")]}, "The submitted file is empty."),
        ({"secret_files": [secret(b"x\0y")]}, "token is empty or no text"),
        ({"secret_files": [secret(b"\xff\xfe")]}, "token is empty or no text"),
        ({"secret_files": [secret(b"x" * 70_000)]}, "token is larger than 64 kB"),
        ({"secrets": "token=" + "密" * 30_000}, "token is larger than 64 kB"),
        ({"secret_files": [secret(b"x", "a b")]}, "a b can not be a secret&#x27;s id"),
        ({"secrets": "\n".join(f"s{n}=x" for n in range(21))}, "At most 20 secrets."),
        ({"branch": "--upload-pack=x", "context": "git", "git_url": "https://m/x"}, "Enter a valid value."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_starts(
    client: Client, builder: User, host: Host, fields: dict[str, Any], said: str
) -> None:
    response = send(client, host, **fields)
    assert response.status_code == 200
    assert said in response.content.decode()
    assert not Job.objects.exists()


def test_secrets_are_kept_encrypted_for_each_job_and_named_by_their_ids(
    client: Client, builder: User, host: Host
) -> None:
    npmrc = b"//packages.example.invalid/:_authToken=hush-hush\n"
    other = factories.make_host("build-2")
    fields = {
        "secrets": "token=hush-hush=2\n",
        "secret_files": [secret(npmrc, ".npmrc"), secret(b"k", "key")],
    }
    response = send(client, host, hosts=[host.pk, other.pk], **fields)
    assert response.status_code == 302
    for job in Job.objects.all():
        kept = {row.name: row.value for row in job.secrets.all()}
        assert kept == {"token": "hush-hush=2", ".npmrc": npmrc.decode(), "key": "k"}
        assert job.parameters["secret_ids"] == [".npmrc", "key", "token"]
        assert "hush-hush" not in str(job.parameters)
        page = client.get(f"/jobs/{job.pk}/").content.decode()
        assert ".npmrc" in page
        assert "hush-hush" not in page
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM images_jobsecret")
        assert not any("hush-hush" in value for (value,) in cursor.fetchall())


def test_form_that_is_not_accepted_is_cached_by_nobody(client: Client, builder: User, host: Host) -> None:
    response = send(client, host, secrets="token=hush-hush", tags="Not A Name")
    assert "hush-hush" in response.content.decode(), "nothing that was typed is lost"
    assert "no-store" in response["Cache-Control"]


def test_secrets_are_read_once_and_go_with_the_job(host: Host) -> None:
    ended, waiting = (life.job_start(kind="sync", host=host, by=None, secrets={"a": "1"}) for _ in range(2))
    Job.objects.filter(pk=ended.pk).update(state="cancelled")
    assert life.secrets_forget(timezone.now()) == 1
    context = JobContext(waiting, 60)
    assert context.secrets() == {"a": "1"}
    assert context.secrets() == {}
    assert not JobSecret.objects.exists()


def test_secrets_that_a_dockerfile_asks_for_are_named_beside_it(client: Client, builder: User) -> None:
    text = "FROM a:1\nRUN --mount=type=secret,id=npmrc --mount=type=cache,id=c x\nRUN --mount=type=secret,id=npmrc y\n"
    page = client.post("/builds/lint/", {"dockerfile_text": text}).content.decode()
    assert page.count('<span class="tag-chip">npmrc</span>') == 1
    assert "tag-chip" not in client.post("/builds/lint/", {"dockerfile_text": "FROM a:1\n"}).content.decode()


def sent(by: User) -> Upload:
    upload = uploads.upload_begin(by=by, name="app.tar")
    data = context("app/Dockerfile", "app/x", "app/dev.Dockerfile")
    uploads.upload_path(upload).write_bytes(data)
    return uploads.upload_end(upload, len(data))


def test_what_somebody_sent_is_shown_and_built_by_that_person_alone(
    client: Client, builder: User, host: Host
) -> None:
    upload, foreign = sent(builder), sent(factories.make_user())
    text = client.get(f"/builds/contexts/{upload.pk}/").content.decode()
    assert "3 files" in text
    assert "dev.Dockerfile" in text
    assert "There is no .dockerignore" in text
    assert client.get(f"/builds/contexts/{foreign.pk}/").status_code == 404
    assert (
        "There is no nope." in client.get(f"/builds/contexts/{upload.pk}/?dockerfile=nope").content.decode()
    )
    assert "has no folder" in client.get(f"/builds/contexts/{upload.pk}/?folder=nope").content.decode()
    assert "leads out" in client.get(f"/builds/contexts/{upload.pk}/?folder=../x").content.decode()
    assert send(client, host, context="archive", upload=str(foreign.pk)).status_code == 200
    assert send(client, host, context="archive", upload=str(upload.pk)).status_code == 302
    assert Job.objects.get().parameters["file"] == "app.tar"
    uploads.upload_path(upload).unlink()
    assert "not there any more" in client.get(f"/builds/contexts/{upload.pk}/").content.decode()


def test_findings_stand_beside_their_lines_with_why_and_how(client: Client, builder: User) -> None:
    text = "FROM debian\nRUN apt-get update\nRUN apt-get install -y curl\nADD x /x\n"
    page = client.post("/builds/lint/", {"dockerfile_text": text}).content.decode()
    for code in ("DL3006", "DL3008", "DL3009", "DL3020", "DL3059", "USER"):
        assert code in page
    assert "Name a version behind the colon" in page
    assert "rm -rf /var/lib/apt/lists/*" in page
    assert "runs as root" in page
    assert "DL3007" not in page
    assert (
        "DL3007" in client.post("/builds/lint/", {"dockerfile_text": "FROM debian:latest\n"}).content.decode()
    )
    assert (
        "No findings." in client.post("/builds/lint/", {"dockerfile_text": "FROM scratch\n"}).content.decode()
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM debian:12\nRUN psql -c 'SELECT a \\\n  FROM t'\n", 1),
        ("FROM debian:12\nUSER app\nRUN psql -c 'SELECT a \\\n  FROM t'\n", None),
        ("FROM debian:12\nRUN echo \\\n  USER app\n", 1),
        ("FROM debian:12\nRUN <<EOF\nUSER app\nEOF\n", 1),
        ("FROM debian:12\nUSER app\nRUN <<EOF\nFROM debian:13\nEOF\n", None),
        ("FROM debian:12 AS base\nUSER app\nFROM debian:12 AS other\nFROM base\nRUN true\n", None),
        ("FROM debian:12 AS base\nUSER app\nFROM debian:13\nCOPY --from=base /a /b\n", 3),
        ("FROM debian:12\nFROM scratch AS final\nCOPY --from=0 /a /b\n", None),
    ],
)
def test_that_nobody_is_named_is_said_of_the_last_stage(text: str, line: int | None) -> None:
    found = hadolint.findings(text)
    assert found is not None
    assert [finding.line for finding in found if finding.code == "USER"] == ([line] if line else [])
    assert hadolint.UNREADABLE not in {finding.code for finding in found}


def test_text_of_a_dockerfile_is_no_markup(client: Client, builder: User) -> None:
    page = client.post(
        "/builds/lint/", {"dockerfile_text": "FROM debian\nRUN echo <script>\n"}
    ).content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_without_hadolint_a_build_goes_on(client: Client, builder: User) -> None:
    with mock.patch.object(hadolint, "_program", return_value=None):
        page = client.post("/builds/lint/", {"dockerfile_text": "FROM debian\n"}).content.decode()
    assert "was not looked through" in page
    with mock.patch.object(hadolint, "_program", return_value="/bin/false"):
        assert client.post("/builds/lint/", {"dockerfile_text": "FROM debian\n"}).status_code == 200


def running(host: Host) -> Job:
    now = timezone.now()
    return Job.objects.create(
        kind="build", host=host, state="running", worker="w", started_at=now, heartbeat_at=now
    )


def step(number: int, state: str, name: str = "RUN make", kind: str = "step", **more: Any) -> dict[str, Any]:
    base = {"stage": "", "started": "", "seconds": None, "done": 0, "total": 0, "lines": 0, "error": ""}
    return base | {"n": number, "name": name, "kind": kind, "state": state} | more


def test_steps_of_a_lost_worker_are_not_under_way(client: Client, builder: User, host: Host) -> None:
    job = running(host)
    job.detail = {
        "steps": [step(1, "done"), step(2, "running"), step(3, "waiting"), step(4, "done", "x", "internal")]
    }
    job.state, job.error_code = "lost", "job_lost"
    job.save()
    assert [each.state for each in logs.steps(job)] == ["done", "stopped", "skipped"]
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert "Not reached" in page


def test_steps_of_a_stage_stand_in_its_order_however_they_were_told(host: Host) -> None:
    told = ["base", "tools 2/3", "2/11", "10/11", "tools 1/3", "1/11"]
    steps = [step(n, "done", stage=stage) for n, stage in enumerate(told, 1)]
    job = Job.objects.create(kind="build", host=host, state="succeeded", detail={"steps": steps})
    shown = [each.facts["stage"] for each in logs.steps(job)]
    assert shown == ["base", "tools 1/3", "1/11", "2/11", "tools 2/3", "10/11"]


def test_step_that_moves_bytes_shows_how_far_how_fast_and_how_long(
    client: Client, builder: User, host: Host
) -> None:
    job = running(host)
    sent = step(1, "running", "context", "context", done=8_000_000, total=20_000_000, rate=2e6, left=6.0)
    job.detail = {"steps": [sent | {"started": timezone.now().isoformat()}]}
    job.save()
    page = re.sub(r"<[^>]+>", "", client.get(f"/jobs/{job.pk}/").content.decode())
    assert "8.00 MB of 20.0 MB 2.00 MB/s, 6 s left" in page
    job.state = "failed"
    job.save()
    assert "MB/s" not in client.get(f"/jobs/{job.pk}/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_log_of_50_mb_is_written_and_shown_without_the_page_suffering(
    client: Client, builder: User, host: Host
) -> None:
    job, line = running(host), "x" * 92
    began = time.perf_counter()
    with JobContext(job, 3600) as context_:
        steps = [step(1, "done", lines=250_000), step(2, "failed", lines=250_000)]
        context_.draw(lambda: {"steps": [s | {"chunks": context_.log_chunks(s["n"])} for s in steps]})
        for number in range(500_000):
            context_.log(f"{number:06d} {line}", 1 + number % 2)
        context_.progress(2, 2, "steps")
    wrote = time.perf_counter() - began
    Job.objects.filter(pk=job.pk).update(state="failed", ended_at=timezone.now())
    client.get("/jobs/")
    tracemalloc.start()
    began = time.perf_counter()
    response = client.get(f"/jobs/{job.pk}/")
    showed, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    began = time.perf_counter()
    found = client.get(f"/jobs/{job.pk}/?q=123456").content.decode()
    searched = time.perf_counter() - began
    size = sum(len(piece) for piece in client.get(f"/jobs/{job.pk}/log/"))
    print(
        f"wrote {wrote:.1f} s, page {showed:.2f} s, {len(response.content)} B, peak {peak} B, search {searched:.2f} s"
    )
    text = response.content.decode()
    assert "499999 xxx" in text
    assert "499998 xxx" in text
    assert text.count('<details id="step_log_2" open') == 1
    assert len(response.content) < 100_000
    assert peak < 20_000_000
    assert "#1 123456 xxx" in found
    assert size > 50_000_000
    limit = 4 if os.environ.get("CI") else 2
    assert showed < limit / 2
    assert searched < limit
    only = b"".join(client.get(f"/jobs/{job.pk}/log/?step=2"))
    assert only.startswith(b"#2 000001 ")
    assert only.count(b"\n") == 250_000
