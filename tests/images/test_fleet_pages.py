"""The fleet list, an image's page and the question before a removal: what they show, and to whom."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from images.fleet import query as fleet
from images.models import AuditEntry, Copy, HostGroup
from tests import factories
from tests.images.pages import text_of

pytestmark = pytest.mark.django_db
LIST = "/images/"


@pytest.fixture
def mine(group: HostGroup) -> Copy:
    image = factories.make_image(
        factories.make_layer(5000),
        config={"Env": ["DB_PASSWORD=hunter2", "LANG=C"]},
        inspect={"Env": ["API_TOKEN=abcd"]},
    )
    return factories.make_copy(
        factories.make_host("runner", groups=(group,)), "ghcr.io/acme/api:1.4", image=image
    )


@pytest.fixture
def hidden() -> Copy:
    return factories.make_copy(
        factories.make_host("vault"), "secret/thing:9", engine_id="sha256:" + "beef" * 16
    )


def enter(client: Client, role: str, group: HostGroup | None = None) -> None:
    user = factories.make_user()
    factories.grant(user, role, group)
    client.force_login(user)


def names(client: Client, query: str) -> list[str]:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return [copy.name for copy in response.context["page"].rows]


@pytest.mark.parametrize("kind", ["csv", "json", "txt"])
def test_export_holds_only_visible_copies(
    client: Client, mine: Copy, hidden: Copy, group: HostGroup, kind: str
) -> None:
    enter(client, "viewer", group)
    response: Any = client.get(reverse("images:image-export", args=[kind]))
    body = b"".join(response.streaming_content).decode()
    assert mine.short_id in body
    assert hidden.short_id not in body


def test_list_never_shows_copies_of_invisible_hosts(
    client: Client, mine: Copy, hidden: Copy, group: HostGroup
) -> None:
    enter(client, "viewer", group)
    assert names(client, "") == [mine.name]
    assert names(client, f"host={hidden.host_id}") == [mine.name]
    assert names(client, "q=secret") == []
    assert b"secret/thing" not in client.get(f"{LIST}?by=repository").content
    assert client.get(reverse("images:image-detail", args=[hidden.image_id])).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "q=acme+1.4",
        "q=ACME/a",
        "q=gh",
        "q=1.4",
        "registry=ghcr.io",
        "repository=ghcr.io/acme/api",
        "use=unused",
        "smaller=1",
        "idle=3",
    ],
)
@pytest.mark.parametrize("rare", [0, 3_000])
def test_filter_finds_the_copy_and_not_the_other(
    client: Client, mine: Copy, query: str, rare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the database goes about it: frequent matches are met on the way, rare ones looked up first."""
    monkeypatch.setattr(fleet, "RARE", rare)
    other = factories.make_copy(
        mine.host, "redis:7", container_count=1, size_bytes=9_000_000, last_used_at=mine.arrived_at
    )
    enter(client, "viewer")
    found = names(client, query)
    assert mine.name in found
    assert other.name not in found


@pytest.mark.parametrize(
    "query",
    [
        "sort=nonsense",
        "page=x",
        "page=999999",
        "host=abc",
        "older=-1",
        "q=%22%27*(%25_\\",
        "q=%00",
        "by=zzz",
        "older=999999999",
        "image=99999999999999999999",
    ],
)
def test_bad_parameters_never_fail_the_page(client: Client, mine: Copy, query: str) -> None:
    enter(client, "viewer")
    assert client.get(f"{LIST}?{query}").status_code == 200


@pytest.mark.parametrize(
    "sort", ["name", "host", "size", "own", "built", "arrived", "used", "containers", "count", "id"]
)
def test_every_order_works_flat_and_grouped(client: Client, mine: Copy, sort: str) -> None:
    enter(client, "viewer")
    for query in (f"sort={sort}", f"sort=-{sort}", f"sort={sort}&by=repository", f"sort=-{sort}&by=image"):
        assert client.get(f"{LIST}?{query}").status_code == 200


def test_search_index_follows_changes(client: Client, mine: Copy) -> None:
    enter(client, "viewer")
    mine.search_text = "changed into something"
    mine.save()
    assert names(client, "q=ghcr") == []
    assert names(client, "q=something") == [mine.name]


def test_list_asks_as_often_for_many_copies_as_for_one(
    client: Client, mine: Copy, django_assert_max_num_queries: Any
) -> None:
    enter(client, "viewer")
    for number in range(12):
        factories.make_copy(factories.make_host(), f"acme/n:{number}")
    with django_assert_max_num_queries(16):
        client.get(LIST)
    with django_assert_max_num_queries(20):
        client.get(reverse("images:image-detail", args=[mine.image_id]))


def test_selection_says_what_it_frees(client: Client, mine: Copy) -> None:
    enter(client, "maintainer")
    response = client.post(reverse("images:image-selection"), {"copies": str(mine.pk)})
    assert response.context["selection"].freed_bytes == 5000


def test_secrets_are_hidden_until_asked_for_and_that_is_written_down(client: Client, mine: Copy) -> None:
    enter(client, "operator")
    url = reverse("images:image-detail", args=[mine.image_id])
    assert "hunter2" not in client.get(url).content.decode()
    assert "abcd" not in client.get(reverse("images:image-inspect", args=[mine.image_id])).content.decode()
    assert "hunter2" in client.post(url).content.decode()
    assert AuditEntry.objects.filter(action="image.reveal").count() == 1


def test_viewer_cannot_see_secrets_or_remove(client: Client, mine: Copy) -> None:
    enter(client, "viewer")
    assert client.post(reverse("images:image-detail", args=[mine.image_id])).status_code == 403
    assert client.post(reverse("images:image-remove"), {"copies": str(mine.pk)}).status_code == 403


def test_filter_offers_no_group_one_was_not_granted(client: Client, mine: Copy, group: HostGroup) -> None:
    mine.host.groups.add(HostGroup.objects.create(name="treasury"))
    user = factories.make_user()
    factories.grant(user, "viewer", group)
    client.force_login(user)
    page = client.get(reverse("images:image-list")).content.decode()
    assert f">{group.name}</option>" in page
    assert "treasury" not in page


def test_removal_asks_first_and_leaves_out_what_it_may_not_touch(
    client: Client, mine: Copy, group: HostGroup
) -> None:
    user = factories.make_user()
    factories.grant(user, "maintainer", group)
    other_group = HostGroup.objects.create(name="prod")
    factories.grant(user, "viewer", other_group)
    used = factories.make_copy(mine.host, "redis:7", container_count=1)
    foreign = factories.make_copy(factories.make_host(groups=(other_group,)), "nginx:1")
    client.force_login(user)
    ids = f"{mine.pk},{used.pk},{foreign.pk}"
    response = client.post(reverse("images:image-remove"), {"copies": ids})
    assert response.context["going"].ids == [mine.pk]
    assert response.context["selection"].forbidden == [foreign]
    assert b"Remove 1 image, free 5.00 kB" in response.content


def test_confirmed_removal_starts_a_job_for_the_allowed_copies(client: Client, mine: Copy) -> None:
    from images.models import Job

    enter(client, "maintainer")
    url, asked = reverse("images:image-remove"), {"copies": str(mine.pk)}
    seen = client.post(url, asked).context["seen"]
    response = client.post(url, asked | {"confirm": "1", "seen": seen})
    job = Job.objects.get()
    assert response["Location"] == reverse("images:job-detail", args=[job.pk])
    assert [item.copy_id for item in job.items.all()] == [mine.pk]


def test_removal_asks_again_when_a_copy_gained_a_reference_meanwhile(client: Client, mine: Copy) -> None:
    from images.models import Job, Reference

    enter(client, "maintainer")
    url, asked = reverse("images:image-remove"), {"copies": str(mine.pk)}
    seen = client.post(url, asked).context["seen"]
    Reference.objects.create(
        copy=mine,
        host=mine.host,
        name="shop/api:prod",
        registry="docker.io",
        repository="shop/api",
        tag="prod",
    )
    response = client.post(url, asked | {"confirm": "1", "seen": seen})
    assert b"Its references changed since this was asked for." in response.content
    assert not Job.objects.exists()


@pytest.mark.parametrize(("q", "is_said"), [("zq", True), ("z q", True), ("zqx", False), ("zq zqx", False)])
def test_where_short_words_are_looked_for_is_said_when_they_find_nothing(
    client: Client, mine: Copy, q: str, is_said: bool
) -> None:
    enter(client, "viewer")
    page = text_of(client, f"{LIST}?q={q}")
    assert "No image fits these filters" in page
    assert ("looked for where names, tags and IDs begin" in page) is is_said


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("older=-4", "left out: Built more than … days ago: Ensure"),
        ("reference=[a", "left out: Name pattern: This is no pattern"),
        ("sort=nonsense", "left out: There is no such order"),
    ],
)
def test_filter_that_is_not_understood_is_left_out_and_named(
    client: Client, mine: Copy, query: str, told: str
) -> None:
    enter(client, "viewer")
    assert told in text_of(client, f"{LIST}?{query}")
    assert names(client, query) == [mine.name]


def test_shared_address_of_what_one_may_not_see_says_so_above_the_list(client: Client) -> None:
    client.force_login(factories.make_admin())
    for name, label in (("host", "Host"), ("group", "Host group")):
        page = client.get("/images/", {name: "999"}).content.decode()
        assert f"is left out: {label}: It was removed, or is not open to you." in " ".join(page.split())
