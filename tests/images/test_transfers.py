"""Who may move bytes, and what the endpoint does with them: spoken to as a server speaks to it, on a real Redis."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client

from images.models import HostGroup, Job, JobState, User
from images.transfers import admission, archive_stream
from images.transfers.relay import ATTENDED_SECONDS, CHUNK_BYTES, Receiver, RelayClosed, Sender
from tests import factories
from tests.conftest import closing

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("live_redis"),
]
TOKEN = "t" * 32


@pytest.fixture
def ada(group: HostGroup) -> User:
    """May pull and push on the hosts of one group."""
    ada = factories.make_user("ada")
    factories.grant(ada, "operator", group)
    return ada


def make_job(kind: str, by: User, group: HostGroup, **fields: Any) -> Job:
    host = fields.pop("host", None) or factories.make_host(groups=(group,))
    values = {"state": JobState.RUNNING, "parameters": {"file": "shop api.tar"}} | fields
    return Job.objects.create(kind=kind, host=host, created_by=by, worker="test", **values)


class Request:
    """One request, and what came of it."""

    def __init__(
        self,
        user: User | None,
        job: Job | int,
        method: str = "GET",
        body: bytes = b"",
        query: str = "",
        **headers: str,
    ) -> None:
        pk = job if isinstance(job, int) else job.pk
        cookies = [f"csrftoken={TOKEN}"]
        if user is not None:
            client = Client()
            client.force_login(user)
            name = django_settings.SESSION_COOKIE_NAME
            cookies.append(f"{name}={client.cookies[name].value}")
        sent = {"host": "127.0.0.1", "cookie": "; ".join(cookies), "x-csrftoken": TOKEN} | headers
        self.scope = {
            "type": "http", "method": method, "path": f"/transfers/{pk}/", "query_string": query.encode(),
            "scheme": "http", "server": ("127.0.0.1", 80),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        self._body = [body[start : start + 65536] for start in range(0, len(body), 65536)] or [b""]
        self.status, self.content, self.is_whole = 0, b"", False
        self.headers: dict[bytes, bytes] = {}
        self.has_left = asyncio.Event()
        self.each: Callable[[], None] = lambda: None

    async def receive(self) -> Any:
        if self._body:
            return {
                "type": "http.request", "body": self._body.pop(0), "more_body": bool(self._body),
            }  # fmt: skip
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.content += message["body"]
        self.is_whole = not message.get("more_body")
        self.each()

    def run(self) -> "Request":
        asyncio.run(asyncio.wait_for(archive_stream.transfers(self.scope, self.receive, self.send), 20))
        return self


def in_thread(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=closing(function))
    thread.start()
    return thread


@pytest.mark.parametrize(("kind", "method"), [("save", "GET"), ("load", "PUT")])
class TestWhoMay:
    def test_nobody_without_signing_in(self, ada: User, group: HostGroup, kind: str, method: str) -> None:
        assert Request(None, make_job(kind, ada, group), method).run().status == 401

    def test_not_who_can_not_see_the_host(self, ada: User, group: HostGroup, kind: str, method: str) -> None:
        job = make_job(kind, ada, group)
        assert Request(factories.make_user(), job, method).run().status == 404
        assert Request(ada, 10**9, method).run().status == 404

    def test_not_who_may_only_view(self, ada: User, group: HostGroup, kind: str, method: str) -> None:
        viewer = factories.make_user()
        factories.grant(viewer, "viewer", group)
        assert Request(viewer, make_job(kind, viewer, group), method).run().status == 403

    def test_not_an_admin_the_job_of_somebody_else(
        self, ada: User, group: HostGroup, kind: str, method: str
    ) -> None:
        assert Request(factories.make_admin(), make_job(kind, ada, group), method).run().status == 403

    def test_not_with_a_password_that_is_to_be_replaced(
        self, ada: User, group: HostGroup, kind: str, method: str
    ) -> None:
        User.objects.filter(pk=ada.pk).update(must_change_password=True)
        assert Request(ada, make_job(kind, ada, group), method).run().status == 403

    @pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
    def test_not_a_job_that_has_ended(
        self, ada: User, group: HostGroup, kind: str, method: str, state: str
    ) -> None:
        assert Request(ada, make_job(kind, ada, group, state=state), method).run().status == 409

    def test_not_a_second_time(self, ada: User, group: HostGroup, kind: str, method: str) -> None:
        job = make_job(kind, ada, group)
        relay = Sender(job.pk)
        assert relay.attend_once()
        assert Request(ada, job, method).run().status == 409
        relay.close()

    def test_not_for_a_job_of_another_kind(self, ada: User, group: HostGroup, kind: str, method: str) -> None:
        other = {"save": "load", "load": "save"}[kind]
        assert Request(ada, make_job(other, ada, group), method).run().status == 404
        assert Request(ada, make_job("remove", ada, group), method).run().status == 404


@pytest.mark.parametrize(
    "headers",
    [{"x_csrftoken": ""}, {"x_csrftoken": "u" * 32}, {"origin": "http://evil.example"}, {"origin": "null"}],
)
def test_upload_from_another_site_is_refused(ada: User, group: HostGroup, headers: dict[str, str]) -> None:
    job = make_job("load", ada, group)
    request = Request(ada, job, "PUT", b"x" * 100, **headers)
    assert request.run().status == 403
    assert Job.objects.get(pk=job.pk).is_open


def test_upload_from_our_own_page_is_let_in(ada: User, group: HostGroup) -> None:
    job = make_job("load", ada, group)
    received: list[bytes] = []
    thread = in_thread(lambda: take_all(job, received))
    request = Request(ada, job, "PUT", b"x" * 2_000_000, origin="http://127.0.0.1").run()
    thread.join(10)
    assert (request.status, json.loads(request.content)) == (200, {"received": 2_000_000, "waiting": []})
    assert b"".join(received) == b"x" * 2_000_000


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(ada: User, group: HostGroup, method: str) -> None:
    assert Request(ada, make_job("save", ada, group), method).run().status == 405


@pytest.mark.parametrize("path", ["/transfers/", "/transfers/x/", "/transfers/1", "/transfers/1/2/"])
def test_other_paths_are_not_found(ada: User, path: str) -> None:
    request = Request(ada, 1)
    request.scope["path"] = path
    assert request.run().status == 404


def test_foreign_host_name_is_refused(ada: User, group: HostGroup, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["drydock.example"]
    assert Request(ada, make_job("save", ada, group)).run().status == 400


def take_all(job: Job, into: list[bytes]) -> None:
    receiver = Receiver(job.pk)
    into.extend(receiver)
    receiver.confirm()
    receiver.close()


def give_all(job: Job, *chunks: bytes) -> None:
    sender = Sender(job.pk)
    for chunk in chunks:
        sender.send(chunk)
    sender.finish()
    sender.until_taken()
    sender.close()


def test_download_is_an_attachment_that_nothing_keeps(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    thread = in_thread(lambda: give_all(job, b"one", b"two"))
    request = Request(ada, job).run()
    thread.join(5)
    assert (request.status, request.content, request.is_whole) == (200, b"onetwo", True)
    assert request.headers[b"content-disposition"] == b"attachment; filename*=UTF-8''shop%20api.tar"
    assert request.headers[b"cache-control"] == b"no-store"


def test_failure_before_the_first_byte_is_a_status(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    Sender(job.pk).stop("copy_gone")
    request = Request(ada, job).run()
    assert (request.status, json.loads(request.content)) == (409, {"code": "copy_gone"})


def test_failure_in_the_middle_leaves_the_answer_without_its_end(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    sender = Sender(job.pk)
    sender.send(b"half")
    request = Request(ada, job)
    request.each = lambda: sender.stop("host_gone")
    request.run()
    assert (request.status, request.content, request.is_whole) == (200, b"half", False)
    sender.close()


def test_job_that_ends_ends_the_download(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    request = Request(ada, job)
    sender = Sender(job.pk)
    sender.send(b"half")
    ended = closing(lambda: Job.objects.filter(pk=job.pk).update(state=JobState.LOST))
    request.each = lambda: in_thread(ended).join(5)
    request.run()
    assert not request.is_whole
    sender.close()


def test_download_ends_with_its_session(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    request = Request(ada, job)
    sender = Sender(job.pk)
    sender.send(b"half")
    request.each = lambda: in_thread(Session.objects.all().delete).join(5)
    with mock.patch.object(admission, "RECHECK_SECONDS", 0.1):
        request.run()
    assert not request.is_whole
    with pytest.raises(RelayClosed) as closed:
        sender.until_taken()
    assert closed.value.code == "transfer_signed_out"
    sender.close()


def test_browser_that_leaves_is_told_to_the_worker(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    request = Request(ada, job)
    sender = Sender(job.pk)
    sender.send(b"half")
    request.each = request.has_left.set
    request.run()
    with pytest.raises(RelayClosed) as closed:
        sender.until_taken()
    assert closed.value.code == "transfer_abandoned"
    sender.close()


def test_upload_goes_to_every_job_of_the_click_and_one_that_stops_stops_no_other(
    ada: User, group: HostGroup
) -> None:
    batch = "8f14e45f-ceea-467f-a8e2-0d5c6b9d1a22"
    jobs = [make_job("load", ada, group, batch=batch) for _ in range(3)]
    make_job("load", factories.make_admin(), group, batch=batch)  # whose browser is another one
    received: list[list[bytes]] = [[], []]

    def stop() -> None:
        receiver = Receiver(jobs[2].pk)
        receiver.take()
        receiver.stop("disk_full")
        receiver.close()

    threads = [in_thread(lambda n=n: take_all(jobs[n], received[n])) for n in range(2)]  # type: ignore[misc]
    threads.append(in_thread(stop))
    body = bytes(CHUNK_BYTES * 20)
    assert Request(ada, jobs[1], "PUT", body).run().status == 200
    for thread in threads:
        thread.join(10)
    assert [sum(map(len, each)) for each in received] == [len(body), len(body)]


def test_upload_that_no_job_takes_any_more_is_refused(ada: User, group: HostGroup) -> None:
    job = make_job("load", ada, group)

    def stop() -> None:
        receiver = Receiver(job.pk)
        receiver.take()
        receiver.stop("archive_unknown")
        receiver.close()

    thread = in_thread(stop)
    request = Request(ada, job, "PUT", bytes(CHUNK_BYTES * 40)).run()
    thread.join(5)
    assert (request.status, json.loads(request.content)) == (409, {"code": "archive_unknown"})
    assert request.headers[b"connection"] == b"close"


def test_job_that_no_worker_takes_does_not_hold_up_the_others(ada: User, group: HostGroup) -> None:
    batch = "8f14e45f-ceea-467f-a8e2-0d5c6b9d1a22"
    ready = make_job("load", ada, group, batch=batch)
    waiting = make_job("load", ada, group, batch=batch, state=JobState.QUEUED)
    received: list[bytes] = []
    thread = in_thread(lambda: take_all(ready, received))
    request = Request(ada, ready, "PUT", b"archive")
    with mock.patch.object(archive_stream, "READY_SECONDS", 0.5):
        assert request.run().status == 200
    thread.join(5)
    assert (received, json.loads(request.content)["waiting"]) == ([b"archive"], [waiting.pk])
    waiting.refresh_from_db()
    assert waiting.state == JobState.QUEUED

    # The browser sends it once more, for the one that waits: the other, which still unpacks, is left alone.
    Job.objects.filter(pk=waiting.pk).update(state=JobState.RUNNING)
    late: list[bytes] = []
    thread = in_thread(lambda: take_all(waiting, late))
    again = Request(ada, ready, "PUT", b"archive", query=f"jobs={waiting.pk}").run()
    thread.join(5)
    assert (again.status, json.loads(again.content)) == (200, {"received": 7, "waiting": []})
    assert (received, late) == ([b"archive"], [b"archive"])


def test_job_that_another_request_serves_is_left_to_it(ada: User, group: HostGroup) -> None:
    batch = "8f14e45f-ceea-467f-a8e2-0d5c6b9d1a25"
    served = make_job("load", ada, group, batch=batch, state=JobState.QUEUED)
    free = make_job("load", ada, group, batch=batch)
    other = Sender(served.pk)
    assert other.attend_once()
    received: list[bytes] = []
    thread = in_thread(lambda: take_all(free, received))
    request = Request(ada, free, "PUT", b"archive").run()
    thread.join(5)
    assert (request.status, json.loads(request.content)["waiting"]) == (200, [])
    assert received == [b"archive"]
    assert other.is_attended
    other.close()
    served.refresh_from_db()
    assert served.state == JobState.QUEUED


def test_worker_that_waits_for_the_second_time_hears_that_the_browser_has_left(
    ada: User, group: HostGroup
) -> None:
    batch = "8f14e45f-ceea-467f-a8e2-0d5c6b9d1a23"
    ready = make_job("load", ada, group, batch=batch)
    waiting = make_job("load", ada, group, batch=batch, state=JobState.QUEUED)
    received: list[bytes] = []
    thread = in_thread(lambda: take_all(ready, received))
    with mock.patch.object(archive_stream, "READY_SECONDS", 0.5):
        assert Request(ada, ready, "PUT", b"archive").run().status == 200
    thread.join(5)
    relay = Receiver(waiting.pk)
    assert relay.is_attended
    assert relay._redis.ttl(relay.attended) in range(1, ATTENDED_SECONDS + 1)
    relay.close()


def test_upload_that_fails_ends_those_that_wait_as_well(ada: User, group: HostGroup) -> None:
    batch = "8f14e45f-ceea-467f-a8e2-0d5c6b9d1a24"
    ready = make_job("load", ada, group, batch=batch)
    waiting = make_job("load", ada, group, batch=batch, state=JobState.QUEUED)

    def stop() -> None:
        receiver = Receiver(ready.pk)
        receiver.take()
        receiver.stop("archive_unknown")
        receiver.close()

    thread = in_thread(stop)
    with mock.patch.object(archive_stream, "READY_SECONDS", 0.5):
        assert Request(ada, ready, "PUT", bytes(CHUNK_BYTES * 40)).run().status == 409
    thread.join(5)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code) == (JobState.FAILED, "archive_unknown")


def test_upload_that_is_given_up_before_a_worker_took_it_ends_the_job(ada: User, group: HostGroup) -> None:
    job = make_job("load", ada, group)
    request = Request(ada, job, "PUT")
    request._body = []
    request.has_left = mock.Mock(wait=mock.AsyncMock())
    assert request.run().status == 409
    with pytest.raises(RelayClosed) as closed:
        Receiver(job.pk).take()
    assert closed.value.code == "transfer_abandoned"


def test_upload_that_hangs_is_given_up_and_the_worker_told(ada: User, group: HostGroup) -> None:
    job = make_job("load", ada, group)
    request = Request(ada, job, "PUT")
    request._body = []
    with mock.patch.object(archive_stream, "STALL_SECONDS", 0.3):
        request.run()
    assert (request.status, json.loads(request.content)) == (409, {"code": "transfer_stalled"})
    with pytest.raises(RelayClosed) as closed:
        Receiver(job.pk).take()
    assert closed.value.code == "transfer_stalled"


def test_download_that_is_paused_for_too_long_is_given_up(ada: User, group: HostGroup) -> None:
    job = make_job("save", ada, group)
    request = Request(ada, job)
    sender = Sender(job.pk)
    sender.send(b"half")
    send = request.send

    async def paused(message: Any) -> None:
        await send(message)
        if message["type"] == "http.response.body":
            await request.has_left.wait()

    request.send = paused  # type: ignore[method-assign]
    with mock.patch.object(archive_stream, "STALL_SECONDS", 0.3):
        request.run()
    assert (request.content, request.is_whole) == (b"half", False)
    with pytest.raises(RelayClosed) as closed:
        sender.until_taken()
    assert closed.value.code == "transfer_stalled"
    sender.close()


def test_redis_that_is_away_is_a_status(ada: User, group: HostGroup, settings: Any) -> None:
    job = make_job("save", ada, group)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert Request(ada, job).run().status == 503
