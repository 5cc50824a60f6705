"""What the page of an image tells, fact by fact."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from images.models import Container, Copy, Host, Image, Pin, User
from tests import factories
from tests.images.telling.made import address, page_of, ways_of, words_of
from tests.pages import NOW, signed_in, tells, words

pytestmark = pytest.mark.django_db
ID = "sha256:" + "ab" * 32


@pytest.fixture
def api(host: Host) -> Copy:
    """On a base that another image has too, in use by two containers."""
    base = factories.make_layer(4000, created_by="ADD rootfs.tar /")
    own = factories.make_layer(1500, created_by="COPY api /api")
    factories.make_copy(host, "shop/web:1", image=factories.make_image(base, factories.make_layer(10)))
    history = [
        {"created_by": "ADD rootfs.tar /", "created_at": "2026-05-01T12:00:00+00:00", "bytes": 4000, "comment": ""},
        {"created_by": "", "created_at": "2026-05-30T12:00:00+00:00", "bytes": 0, "comment": "buildkit"},
    ]  # fmt: skip
    image = factories.make_image(
        base, own, built_at=NOW - timedelta(days=2), author="Team Shop", history=history, variant="v3",
        config={"Cmd": ["serve"], "Env": ["LANG=C", "API_TOKEN=abcd"]},
    )  # fmt: skip
    copy = factories.make_copy(
        host, "shop/api:2.1", "shop/api:latest", image=image, engine_id=ID, own_bytes=1500, container_count=2,
        arrived_at=NOW - timedelta(days=1), last_used_at=NOW - timedelta(hours=5),
    )  # fmt: skip
    for name, state in (("web", "running"), ("job", "exited")):
        Container.objects.create(host=host, copy=copy, image=image, container_id=name, name=name, state=state)
    return copy


def test_page_tells_what_the_image_is_where_it_is_and_what_of_it_is_shared(
    client: Client, ada: User, api: Copy
) -> None:
    page = page_of(client, "image-detail", api.image_id)
    tells(
        words(page),
        "Images shop/api:2.1 Pin Build on it Remove everywhere… References|shop/api:2.1 shop/api:latest|",
        "|Built|2 d ago|Platform|linux/amd64/v3|Author|Team Shop|"
        "Size|5.50 kB, 4.00 kB of it in layers that other images use|",
        f"|Content|{api.image.content_key}|",
        "1 copy Host|ID|Tags|Size|Own|Since|Last used|Containers|Actions|",
        "|runner|abababababab|shop/api:2.1 shop/api:latest|5.50 kB|1.50 kB|1 d ago|5 h ago|job exited web running|",
        "Layers only here shared 4.00 kB: ADD rootfs.tar / 1.50 kB: COPY api /api #|Created by|Size|Shared with|",
        "|1|ADD rootfs.tar /|4.00 kB|shop/web:1|2|COPY api /api|1.50 kB|nothing|",
        "History As JSON #|Step|Created|Size|1|ADD rootfs.tar /|1 mo ago|4.00 kB|2|buildkit|2 d ago|0 B|",
        "The raw inspect document Open it",
    )
    tells(
        page,
        "<title>shop/api:2.1",
        f'title="{ID}"',
        'aria-label="Copies"', 'aria-label="Layers"', 'aria-label="History"',
        'aria-label="The layers in proportion to their size; the table below says the same"',
        'title="The same on every host, whatever ID the engine gives it"',
        'aria-label="Remove the reference shop/api:2.1 on runner"',
        'aria-label="Remove from runner"', 'aria-label="More for the copy on runner"',
    )  # fmt: skip


def test_page_leads_to_all_that_can_be_done(client: Client, ada: User, api: Copy) -> None:
    one, pk = f"copy={api.pk}", api.image_id
    assert ways_of(client, "image-detail", pk).items() >= {
        "Images": address("image-list"),
        "Pin": address("pin-add", pk),
        "Build on it": f"{address('build-new')}?dockerfile_text=FROM%20shop%2Fapi%3A2.1%0A",
        "Remove everywhere…": f"{address('image-remove')}?{one}&",
        "runner": address("host-detail", api.host_id),
        "Tag…": f"{address('command', 'tag')}?{one}",
        "Push…": f"{address('command', 'push')}?{one}",
        "Pull again…": f"{address('command', 'pull')}?reference=shop%2Fapi%3A2.1&host={api.host_id}",
        "Copy to hosts…": f"{address('command', 'copy')}?{one}",
        "Save as a file…": f"{address('command', 'save')}?{one}",
        "As JSON": address("image-history", pk),
        "Open it": address("image-inspect", pk),
    }.items()  # fmt: skip
    page = page_of(client, "image-detail", pk)
    tells(
        page, f'href="{address("image-remove")}?{one}"', f"{address('reference-remove', api.pk)}?reference="
    )


def test_viewer_is_offered_nothing_to_do(client: Client, api: Copy) -> None:
    signed_in(client, "viewer")
    assert set(ways_of(client, "image-detail", api.image_id)) == {
        "Images", "runner", "shop/web:1", "As JSON", "Open it",
    }  # fmt: skip
    assert "Remove" not in page_of(client, "image-detail", api.image_id)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"author": ""}, "|linux/amd64/v3|Size|"),
        ({"architecture": "", "operating_system": "", "variant": ""}, "|Platform|–|"),
        ({"built_at": None}, "|Built|–|"),
        ({"history": []}, "History #|Step|Created|Size|The image carries no history.|"),
        ({"config": {}}, "Configuration Configuration|empty|"),
        ({"is_partial": True}, "The host holds only a part of this image's content, so its layers are not known."),
    ],
)  # fmt: skip
def test_page_tells_of_an_image_in_each_state(
    client: Client, ada: User, api: Copy, fields: dict[str, Any], told: str
) -> None:
    Image.objects.filter(pk=api.image_id).update(**fields)
    tells(words_of(client, "image-detail", api.image_id), told)


def test_configuration_hides_what_looks_secret_and_offers_it_to_who_may_see_it(
    client: Client, ada: User, api: Copy
) -> None:
    page = words_of(client, "image-detail", api.image_id)
    assert "Configuration Show hidden values" in page
    assert "abcd" not in page
    signed_in(client, "viewer")
    page = words_of(client, "image-detail", api.image_id)
    assert "Configuration Values that look like secrets are hidden." in page


def test_pins_tell_where_why_who_and_until_when(client: Client, ada: User, api: Copy) -> None:
    Pin.objects.create(image=api.image, reason="audit", created_by=ada)
    Pin.objects.create(
        image=api.image, host=api.host, reason="demo", created_by=ada, ends_at=NOW + timedelta(days=9)
    )
    tells(
        words_of(client, "image-detail", api.image_id),
        "Pinned on every host: audit (ada)",
        "Pinned on runner: demo (ada), until 2026-06-10",
    )
    Pin.objects.update(created_by=None)
    tells(words_of(client, "image-detail", api.image_id), "Pinned on every host: audit (–)")


def test_copies_tell_of_their_hosts(client: Client, ada: User, api: Copy, vault: Host) -> None:
    factories.make_copy(vault, image=api.image, engine_id=ID)
    Host.objects.filter(pk=vault.pk).update(state="offline", is_estimate=True)
    page = words_of(client, "image-detail", api.image_id)
    tells(page, "2 copies", "|vault Offline now|", "|≈ 5.50 kB|now|not known|none|")
    Host.objects.filter(pk=vault.pk).update(is_enabled=False)
    tells(words_of(client, "image-detail", api.image_id), "|vault|", "|none|Switched off|")


def test_image_without_a_name_is_dangling(client: Client, ada: User, host: Host) -> None:
    copy = factories.make_copy(host)
    page = words_of(client, "image-detail", copy.image_id)
    tells(page, "References|none: dangling|")
    assert "Build on it" not in page


def test_many_that_share_a_layer_are_counted(client: Client, ada: User, host: Host) -> None:
    base = factories.make_layer(4000)
    first = factories.make_copy(host, "app:0", image=factories.make_image(base))
    for number in range(1, 12):
        factories.make_copy(
            host, f"app:{number}", image=factories.make_image(base, factories.make_layer(number))
        )
    assert "(11 in all)" in words_of(client, "image-detail", first.image_id)


def test_image_on_both_kinds_of_store_tells_both_sizes(client: Client, ada: User, api: Copy) -> None:
    other = factories.make_host("new", store_kind="containerd")
    layer = factories.make_layer(6000, store_kind="containerd")
    api.image.image_layers.create(layer=layer, position=0)
    factories.make_copy(other, "shop/api:2.1", image=api.image, engine_id="sha256:" + "ef" * 32)
    page = words_of(client, "image-detail", api.image_id)
    tells(
        page,
        "Size|6.00 kB (containerd store), 0 B of it in layers that other images use; "
        "5.50 kB (graph driver), 4.00 kB of it in layers that other images use|",
        "Layers (containerd store) only here",
        "Layers (graph driver) only here",
    )
