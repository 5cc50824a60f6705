"""The first page and the health check."""

import re
from unittest import mock

import pytest
import redis
from django.test import Client
from django.utils import timezone

from images.fleet import overview
from images.fleet.treemap import treemap
from images.models import Host, HostGroup, HostState, Job, User
from tests import factories

pytestmark = pytest.mark.django_db


def test_fresh_install_asks_for_the_first_host(admin_client: Client) -> None:
    page = admin_client.get("/").content.decode()
    assert "Add your first host" in page
    assert "/hosts/add/" in page


def test_person_without_hosts_is_told_whom_to_ask(client: Client) -> None:
    factories.make_host("unseen-host")
    client.force_login(factories.make_user())
    page = client.get("/").content.decode()
    assert "You see no host yet" in page
    assert "unseen-host" not in page


def test_figures_are_of_the_hosts_one_sees() -> None:
    group = HostGroup.objects.create(name="ci")
    ada = factories.make_user("ada")
    factories.grant(ada, "viewer", group)
    seen = factories.make_host(groups=(group,), unused_bytes=5, total_bytes=9, image_count=2)
    hidden = factories.make_host(unused_bytes=100, total_bytes=200, image_count=50)
    image = factories.make_image(factories.make_layer(10))
    for host in (seen, hidden):
        factories.make_copy(host, "redis:7", image=image)
    factories.make_copy(hidden, "secret:1")
    figures = overview.summary(ada)
    assert (figures.unused_bytes, figures.total_bytes, figures.copy_count, figures.image_count) == (
        5,
        9,
        2,
        1,
    )
    assert [space.repository for space in overview.space_by_repository(ada)] == ["redis"]
    assert [copy.host for copy in overview.newest_copies(ada)] == [seen]


def test_bytes_of_a_host_are_said_as_exactly_as_they_are_known(admin_client: Client) -> None:
    factories.make_host("cached", unused_bytes=5000, build_cache_holds_layers=True)
    factories.make_host("rough", unused_bytes=6000, is_estimate=True)
    factories.make_host("exact", unused_bytes=7000)
    page = admin_client.get("/").content.decode()
    said = re.findall(r'<td class="number">(≤ |≈ )?<span[^>]*>([567]\.00 kB)', page)
    assert sorted(said, key=lambda each: each[1]) == [("≤ ", "5.00 kB"), ("≈ ", "6.00 kB"), ("", "7.00 kB")]


def test_host_that_is_down_longest_is_named(admin_client: Client) -> None:
    from datetime import timedelta

    now = timezone.now()
    for name, minutes in (("down-5", 5), ("down-50", 50)):
        factories.make_host(name, state=HostState.OFFLINE, state_since=now - timedelta(minutes=minutes))
    factories.make_host("fine")
    page = admin_client.get("/").content.decode()
    assert "down-50 went offline" in page
    assert "1 / 3" in page


def test_running_jobs_are_shown_and_ended_ones_are_not(admin_client: Client) -> None:
    host = factories.make_host("runner")
    running = Job.objects.create(kind="remove", host=host, state="running")
    ended = Job.objects.create(kind="remove", host=host, state="succeeded")
    page = admin_client.get("/overview/jobs/").content.decode()
    assert f"/jobs/{running.pk}/" in page
    assert f"/jobs/{ended.pk}/" not in page


def test_running_job_says_its_amounts_rate_and_time_left(admin_client: Client) -> None:
    Job.objects.create(
        kind="pull", host=factories.make_host("runner"), state="running", progress_unit="bytes",
        progress_done=50_000_000, progress_total=200_000_000, progress_rate=10_000_000,
    )  # fmt: skip
    page = " ".join(admin_client.get("/overview/jobs/").content.decode().split())
    for words in ("50.0 MB", "200 MB", "10.0 MB/s", "15 s"):
        assert words in page
    assert "50000000<" not in page


def test_host_that_is_off_is_neither_online_nor_a_problem_and_frees_nothing_now(admin_client: Client) -> None:
    factories.make_host("fine", unused_bytes=5)
    factories.make_host("sleeper", is_enabled=False, unused_bytes=100)
    page = admin_client.get("/").content.decode()
    assert "1 / 2" in page
    assert "1 host is switched off." in page
    Host.objects.filter(name="sleeper").update(state=HostState.OFFLINE, state_since=timezone.now())
    assert "went offline" not in admin_client.get("/").content.decode()
    assert overview.summary(User.objects.get()).unused_bytes == 5


def test_bytes_of_a_running_job_are_shown_as_sizes(admin_client: Client) -> None:
    Job.objects.create(
        kind="pull", host=factories.make_host(), state="running", progress_unit="bytes", progress_done=5_000_000,
        progress_total=20_000_000, progress_rate=1e6,
    )  # fmt: skip
    for url in ("/", "/overview/jobs/"):
        page = admin_client.get(url).content.decode()
        for text in ("5.00 MB", "20.0 MB", "1.00 MB/s", "15 s left"):
            assert f">{text}<" in page, (url, text)


def test_job_that_waits_says_its_place(admin_client: Client) -> None:
    host = factories.make_host("runner", most_transfers=1)
    for state in ("running", "queued"):
        Job.objects.create(kind="pull", host=host, state=state)
    for _ in range(2):
        Job.objects.create(kind="pull", host=factories.make_host(), state="queued")
    for url in ("/", "/overview/jobs/"):
        page = admin_client.get(url).content.decode()
        assert "Place 1 in the queue on runner" in page, url
        assert "Place 2 in the queue for a worker." in page, url
    assert "Place 1 in the queue on runner" in admin_client.get(f"/hosts/{host.pk}/").content.decode()


def test_map_of_space_escapes_names(admin_client: Client) -> None:
    factories.make_copy(factories.make_host(), "<b>evil:1")
    page = admin_client.get("/overview/space/").content.decode()
    assert "<b>" not in page


def test_boxes_fill_the_area_in_proportion() -> None:
    boxes = treemap([6, 6, 4, 3, 2, 2, 1], 600, 400)
    assert sum(box.width * box.height for box in boxes) == pytest.approx(240_000)
    assert boxes[0].width * boxes[0].height == pytest.approx(60_000)
    assert all(0 <= box.x <= box.x + box.width <= 600.001 for box in boxes)
    assert all(0 <= box.y <= box.y + box.height <= 400.001 for box in boxes)
    assert max(max(b.width / b.height, b.height / b.width) for b in boxes) < 3


def test_no_values_make_no_boxes() -> None:
    assert treemap([], 10, 10) == []


def test_overview_needs_the_same_queries_for_many_hosts(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    for _ in range(15):
        host = factories.make_host()
        factories.make_copy(host, "redis:7")
        Job.objects.create(kind="remove", host=host, state="running")
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        admin_client.get("/")


class TestHealth:
    def test_all_well_is_200(self, client: Client) -> None:
        with mock.patch.object(redis.Redis, "ping", return_value=True):
            response = client.get("/health/")
        assert (response.status_code, response.json()) == (
            200,
            {"status": "ok", "database": "ok", "redis": "ok"},
        )

    def test_lost_redis_is_503_and_says_no_address(self, client: Client) -> None:
        with mock.patch.object(redis.Redis, "ping", side_effect=redis.ConnectionError("redis://secret@host")):
            response = client.get("/health/")
        assert (response.status_code, response.json()["redis"]) == (503, "down")
        assert "secret" not in response.content.decode()
