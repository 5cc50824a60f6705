"""What the list's orders, filters, pages and groups really do with the rows."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from images.fleet import listing
from images.models import Copy, Host, HostGroup, Reference
from tests import factories

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def ago(days: float) -> object:
    return NOW - timedelta(days=days)


@pytest.fixture
def copies(group: HostGroup, client: Client) -> dict[str, Copy]:
    """Three copies, each the first in some order; "c" has never been used."""
    client.force_login(factories.make_admin())
    hosts = [factories.make_host("z"), factories.make_host("y", groups=(group,)), factories.make_host("x")]
    made = {}
    for host, (name, tag, size, own, built, arrived, used, containers) in zip(
        hosts,
        [
            ("a", "latest", 20, 3, 30, 1, 5, 2),
            ("b", "1", 30, 1, 10, 3, 9, 0),
            ("c", "2", 10, 2, 20, 2, None, 1),
        ],
        strict=True,
    ):
        copy = factories.make_copy(host, f"{name}:{tag}")
        Copy.objects.filter(pk=copy.pk).update(
            size_bytes=size * 10**6, own_bytes=own, built_at=ago(built), arrived_at=ago(arrived),
            last_used_at=ago(used) if used else None, container_count=containers, is_latest=tag == "latest",
            engine_id=f"sha256:{size}",
        )  # fmt: skip
        made[name] = copy
    Host.objects.update(image_count=1)
    return made


def listed(client: Client, query: str) -> str:
    """The rows' repositories in their order."""
    return "".join(row.repository for row in client.get(f"/images/?{query}").context["page"].rows)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", "abc"), ("id", "cab"), ("host", "cba"), ("size", "cab"), ("own", "bca"), ("built", "acb"),
        ("arrived", "bca"), ("used", "cba"), ("containers", "bca"),
    ],
)  # fmt: skip
def test_rows_stand_in_the_order_that_is_asked_for(
    client: Client, copies: dict[str, Copy], sort: str, order: str
) -> None:
    assert listed(client, f"sort={sort}") == order
    assert listed(client, f"sort=-{sort}") == order[::-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("latest=yes", "a"), ("latest=no", "bc"), ("older=15", "ac"), ("newer=15", "b"), ("larger=15", "ab"),
        ("use=used", "ac"), ("use=unused", "b"), ("q=c", "c"), ("repository=b", "b"),
    ],
)  # fmt: skip
def test_filters_leave_what_they_say(client: Client, copies: dict[str, Copy], query: str, found: str) -> None:
    assert listed(client, f"{query}&sort=name") == found


def test_group_of_hosts_is_a_filter(client: Client, copies: dict[str, Copy], group: HostGroup) -> None:
    assert listed(client, f"group={group.pk}") == "b"
    assert listed(client, f"host={copies['c'].host_id}") == "c"


@pytest.mark.parametrize("query", ["", "&use=unused", "&q=app"])
def test_pages_lead_to_the_last_row_however_many_match(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    client.force_login(factories.make_admin())
    monkeypatch.setattr(listing, "SHOWN_LIMIT", 4)
    monkeypatch.setattr(listing, "PAGE_SIZE", 2)
    host = factories.make_host()
    names = [f"app{number:02}" for number in range(11)]
    for name in names:
        factories.make_copy(host, f"{name}:1")
    Host.objects.update(image_count=11)
    seen, number = [], 1
    while number:
        page = client.get(f"/images/?sort=name&page={number}{query}").context["page"]
        assert page.number == number
        seen += [row.repository for row in page.rows]
        number = page.next or 0
    assert seen == names
    beyond = client.get(f"/images/?sort=name&page=99{query}").context["page"]
    assert [row.repository for row in beyond.rows] == names[-1:]


def test_groups_add_up_their_copies_and_tell_the_largest_size(
    client: Client, copies: dict[str, Copy]
) -> None:
    other = factories.make_copy(copies["b"].host, "a:9")
    Copy.objects.filter(pk=other.pk).update(size_bytes=5, own_bytes=4, container_count=1)
    groups = client.get("/images/?by=repository&sort=name").context["groups"].rows
    sums = [(each.name, each.copy_count, each.size_bytes, each.own_bytes) for each in groups]
    assert sums == [("a", 2, 20 * 10**6, 7), ("b", 1, 30 * 10**6, 1), ("c", 1, 10 * 10**6, 2)]
    assert Reference.objects.count() == 4
