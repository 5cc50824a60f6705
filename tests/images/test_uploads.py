"""Sending a build's files: who may, what is refused, that nothing is left behind. Spoken to as uvicorn speaks."""

import asyncio
import io
import json
import resource
import tarfile
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from images.models import Job, Upload, User
from images.transfers import uploads
from images.transfers.upload_stream import PATH, receive_upload
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> Path:
    settings.SPOOL_DIR = str(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def builder() -> User:
    user = factories.make_user()
    factories.grant(user, "maintainer")
    return user


def context(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 5
            made.addfile(info, io.BytesIO(b"hello"))
    return buffer.getvalue()


def headers_of(client: Client, *, token: bool = True) -> list[tuple[bytes, bytes]]:
    client.get("/jobs/")
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    found = [(b"host", b"localhost"), (b"cookie", cookies.encode())]
    if token:
        found.append((b"x-csrftoken", client.cookies["csrftoken"].value.encode()))
    return found


def put(
    headers: list[tuple[bytes, bytes]], pieces: list[dict[str, Any]] | bytes, method: str = "PUT"
) -> tuple[int, dict[str, Any]]:
    """The status and the answer; 0 where nobody was left to answer."""
    messages: Iterator[dict[str, Any]]
    if isinstance(pieces, bytes):
        headers = [*headers, (b"content-length", str(len(pieces)).encode())]
        messages = iter([{"type": "http.request", "body": pieces, "more_body": False}])
    else:
        messages = iter(pieces)
    answers: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http", "method": method, "path": PATH, "query_string": b"name=app.tar", "headers": headers,
        "scheme": "http", "server": ("localhost", 80), "http_version": "1.1",
    }  # fmt: skip

    def run() -> None:
        try:
            asyncio.run(receive_upload(scope, receive, send))
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    if not answers:
        return 0, {}
    return answers[0]["status"], json.loads(answers[1]["body"])


def sender(user: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def test_archive_is_stored_and_looked_through(builder: User, spool: Path) -> None:
    data = context("Dockerfile", "app/main.py")
    status, answer = put(headers_of(sender(builder)), data)
    assert status == 201, answer
    upload = Upload.objects.get(pk=answer["id"])
    assert (upload.created_by, upload.name, upload.size_bytes, upload.state) == (
        builder,
        "app.tar",
        len(data),
        "ready",
    )
    assert upload.summary["file_count"] == 2
    assert (spool / answer["id"]).read_bytes() == data
    assert (spool / answer["id"]).stat().st_mode & 0o777 == 0o600


def test_who_may_not_build_may_not_send(builder: User, spool: Path) -> None:
    data = context("Dockerfile")
    viewer = factories.make_user()
    factories.grant(viewer, "viewer")
    assert put([(b"host", b"localhost")], data)[0] == 401
    assert put([*headers_of(sender(viewer))], data)[0] == 403
    assert put(headers_of(sender(builder), token=False), data)[0] == 403, (
        "no token: another site may have sent it"
    )
    foreign = [*headers_of(sender(builder)), (b"origin", b"https://evil.example.com")]
    assert put(foreign, data)[0] == 403
    assert put([(b"host", b"evil.example.com"), *headers_of(sender(builder))[1:]], data)[0] == 400
    assert put(headers_of(sender(builder)), data, "POST")[0] == 405
    assert not Upload.objects.exists()
    assert not spool.exists()


def test_too_much_is_refused_before_and_while_it_comes(builder: User, spool: Path, settings: Any) -> None:
    settings.CONTEXT_LIMIT_BYTES = 3_000_000
    headers = headers_of(sender(builder))
    status, answer = put([*headers, (b"content-length", b"5000000")], [])
    assert status == 413
    assert "larger than 0.003 GB" in answer["error"]
    piece = {"type": "http.request", "body": bytes(1_000_000), "more_body": True}
    assert put(headers, [piece] * 5)[0] == 413
    assert not Upload.objects.exists()
    assert list(spool.iterdir()) == []


def test_archive_that_can_not_be_read_is_refused_in_words(builder: User, spool: Path) -> None:
    status, answer = put(headers_of(sender(builder)), b"no archive at all" * 100)
    assert status == 422
    assert answer["error"].startswith("The archive can not be read.")
    assert Upload.objects.get().state == "refused"
    assert list(spool.iterdir()) == []


def test_spool_that_can_not_be_written_is_said(builder: User, spool: Path) -> None:
    spool.write_text("a file where its folder should be")
    status, answer = put(headers_of(sender(builder)), context("Dockerfile"))
    assert status == 507
    assert answer["error"].startswith(
        "What was sent could not be stored. The disk of the web server is full, or"
    )
    assert not Upload.objects.exists()


def test_file_that_may_not_grow_is_said(builder: User, spool: Path) -> None:
    """The kernel's limit of a process, for a disk that is full: the same place fails in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    headers = headers_of(sender(builder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, before[1]))
    try:
        piece = {"type": "http.request", "body": bytes(20_000_000), "more_body": True}
        status, answer = put(headers, [piece] * 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 507
    assert answer["error"].startswith("What was sent could not be stored.")
    assert not Upload.objects.exists()
    assert list(spool.iterdir()) == []


def test_browser_that_goes_away_leaves_nothing(builder: User, spool: Path) -> None:
    piece = {"type": "http.request", "body": bytes(2_000_000), "more_body": True}
    assert put(headers_of(sender(builder)), [piece, {"type": "http.disconnect"}])[0] == 0
    assert not Upload.objects.exists()
    assert list(spool.iterdir()) == []


def test_what_was_sent_goes_after_a_day_unless_a_job_waits_for_it(builder: User, spool: Path) -> None:
    old, needed, fresh = (uploads.upload_begin(by=builder, name=name) for name in ("old", "needed", "fresh"))
    for upload in (old, needed, fresh):
        uploads.upload_path(upload).write_bytes(context("Dockerfile"))
        uploads.upload_end(upload, 1)
    Job.objects.create(
        kind="build", host=factories.make_host(), parameters={"context": "upload", "upload": str(needed.pk)}
    )
    stray, other = spool / str(uuid.uuid4()), spool / "keep-me"
    stray.write_text("x")
    other.write_text("x")
    now = timezone.now()
    assert uploads.uploads_forget(now) == 0
    Upload.objects.exclude(pk=fresh.pk).update(created_at=now - timedelta(hours=25))
    assert uploads.uploads_forget(now) == 1
    assert set(Upload.objects.all()) == {needed, fresh}
    uploads.uploads_forget(now + timedelta(hours=25))
    assert other.exists()
    assert not stray.exists()


def test_folder_of_the_spool_is_nobody_elses(builder: User, spool: Path) -> None:
    uploads.upload_begin(by=builder, name="x")
    assert spool.stat().st_mode & 0o777 == 0o700
