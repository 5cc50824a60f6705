"""What the list of images tells of each copy and each group, fact by fact."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from images.fleet import listing
from images.models import Container, Copy, Host, Pin, User
from tests import factories
from tests.images.telling.made import address, copy_of, page_of, ways_of, words_of
from tests.pages import NOW, signed_in, tells, ways, words

pytestmark = pytest.mark.django_db
ID = "sha256:" + "ab" * 32
DIGEST = "shop/api@sha256:" + "cd" * 32


@pytest.fixture
def api(host: Host) -> Copy:
    image = factories.make_image(factories.make_layer(5000), built_at=NOW - timedelta(days=40))
    return factories.make_copy(
        host, "shop/api:2.1", "shop/api:latest", "mirror/api:2.1", DIGEST, image=image, engine_id=ID,
        own_bytes=1500, arrived_at=NOW - timedelta(days=3), last_used_at=NOW - timedelta(hours=5),
    )  # fmt: skip


def test_row_tells_all_of_a_copy(client: Client, ada: User, api: Copy) -> None:
    page = page_of(client, "image-list")
    tells(
        words(page),
        "1 copy 1 host, seen now runner now",
        "Image|ID|Host|Size|Own|Built|Arrived|Last used|State|",
        "|shop/api mirror/api:2.1 2.1 latest|abababababab|runner|5.00 kB|1.50 kB|1 mo ago|3 d ago|5 h ago|Unused|",
    )
    ways = ways_of(client, "image-list")
    assert ways["shop/api"] == address("image-detail", api.image_id)
    assert ways["runner"] == address("host-detail", api.host_id)
    tells(
        page,
        f'title="{ID}"',
        f'value="{api.pk}" form="selection-form" aria-label="Select shop/api:2.1 on runner"',
        'aria-label="Select all on this page"',
        '<title>Images',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words_told"),
    [
        ({"container_count": 2}, "|5 h ago|In use by 2|"),
        ({"is_intermediate": True, "is_dangling": True}, "|5 h ago|Intermediate|"),
        ({"is_dangling": True}, "|<none>"),
        ({"is_dangling": True}, "|5 h ago|Dangling|"),
        ({"last_used_at": None}, "|3 d ago|not known|Unused|"),
        ({"built_at": None}, "|1.50 kB|–|3 d ago|"),
    ],
)
def test_row_tells_of_a_copy_in_each_state(
    client: Client, ada: User, api: Copy, fields: dict[str, Any], words_told: str
) -> None:
    Copy.objects.filter(pk=api.pk).update(**fields)
    tells(words_of(client, "image-list", intermediate="on"), words_told)


def test_row_names_containers_and_pins(client: Client, ada: User, api: Copy) -> None:
    Copy.objects.update(container_count=1)
    Container.objects.create(host=api.host, copy=api, image=api.image, container_id="c1", name="web")
    Pin.objects.create(image=api.image, reason="audit")
    page = page_of(client, "image-list")
    tells(words(page), "|In use by 1 Pinned|")
    tells(page, 'title="web ')


def test_host_that_does_not_answer_is_marked(client: Client, ada: User, api: Copy) -> None:
    assert "Offline" not in words_of(client, "image-list")
    Host.objects.update(state="offline")
    tells(words_of(client, "image-list"), "|runner Offline|")
    Host.objects.update(is_enabled=False)
    assert "|runner Offline|" not in words_of(client, "image-list")


def test_estimate_is_marked(client: Client, ada: User, api: Copy) -> None:
    Host.objects.update(is_estimate=True)
    tells(words_of(client, "image-list"), "|5.00 kB|≈ 1.50 kB|")


def test_digests_are_shown_when_asked_for(client: Client, ada: User, api: Copy) -> None:
    page = page_of(client, "image-list", digests="on")
    tells(page, f'title="{DIGEST}"', "sha256:cdcdcdcdcdcd…")
    assert "cdcdcd" not in page_of(client, "image-list")


@pytest.mark.parametrize(
    ("by", "name", "leads"),
    [("repository", "shop/api", "?repository=shop%2Fapi"), ("image", "shop/api:2.1", "/images/{image}/")],
)
def test_group_tells_its_sums_and_unfolds(
    client: Client, ada: User, api: Copy, vault: Host, by: str, name: str, leads: str
) -> None:
    other = factories.make_copy(
        vault, "shop/api:2.1", image=api.image, own_bytes=700, container_count=3,
        last_used_at=NOW - timedelta(hours=2),
    )  # fmt: skip
    assert other.image_id == api.image_id
    page = page_of(client, "image-list", by=by)
    tells(
        words(page),
        "Grouped 2 hosts",
        "Unfold|Image|Copies|Containers|Largest|Own, all copies|Built|Last used|",
        f"|{name}|2|3|5.00 kB|2.20 kB|1 mo ago|2 h ago|",
    )
    assert ways_of(client, "image-list", by=by)[name] == leads.format(image=api.image_id)
    tells(
        page,
        f'aria-label="Show the copies of {name}"',
        'aria-controls="group-1"',
        'hx-target="#group-1"',
        '<tbody id="group-1">',
        f'<caption class="visually-hidden">{name}</caption>',
    )


def test_group_of_more_than_a_page_leads_to_all(
    client: Client, ada: User, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZE", 2)
    for tag in range(3):
        copy_of(host, f"shop/api:{tag}")
    headers = {"HX-Request": "true", "HX-Target": "group-1"}
    inside = client.get(address("image-list"), {"repository": "shop/api"}, headers=headers).content.decode()
    assert words(inside).endswith("|All 3 copies|")
    assert ways(inside)["All 3 copies"] == "?repository=shop%2Fapi", "from the first of them on"
    monkeypatch.setattr(listing, "SHOWN_LIMIT", 2)
    inside = client.get(address("image-list"), {"repository": "shop/api"}, headers=headers).content.decode()
    assert words(inside).endswith("|More than 2 copies|")


def test_pictures_tell_how_fresh_the_list_is(client: Client, ada: User, api: Copy, vault: Host) -> None:
    Host.objects.filter(pk=vault.pk).update(synced_at=NOW - timedelta(minutes=9))
    factories.make_host("attic", is_enabled=False, synced_at=NOW - timedelta(days=2))
    tells(
        words_of(client, "image-list"),
        "3 hosts, oldest picture: attic, 2 d ago attic 2 d ago Switched off vault 9 min ago runner now",
    )
    Host.objects.filter(pk=vault.pk).update(synced_at=None, state="new")
    tells(words_of(client, "image-list", host=vault.pk), "vault has not been seen yet")


def test_open_list_tells_which_hosts_have_changed_since(
    client: Client, ada: User, api: Copy, vault: Host
) -> None:
    page = page_of(client, "image-list", q="shop", page=1)
    state = f'hx-get="{address("image-list-state")}?q=shop&amp;page=1&amp;made_at=2026-06-01T12%3A00%3A00%2B00%3A00"'
    tells(page, f'data-live="inventory hosts" data-live-refresh {state}')
    made = {"q": "shop", "page": 1, "made_at": NOW.isoformat()}
    Host.objects.update(changed_at=NOW)
    assert "changed" not in words_of(client, "image-list-state", **made)
    Host.objects.filter(pk=vault.pk).update(changed_at=NOW + timedelta(seconds=1))
    tells(
        words_of(client, "image-list-state", **made),
        "vault has changed since. Show it as it is now 2 hosts, ",
    )
    assert ways_of(client, "image-list-state", **made)["Show it as it is now"] == (
        f"{address('image-list')}?q=shop&page=1"
    )
    tells(page_of(client, "image-list-state", **made), state)
    assert "changed" not in words_of(client, "image-list-state", host=api.host_id, **made)
    Host.objects.update(changed_at=NOW + timedelta(seconds=1))
    tells(words_of(client, "image-list-state", **made), "2 hosts have changed since.")
    assert "changed" not in words_of(client, "image-list-state", made_at="yesterday")
    signed_in(client, "viewer", api.host.groups.get())
    tells(words_of(client, "image-list-state", **made), "runner has changed since.")


def test_page_offers_what_one_may_do(client: Client, ada: User, api: Copy) -> None:
    ways = ways_of(client, "image-list", q="shop", page=1)
    assert {
        name: ways[name] for name in ("Pull an image", "Build", "Load images", "CSV", "JSON", "Clear")
    } == {
        "Pull an image": address("command", "pull"),
        "Build": address("build-new"),
        "Load images": address("load"),
        "CSV": f"{address('image-export', 'csv')}?q=shop",
        "JSON": f"{address('image-export', 'json')}?q=shop",
        "Clear": address("image-list"),
    }
    assert "Remove the selected images…" in page_of(client, "image-list")  # without a script
    assert ways["IDs, one a line"] == f"{address('image-export', 'txt')}?q=shop"
    signed_in(client, "viewer")
    viewer = ways_of(client, "image-list")
    assert not {"Pull an image", "Build", "Load images"} & set(viewer)
    assert "CSV" in viewer
    assert "Remove the selected images…" not in page_of(client, "image-list")


def test_list_without_images_tells_why_and_what_to_do(client: Client, ada: User) -> None:
    tells(words_of(client, "image-list"), "Add your first host Its images show up here a few seconds later.")
    assert ways_of(client, "image-list")["Add a host"] == address("host-add")
    signed_in(client, "viewer")
    tells(
        words_of(client, "image-list"),
        "You see no host yet Ask an admin to put you into a team that has a role on some hosts.",
    )
    factories.make_host("runner")
    tells(
        words_of(client, "image-list"),
        "No images yet The hosts hold no image, or their first picture is still being taken.",
    )
    assert ways_of(client, "image-list")["Look at the hosts"] == address("host-list")
    tells(
        words_of(client, "image-list", q="nothing"),
        "No image fits these filters Take a filter away, or look for another word. Intermediate images show only",
    )
    assert ways_of(client, "image-list", q="nothing")["Clear the filters"] == address("image-list")


def test_pages_of_the_list_tell_their_place(
    client: Client, ada: User, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE_SIZE", 2)
    for tag in range(5):
        copy_of(host, f"shop/api:{tag}")
    tells(words_of(client, "image-list", page=2), "5 copies", "3–4 Previous Next")
    ways = ways_of(client, "image-list", page=2)
    assert (ways["Previous"], ways["Next"]) == ("?page=1", "?page=3")
