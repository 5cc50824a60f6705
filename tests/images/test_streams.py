"""The stream of live events, spoken to as a server speaks to it, on a real Redis."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client

from images.live import progress, streams
from images.live.asgi import Message
from images.live.listeners import Listener
from images.models import HostGroup, User
from tests import factories
from tests.conftest import closing

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("live_redis"),
]


@pytest.fixture
def ada() -> User:
    """May view the hosts of one group."""
    ada = factories.make_user("ada")
    factories.grant(ada, "viewer", HostGroup.objects.create(name="ci"))
    return ada


def cookie_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


class Stream:
    """One request to /events/, and what came of it."""

    def __init__(self, cookie: str, query: str, headers: dict[str, str]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        if cookie:
            header = cookie if "=" in cookie else f"{django_settings.SESSION_COOKIE_NAME}={cookie}"
            raw.append((b"cookie", header.encode()))
        self.scope = {
            "type": "http", "method": "GET", "path": "/events/", "headers": raw,
            "query_string": query.encode(),
        }  # fmt: skip
        self.status, self.text, self.is_ended = 0, "", False
        self.has_left = asyncio.Event()

    async def receive(self) -> Message:
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.text += message["body"].decode()
        self.is_ended = not message.get("more_body")

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [line for line in self.text.splitlines() if line.startswith("data: {") and "topics" in line]
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    @property
    def position(self) -> str:
        return next(line[4:] for line in reversed(self.text.splitlines()) if line.startswith("id: "))

    async def until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(
    cookie: str, topics: str = "jobs", after: str = "", **headers: str
) -> AsyncIterator[Stream]:
    stream = Stream(cookie, f"topics={topics}&after={after}", headers)
    task = asyncio.create_task(streams.events(stream.scope, stream.receive, stream.send))
    await stream.until(lambda: stream.status)
    if stream.status == 200:
        # Only once the reader stands somewhere is nothing missed that comes without a position.
        await stream.until(lambda: streams.hub().position)
    yield stream
    stream.has_left.set()
    async with asyncio.timeout(5):
        await task


def run(test: Coroutine[Any, Any, None]) -> None:
    async def closed() -> None:
        try:
            await test
        finally:
            await streams.close()

    asyncio.run(closed())


async def publish(*topics: str, host_id: int | Sequence[int] | None = None, **data: Any) -> None:
    await asyncio.to_thread(progress.publish, *topics, host_id=host_id, data=data)


def test_who_is_not_signed_in_gets_401() -> None:
    async def test() -> None:
        for cookie in ("", "no-such-session"):
            async with watching(cookie) as stream:
                assert stream.status == 401

    run(test())


@pytest.mark.parametrize("foreign", ['prefs={"a":1}; ', "a[b]=1; ", "x; ", ""])
def test_cookie_of_somebody_else_does_no_harm(ada: User, foreign: str) -> None:
    cookies = f"{foreign}{django_settings.SESSION_COOKIE_NAME}={cookie_of(ada)}"

    async def test() -> None:
        async with watching(cookies) as stream:
            assert stream.status == 200

    run(test())


def test_post_is_refused(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        stream = Stream(cookie, "", {})
        stream.scope["method"] = "POST"
        await streams.events(stream.scope, stream.receive, stream.send)
        assert stream.status == 405

    run(test())


def test_event_reaches_who_listens_to_its_topic_and_nobody_else(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie, "job:1+jobs") as one, watching(cookie, "job:2") as other:
            await publish("job:1", state="running")
            await publish("job:2", state="queued")
            await one.until(lambda: one.events)
            await other.until(lambda: other.events)
            assert [event["topics"] for event in one.events] == [["job:1"]]
            assert [event["data"] for event in other.events] == [{"state": "queued"}]

    run(test())


def test_what_is_told_to_another_person_can_not_be_listened_to(ada: User) -> None:
    bo = factories.make_user("bo")
    cookie = cookie_of(ada)

    async def test() -> None:
        topics = f"by:{bo.pk}+by:{ada.pk}"
        async with watching(cookie, topics, after="1-0") as stream:
            await publish("job:1", f"by:{bo.pk}", whose="bo")
            await publish("job:2", f"by:{ada.pk}", whose="ada")
            await stream.until(lambda: stream.events)
        async with watching(cookie, topics, after="1-0") as replayed:
            await replayed.until(lambda: replayed.events)
        assert [event["data"]["whose"] for event in stream.events + replayed.events] == ["ada", "ada"]

    run(test())


def test_events_of_hosts_one_may_not_see_never_come(ada: User) -> None:
    seen = factories.make_host(groups=tuple(HostGroup.objects.all()))
    hidden = factories.make_host()
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie, "jobs", after="1-0") as stream:
            await publish("jobs", host_id=hidden.pk, secret=1)
            await publish("jobs", host_id=seen.pk, open=1)
            await publish("jobs", host_id=None, everybody=1)
            await stream.until(lambda: len(stream.events) >= 2)
        async with watching(cookie, "jobs", after="1-0") as replayed:
            await replayed.until(lambda: len(replayed.events) >= 2)
        assert "secret" not in stream.text + replayed.text

    run(test())


def test_event_of_several_hosts_comes_to_who_sees_one_of_them_and_of_none_to_nobody(ada: User) -> None:
    seen = factories.make_host(groups=tuple(HostGroup.objects.all()))
    hidden, other = factories.make_host(), factories.make_host()
    cookie, admin = cookie_of(ada), cookie_of(factories.make_admin())

    async def test() -> None:
        async with watching(cookie, "runs", after="1-0") as stream, watching(admin, "runs") as everything:
            await publish("runs", host_id=[hidden.pk, other.pk], secret=1)
            await publish("runs", host_id=[], secret=2)
            await publish("runs", host_id=[hidden.pk, seen.pk], open=1)
            await stream.until(lambda: stream.events)
            await everything.until(lambda: "open" in everything.text)
        assert "secret" not in stream.text
        assert '"secret": 1' in everything.text
        assert '"secret": 2' in everything.text

    run(test())


def test_last_state_of_a_topic_wins_and_no_value_is_dropped(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie, "job:1") as stream:
            await publish("job:1", log=True)
            for n in range(200):
                await publish("job:1", done=n)
            await stream.until(lambda: stream.events and stream.events[-1]["data"].get("done") == 199)
            assert len(stream.events) < 20
            assert any(event["data"].get("log") for event in stream.events)

    run(test())


@pytest.mark.parametrize("is_header", [True, False])
def test_what_was_missed_is_replayed(ada: User, is_header: bool) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie, "job:1") as first:
            await publish("job:1", done=1)
            await first.until(lambda: first.events)
            position = first.position
        await publish("job:1", done=2)
        await publish("job:1", done=3)
        after, headers = ("", {"last-event-id": position}) if is_header else (position, {})
        async with watching(cookie, "job:1", after, **headers) as second:
            await second.until(lambda: second.events)
            assert second.events[0]["data"] == {"done": 3}

    run(test())


def test_page_hears_what_happened_since_it_was_rendered(ada: User, client: Client) -> None:
    client.force_login(ada)
    page = client.get("/jobs/").content.decode()
    position = page.split('data-live-position="')[1].split('"')[0]
    cookie = cookie_of(ada)

    async def test() -> None:
        await publish("jobs", id=1)
        async with watching(cookie, "jobs", position) as stream:
            await stream.until(lambda: stream.events)

    run(test())


def test_too_much_to_replay_asks_the_page_to_look_again(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        for n in range(8):
            await publish("job:1", done=n)
        with mock.patch.object(streams, "MOST_REPLAYED", 5):
            async with watching(cookie, "job:1", "1-0") as stream:
                await stream.until(lambda: "event: reset" in stream.text)
                assert not stream.events

    run(test())


@pytest.mark.parametrize("after", ["x", "1-x", "-", "٣", "1" * 50, "1-0%0d%0aid:2"])
def test_nonsense_as_position_is_ignored(ada: User, after: str) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie, "jobs", after) as stream:
            assert stream.status == 200

    run(test())


def test_slow_viewer_is_told_to_look_again_and_holds_little() -> None:
    async def test() -> None:
        viewer = streams.Viewer(frozenset({"jobs"}), Listener("", 0, "", None))
        for n in range(streams.QUEUE_LENGTH + 10):
            viewer.put(f"{n} ".encode())
        chunk = await viewer.take()
        assert chunk.startswith(b"event: reset")
        assert chunk.count(b" ") < streams.QUEUE_LENGTH
        viewer.put(b"later")
        assert await viewer.take() == b"later"

    run(test())


def test_quiet_stream_shows_that_it_lives(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie) as stream:
            await stream.until(lambda: ": still here" in stream.text)

    with mock.patch.object(streams, "HEARTBEAT_SECONDS", 0.1):
        run(test())


@pytest.mark.parametrize("change", [{"is_active": False}, {"must_change_password": True}])
def test_stream_of_who_was_switched_off_ends(ada: User, change: dict[str, bool]) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie) as stream:
            await asyncio.to_thread(closing(lambda: User.objects.filter(pk=ada.pk).update(**change)))
            await stream.until(lambda: stream.is_ended)

    with mock.patch.object(streams, "RECHECK_SECONDS", 0.1):
        run(test())


@pytest.mark.parametrize("ending", ["signed out", "new password"])
def test_stream_of_a_session_that_ended_ends(ada: User, ending: str) -> None:
    cookie = cookie_of(ada)

    def end() -> None:
        if ending == "signed out":
            Session.objects.all().delete()
        else:
            ada.set_password("another long password")
            ada.save()

    async def test() -> None:
        async with watching(cookie) as stream, watching(cookie_of_admin) as other:
            await asyncio.to_thread(closing(end))
            await stream.until(lambda: stream.is_ended)
            if ending == "signed out":
                await other.until(lambda: other.is_ended)
            assert other.is_ended == (ending == "signed out")

    cookie_of_admin = cookie_of(factories.make_admin())
    with mock.patch.object(streams, "RECHECK_SECONDS", 0.1):
        run(test())


def test_lost_right_takes_its_events_away(ada: User) -> None:
    host = factories.make_host(groups=tuple(HostGroup.objects.all()))
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie) as stream:
            await asyncio.to_thread(closing(ada.teams.clear))
            await stream.until(lambda: not any(viewer.listener.scope for viewer in streams.hub().viewers))
            await publish("jobs", host_id=host.pk, secret=1)
            await publish("jobs", host_id=None, everybody=1)
            await stream.until(lambda: stream.events)
            assert "secret" not in stream.text

    with mock.patch.object(streams, "RECHECK_SECONDS", 0.1):
        run(test())


def test_server_that_stops_ends_its_streams(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie) as stream:
            await streams.close()
            await stream.until(lambda: stream.is_ended)

    run(test())


def test_reader_that_loses_a_cancel_is_told_again(ada: User) -> None:
    """As asyncio.wait_for does on Python 3.11 where the cancel meets the end of what it waits for."""
    cookie = cookie_of(ada)
    lost: list[str] = []

    async def losing(hub: streams.Hub) -> None:
        hub.position = "0-0"
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append("once")

    async def test() -> None:
        with mock.patch.object(streams.Hub, "_read", losing):
            async with watching(cookie) as stream, asyncio.timeout(5):
                await asyncio.sleep(0)
                await streams.close()
                await stream.until(lambda: stream.is_ended)

    with mock.patch.object(streams, "CANCEL_SECONDS", 0.05):
        run(test())
    assert lost


def test_viewer_who_left_is_forgotten(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie):
            assert len(streams.hub().viewers) == 1
        assert not streams.hub().viewers
        assert not streams.hub()._by_topic

    run(test())


def test_stream_outlives_a_redis_that_is_away_and_asks_to_look_again(ada: User) -> None:
    cookie = cookie_of(ada)

    async def test() -> None:
        async with watching(cookie) as stream:
            hub = streams.hub()
            with mock.patch.object(hub._redis, "xread", side_effect=OSError("gone")):
                # Ends the read that waits, as the end of its connection would.
                await hub._redis.connection_pool.disconnect()
                await stream.until(lambda: not hub._is_connected)
            await stream.until(lambda: "event: reset" in stream.text)
            await publish("jobs", back=1)
            await stream.until(lambda: stream.events)

    with mock.patch.object(streams, "RETRY_SECONDS", 0.1):
        run(test())


def test_publishing_never_raises_and_pauses_while_redis_is_away(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    progress.publish("jobs", host_id=None)
    with mock.patch.object(progress, "client") as client:
        progress.publish("jobs", host_id=None)
    assert not client.called


def test_stream_in_redis_is_capped_and_expires() -> None:
    with mock.patch.object(progress, "KEEP_EVENTS", 100):
        for n in range(500):
            progress.publish("jobs", host_id=None, data={"n": n})
    assert progress.client().xlen(progress.STREAM) < 300
    assert 0 < progress.client().ttl(progress.STREAM) <= progress.KEEP_SECONDS
