"""What a row of the fleet list says of a copy, and a row of a group of its copies."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from images.models import Copy, Host, Pin
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def signed_in(client: Client) -> None:
    client.force_login(factories.make_admin())


@pytest.fixture
def host() -> Host:
    return factories.make_host("runner")


def rows(client: Client, query: str = "") -> list[str]:
    page = " ".join(client.get(reverse("images:image-list") + query).content.decode().split())
    return re.findall(r"<tr> <td class=\"is-tight\">(.*?)</tr>", page)


def row(client: Client, query: str = "") -> str:
    (only,) = rows(client, query)
    return only


def state(client: Client, query: str = "") -> list[str]:
    """The badges of the only row."""
    return re.findall(r'class="badge[^>]*>([^<]+)<', row(client, query))


def test_row_says_what_where_and_how_large(client: Client, host: Host) -> None:
    copy = factories.make_copy(
        host, "shop/api:1", "shop/api:latest", "mirror/api:1", size_bytes=5_000_000, own_bytes=2_000_000
    )
    text = row(client)
    assert re.findall(r'tag-chip">([^<]+)<', text) == ["mirror/api:1", "1", "latest"]
    for part in ("shop/api</a>", copy.short_id, copy.engine_id, "runner</a>", "5.00 MB", "2.00 MB"):
        assert part in text
    assert reverse("images:image-detail", args=[copy.image_id]) in text


def test_row_says_when_it_was_built_came_and_was_used(client: Client, host: Host) -> None:
    now = timezone.now()
    copy = factories.make_copy(host, "a:1", arrived_at=now - timedelta(days=4))
    Copy.objects.update(built_at=now - timedelta(days=9))
    ages = re.compile(r"<time[^>]*>([^<]+)</time>|(not known)")
    shown = ["".join(found) for found in ages.findall(row(client))]
    assert shown == ["9 d ago", "4 d ago", "not known"]
    Copy.objects.filter(pk=copy.pk).update(last_used_at=now - timedelta(hours=2))
    assert "2 h ago" in row(client)


def test_row_says_whether_it_is_used(client: Client, host: Host) -> None:
    copy = factories.make_copy(host, "a:1")
    assert state(client) == ["Unused"]
    Copy.objects.filter(pk=copy.pk).update(container_count=3)
    assert state(client) == ["In use by 3"]
    copy.delete()
    factories.make_copy(host)
    assert state(client) == ["Dangling"]
    assert "&lt;none&gt;" in row(client)
    Copy.objects.update(is_intermediate=True)
    assert state(client, "?intermediate=on") == ["Intermediate"]


def test_row_says_that_it_is_pinned_here_or_everywhere_and_not_elsewhere(client: Client, host: Host) -> None:
    copy = factories.make_copy(host, "a:1")
    pin = Pin.objects.create(image=copy.image, host=factories.make_host("vault"), reason="x")
    assert state(client) == ["Unused"]
    for where in (host, None):
        Pin.objects.filter(pk=pin.pk).update(host=where)
        assert state(client) == ["Unused", "Pinned"]
    Pin.objects.filter(pk=pin.pk).update(ends_at=timezone.now() - timedelta(days=1))
    assert state(client) == ["Unused"]


def test_bytes_that_are_an_estimate_are_marked(client: Client) -> None:
    factories.make_copy(factories.make_host(store_kind="containerd", is_estimate=True), "a:1")
    assert "≈" in row(client)


def test_group_says_how_many_copies_and_containers(client: Client, host: Host) -> None:
    for number, where in enumerate((host, factories.make_host("vault"))):
        factories.make_copy(where, f"shop/api:{number}", container_count=number + 1, own_bytes=1_000_000)
    text = row(client, "?by=repository")
    assert re.findall(r'<td class="number">(\d+)</td>', text) == ["2", "3"]
    assert "Show the copies of shop/api" in text
    assert "2.00 MB" in text


def test_exports_are_of_what_the_list_shows(client: Client, host: Host) -> None:
    page = client.get(reverse("images:image-list") + "?q=shop&page=2").content.decode()
    for kind in ("csv", "json", "txt"):
        assert f'{reverse("images:image-export", args=[kind])}?q=shop" data-export="{kind}"' in page
