"""Watching real engines: how soon a change is known, gaps, hung and restarted engines, several watchers."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config.demo import images as samples
from config.demo.engines import PrivateEngine
from images.hosts import last_use, watch
from images.hosts.watch import Watcher
from images.models import Container, Copy, Host
from tests import factories
from tests.engine.test_sync import APP, BASE

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

SOON = 2.0  # the promise: an event shows within so many seconds


def within(seconds: float, condition: Callable[[], object], what: str = "") -> float:
    """Waits until it holds; gives how long that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def host(engine: PrivateEngine) -> Host:
    with engine.client() as api:
        samples.load(api, samples.Image(["app:1"], [BASE, APP]))
    return factories.make_host(
        "one", address=engine.address, state="new", store_kind="", synced_at=None, use_known_since=None
    )


def is_watched(host: Host) -> bool:
    host.refresh_from_db()
    return host.is_watched(timezone.now()) and host.is_online


def begin(watcher: Watcher, host: Host) -> None:
    watcher.round()
    watcher.round()
    within(15, lambda: is_watched(host), "watched")


def test_changes_are_known_within_two_seconds(engine: PrivateEngine, host: Host, watcher: Watcher) -> None:
    begin(watcher, host)
    with engine.client() as api:
        samples.load(api, samples.Image(["other:1"], [BASE]))
        within(SOON, lambda: Copy.objects.filter(tag="1", repository="other").exists(), "loaded")
        api.tag("other:1", "other", "2")
        within(SOON, lambda: Copy.objects.filter(references__name="other:2").exists(), "tagged")
        api.remove_image("other:1")
        within(SOON, lambda: not Copy.objects.filter(references__name="other:1").exists(), "untagged")
        api.remove_image("other:2")
        within(SOON, lambda: not Copy.objects.filter(repository="other").exists(), "removed")
        within(SOON, lambda: Host.objects.get(pk=host.pk).image_count == 1, "counted")


def test_a_moved_tag_leaves_its_old_image_dangling(
    engine: PrivateEngine, host: Host, watcher: Watcher
) -> None:
    begin(watcher, host)
    with engine.client() as api:
        samples.load(api, samples.Image(["other:1"], [BASE]))
        api.tag("other:1", "app", "1", force=True)
        within(SOON, lambda: Copy.objects.filter(is_dangling=True).exists(), "dangling")
    assert Copy.objects.get(references__name="app:1").references.filter(digest="").count() == 2


def test_containers_are_followed_and_say_when_an_image_was_used(
    engine: PrivateEngine, host: Host, watcher: Watcher
) -> None:
    begin(watcher, host)
    copy = Copy.objects.get()
    with engine.client() as api:
        container = samples.run_container(api, "app:1", "web")
        within(SOON, lambda: Copy.objects.filter(container_count=1).exists(), "in use")
        assert Container.objects.get().state in {"created", "running"}
        api.remove_container(container, force=True)
        within(SOON, lambda: not Container.objects.exists(), "container gone")
    copy.refresh_from_db()
    assert copy.container_count == 0
    assert copy.last_used_at is not None
    assert timezone.now() - copy.last_used_at < timedelta(seconds=10)


def test_a_classic_build_adds_its_parents_and_does_not_use_its_base(
    engine: PrivateEngine, host: Host, watcher: Watcher
) -> None:
    begin(watcher, host)
    before = Copy.objects.get(repository="app").last_used_at
    with engine.client() as api:
        samples.build(api, "FROM app:1\nRUN echo hi > /x\nCMD x\n", tag="built:1")
        within(SOON, lambda: Copy.objects.filter(repository="built").exists(), "built")
        within(SOON, lambda: Copy.objects.filter(is_intermediate=True).count() == 1, "parent")
        assert Copy.objects.get(repository="app").last_used_at == before
        api.remove_image("built:1")
        within(SOON, lambda: Copy.objects.count() == 1, "child and parent gone")


def test_a_hung_engine_is_noticed_and_comes_back(engine: PrivateEngine, host: Host, watcher: Watcher) -> None:
    begin(watcher, host)
    engine.pause()
    within(watch.PING_EVERY_SECONDS + watch.PING_SECONDS + 3, lambda: not is_watched(host), "offline")
    host.refresh_from_db()
    assert (host.state, host.use_known_since) == ("offline", None)
    engine.cont()
    within(15, lambda: is_watched(host), "back")


def test_a_restarted_engine_leaves_a_gap_in_what_is_known_of_use(
    engine: PrivateEngine, host: Host, watcher: Watcher
) -> None:
    begin(watcher, host)
    before = host.use_known_since
    engine.restart()
    within(30, lambda: is_watched(host), "back")
    assert before is not None
    assert host.use_known_since is not None
    assert host.use_known_since > before


def test_a_watcher_that_was_away_finds_out_what_it_missed(
    engine: PrivateEngine, host: Host, watcher: Watcher
) -> None:
    begin(watcher, host)
    with engine.client() as api:
        # How far it came is noted after the rows: with the second one there, the first is noted for sure.
        for tag in ("2", "3"):
            api.tag("app:1", "app", tag)
            within(SOON, Copy.objects.filter(references__name=f"app:{tag}").exists, "tagged")
        before = Host.objects.get().use_known_since
        watcher.release()
        host.refresh_from_db()
        assert host.use_known_since is None
        container = samples.run_container(api, "app:1", "short")
        api.remove_container(container, force=True)
    begin(watcher, host)
    # The engine still remembered the tag, so nothing was lost: no gap, and the short use is known.
    assert host.use_known_since == before
    within(SOON, lambda: Copy.objects.filter(last_used_at__isnull=False).exists(), "used meanwhile")


def test_two_watchers_share_and_take_over(engine: PrivateEngine, host: Host, watcher: Watcher) -> None:
    begin(watcher, host)
    second = Watcher("second")
    second.round()
    second.round()
    assert not second.watches
    Host.objects.update(watcher_lease_until=timezone.now() - timedelta(seconds=1))
    second.round()
    second.round()
    watcher.round()
    assert list(second.watches) == [host.pk]
    assert not watcher.watches
    within(15, lambda: is_watched(host), "taken over")
    second.release()


def test_a_killed_watcher_leaves_use_unknown(host: Host) -> None:
    past = timezone.now() - timedelta(seconds=1)
    Host.objects.update(watcher="dead", watcher_lease_until=past, watched_since=past, use_known_since=past)
    host.refresh_from_db()
    assert not host.is_use_known(timezone.now())
    last_use.watches_lapse(timezone.now())
    host.refresh_from_db()
    assert (host.use_known_since, host.use_known_before_gap) == (None, past)


def test_a_hung_host_does_not_delay_watching_another(
    engine: PrivateEngine, host: Host, watcher: Watcher, hung_port: int
) -> None:
    for number in range(6):
        factories.make_host(
            f"hung{number}", address=f"tcp://127.0.0.1:{hung_port}", state="new", synced_at=None
        )
    watcher.round()
    watcher.round()
    assert within(5, lambda: is_watched(host), "watched") < 5
    assert connection.vendor in {"sqlite", "postgresql"}
