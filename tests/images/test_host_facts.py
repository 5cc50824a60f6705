"""Every fact that a host's page tells, with values that nothing else on the page has."""

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cleanup.models import RunState
from images.models import Host, HostGroup, Job
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    group = HostGroup.objects.create(name="night-shift")
    now = timezone.now()
    host = factories.make_host(
        "runner", groups=(group,), engine_kind="docker", engine_version="28.5.1", api_version="1.51",
        store_kind="containerd", storage_driver="overlayfs", root_directory="/srv/images",
        registry_mirrors=["https://mirror.example.com/"], operating_system="Debian 12", architecture="arm64",
        image_count=417, container_count=23, total_bytes=71_000_000, shared_bytes=52_000_000,
        unused_bytes=33_000_000, build_cache_bytes=14_000_000, synced_at=now - timedelta(minutes=7),
        use_known_since=now - timedelta(days=37), last_event_at=now - timedelta(minutes=48),
        error_at=now - timedelta(hours=9), error_code="host_refused",
        error_values={"address": "tcp://10.9.8.7:2375"},
    )  # fmt: skip
    Host.objects.filter(pk=host.pk).update(added_at=now - timedelta(days=211))
    return host


def facts(client: Client, host: Host) -> dict[str, str]:
    """By its term (or the label of a figure) what the page says, without markup."""
    page = client.get(reverse("images:host-detail", args=[host.pk])).content.decode()
    pairs = re.findall(r"<dt>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    figure = r'stat-label">(.*?)</div><div class="stat-value">(.*?)</div><div class="stat-note">(.*?)</div>'
    pairs += [(label, f"{value} | {note}") for label, value, note in re.findall(figure, page, re.DOTALL)]
    return {plain(term): plain(text) for term, text in pairs}


def plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).replace("\xa0", " ").split())


def test_page_tells_what_is_known_of_the_engine_and_how_fresh_it_is(client: Client, host: Host) -> None:
    client.force_login(factories.make_admin())
    told = facts(client, host)
    expected = {
        "Images": "417 | 23 containers",
        "Space of its images": "71.0 MB | every layer counted once",
        "Shared": "52.0 MB | in layers of more than one image",
        "Engine": "Docker 28.5.1",
        "API version": "1.51",
        "Image store": "containerd store (overlayfs)",
        "Images are stored in": "/srv/images",
        "Registry mirrors": "https://mirror.example.com/",
        "System": "Debian 12, arm64",
        "Build cache": "14.0 MB",
        "Groups": "night-shift",
        "Added": "7 mo ago",
        "Picture taken": "7 min ago",
        "Last event": "48 min ago",
    }
    assert {term: told.get(term) for term in expected} == expected
    assert told["Unused"].endswith("33.0 MB | freed if every unused image went"), told["Unused"]
    assert "1 mo ago" in told["Use is known"]
    assert told["Last error"].startswith("9 h ago")
    assert "tcp://10.9.8.7:2375" in told["Last error"], "which error, and not only when"


def test_page_of_a_host_that_was_never_reached_says_so(client: Client) -> None:
    client.force_login(factories.make_admin())
    told = facts(client, factories.make_host("new", state="new", synced_at=None, use_known_since=None))
    assert told["Picture taken"] == "not yet"
    assert told["Use is known"] == "not now: cleanup by last use keeps its images"
    assert "Last error" not in told
    assert "Last event" not in told


def test_page_lists_its_jobs_and_runs_and_nobody_elses(client: Client, host: Host) -> None:
    client.force_login(factories.make_admin())
    other = factories.make_host("other")
    grace = factories.make_user("grace")
    mine = Job.objects.create(kind="pull", host=host, created_by=grace, subject="shop/api:7")
    theirs = Job.objects.create(kind="pull", host=other, subject="shop/web:8")
    plans = []
    for where in (host, other):
        plans.append(rows.make_plan(rows.make_policy(f"Policy of {where}", hosts=[where])))
        rows.add_host(plans[-1], where, removed=3)
        rows.make_run(plans[-1], RunState.SUCCEEDED)
    page = client.get(reverse("images:host-detail", args=[host.pk])).content.decode()
    assert "shop/api:7" in page
    assert "grace" in page
    assert reverse("images:job-detail", args=[mine.pk]) in page
    assert reverse("images:job-detail", args=[theirs.pk]) not in page
    runs = plain(client.get(reverse("cleanup:host-runs", args=[host.pk])).content.decode())
    assert "Policy of runner" in runs
    assert "Policy of other" not in runs
    assert "3.00 MB" in runs
