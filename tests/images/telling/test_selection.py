"""What the selection bar and the question before a removal tell, fact by fact."""

from typing import Any

import pytest
from django.test import Client

from images.fleet import selection
from images.models import Container, Copy, Host, Pin, User
from tests import factories
from tests.images.telling.made import address, copy_of
from tests.pages import NOW, signed_in, tells, ways, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def chosen(host: Host) -> list[Copy]:
    """Two that go, one of them with two tags; one in use, one pinned, one on a host that is off."""
    free, two = copy_of(host, "shop/api:1", size=5000), copy_of(host, "shop/web:1", "shop/web:2", size=3000)
    used = copy_of(host, "shop/db:1", size=7000, container_count=2)
    for name, state in (("db", "exited"), ("old-db", "created")):
        Container.objects.create(
            host=host, copy=used, image=used.image, container_id=name, name=name, state=state
        )
    pinned = copy_of(host, "shop/old:1", size=9000)
    Pin.objects.create(image=pinned.image, reason="audit")
    return [free, two, used, pinned, copy_of(factories.make_host("attic", is_enabled=False), "shop/api:1")]


def sent(client: Client, name: str, *copies: Copy, **data: Any) -> str:
    ids = ",".join(str(copy.pk) for copy in copies)
    response = client.post(address(name), {"copies": ids} | data)
    assert response.status_code == 200
    return response.content.decode()


def removal(client: Client, *copies: Copy, **data: Any) -> str:
    return words(sent(client, "image-remove", *copies, **data))


def bar(client: Client, *copies: Copy, **data: Any) -> str:
    return words(sent(client, "image-selection", *copies, **data))


# The bar


def test_bar_tells_what_goes_where_and_what_stays_why(client: Client, ada: User, chosen: list[Copy]) -> None:
    assert bar(client, *chosen) == (
        "5 selected removing frees 8.00 kB Select all that match Copy IDs Clear Push… Pull again… Save… "
        "Copy to hosts… Remove… On 1 host runner 3 copies 8.00 kB "
        "1 of these is on a host that is switched off: nothing can be done with it until that is switched on. "
        "1 of these is pinned and stays. 1 of these frees nothing by itself: "
        "shop/db:1 (runner): a container holds its layers"
    )


def test_bar_of_one_offers_what_is_done_with_one(client: Client, ada: User, chosen: list[Copy]) -> None:
    one = chosen[0]
    page = sent(client, "image-selection", one)
    tells(
        words(page),
        "1 selected removing frees 5.00 kB",
        "Clear Tag… Push… Pull again… Save… Copy to hosts… Remove… On 1 host runner 1 copy 5.00 kB",
    )
    tells(
        page,
        f'data-copy="{one.engine_id.removeprefix("sha256:")[:12]}"',
        f"{address('command', 'tag')}?copy={one.pk}",
        f"{address('command', 'push')}?copy={one.pk}",
        f"{address('command', 'pull')}?reference=shop%2Fapi%3A1&amp;host={one.host_id}",
        f'name="copies" value="{one.pk}"',
    )


def test_bar_names_the_images_that_hold_what_frees_nothing(client: Client, ada: User, host: Host) -> None:
    base = factories.make_layer(1000)
    below = factories.make_copy(host, "base:1", image=factories.make_image(base))
    for name in ("a:1", "b:1"):
        factories.make_copy(host, name, image=factories.make_image(base, factories.make_layer(5)))
    page = sent(client, "image-selection", below)
    tells(words(page), "removing frees 0 B", "base:1 (runner): frees 0 B until these go too: a:1, b:1")
    assert {"a:1", "b:1"} <= set(ways(page))


def test_bar_says_how_many_more_free_nothing(client: Client, ada: User, host: Host) -> None:
    base = factories.make_layer(1000)
    kept = factories.make_image(base, factories.make_layer(5))
    factories.make_copy(host, "kept:1", image=kept)
    below = [
        factories.make_copy(host, f"base:{n}", image=factories.make_image(base))
        for n in range(selection.NAMED + 2)
    ]
    told = bar(client, *below)
    tells(told, "7 of these free nothing by themselves:", "and 2 more")
    assert "and 1 more" not in bar(client, *below[: selection.NAMED])


def test_question_says_which_host_does_not_answer(client: Client, ada: User, host: Host) -> None:
    copy = copy_of(host, "shop/api:1")
    assert "does not answer now" not in removal(client, copy)
    Host.objects.update(state="offline")
    tells(
        removal(client, copy),
        "runner does not answer now. The job there fails, unless the host comes back first.",
    )
    Host.objects.update(is_enabled=False)
    assert "does not answer now" not in removal(client, copy)


def test_bar_of_what_stays_altogether(client: Client, ada: User, chosen: list[Copy]) -> None:
    assert "removing frees 0 B" in bar(client, chosen[3])
    assert "All of these stay 1 of these is pinned and stays." in bar(client, chosen[3])


def test_bar_says_up_to_and_range_on_each_host(client: Client, ada: User, host: Host) -> None:
    Host.objects.update(build_cache_holds_layers=True)
    page = bar(client, copy_of(host, "shop/api:1", size=5000))
    tells(page, "removing frees up to 5.00 kB", "runner 1 copy up to 5.00 kB")


def test_bar_counts_parents_that_go_along(client: Client, ada: User, host: Host) -> None:
    base = factories.make_layer(1000)
    parent = factories.make_copy(host, image=factories.make_image(base))
    child = factories.make_copy(
        host, "app:1", image=factories.make_image(base, factories.make_layer(5)),
        parent_engine_id=parent.engine_id,
    )  # fmt: skip
    assert "On 1 host, 1 untagged parent goes along" in bar(client, child)
    assert "1 untagged parent goes along with its last child." in removal(client, child)


def test_bar_of_all_that_match_says_so_and_where_it_was_cut(
    client: Client, ada: User, chosen: list[Copy], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = sent(client, "image-selection", all="1", query="?q=shop")
    assert "5 selected" in words(page)
    assert "Select all that match" not in words(page)
    tells(page, 'name="all" value="1"', 'name="copies" value=""')
    monkeypatch.setattr(selection, "COUNT_LIMIT", 2)
    assert "The first 2 that match" in bar(client, all="1", query="?q=shop")
    more = "More match than one removal takes: these are the first. Repeat it for the rest."
    assert more in removal(client, all="1", query="?q=shop")


def test_bar_offers_a_viewer_no_more_than_looking(client: Client, chosen: list[Copy]) -> None:
    signed_in(client, "viewer")
    page = bar(client, *chosen)
    tells(page, "5 selected removing frees 8.00 kB Select all that match Copy IDs Clear On 1 host")
    for word in ("Push…", "Pull again…", "Save…", "Copy to hosts…", "Remove…"):
        assert word not in page


# The question


def test_question_tells_what_goes_and_what_is_left_out_why(
    client: Client, ada: User, chosen: list[Copy]
) -> None:
    page = sent(client, "image-remove", *chosen)
    assert words(page) == (
        "Remove images Remove images 2 copies will be removed. shop/api:1 on runner shop/web:1 on runner "
        "Host|Copies|Frees|runner|2|8.00 kB|"
        "Several tags shop/web:1 (runner): all 2 tags go: shop/web:1, shop/web:2 "
        "Left out shop/old:1 (runner): pinned, “audit” "
        "shop/db:1 (runner): in use by db (exited), old-db (created) 1 copy is on a host that is switched off "
        "Remove those of stopped containers too (force): 3 images in all, 8.00 kB "
        "The engine then deletes an image although stopped containers were made from it. Those containers keep "
        "its layers, so nothing is freed until they go, and none can be made anew. Images of running containers "
        "stay in any case. Cancel Remove 2 images, free 8.00 kB Remove 3 images, free 8.00 kB"
    )
    assert ways(page)["Cancel"] == address("image-list")
    tells(page, f'name="copies" value="{",".join(str(pk) for pk in _ids(page))}"')
    assert sorted(_ids(page)) == sorted(copy.pk for copy in chosen)


def _ids(page: str) -> list[int]:
    return [int(pk) for pk in page.partition('name="copies" value="')[2].partition('"')[0].split(",")]


def test_question_of_one_names_it(client: Client, ada: User, chosen: list[Copy]) -> None:
    tells(
        removal(client, chosen[0]),
        "1 copy will be removed. shop/api:1 on runner Host|Copies|Frees|runner|1|5.00 kB|",
        "Cancel Remove 1 image, free 5.00 kB",
    )


def test_question_says_up_to_where_a_cache_may_hold_layers(
    client: Client, ada: User, chosen: list[Copy]
) -> None:
    Host.objects.update(build_cache_holds_layers=True)
    tells(removal(client, chosen[0]), "|runner|1|up to 5.00 kB|", "Remove 1 image, free up to 5.00 kB")
    assert "Remove 2 images, free up to 8.00 kB" in removal(client, *chosen)


def test_question_of_what_goes_by_force_alone(client: Client, ada: User, chosen: list[Copy]) -> None:
    page = removal(client, chosen[2])
    assert "None of these can be removed as it is." in page
    assert "(force): 1 image in all, 0 B" in page
    assert page.endswith("Cancel Remove by force")


def test_question_without_an_image_says_why(client: Client, ada: User) -> None:
    page = removal(client)
    assert page == "Remove images Remove images Nothing is selected, or what was selected is gone. Cancel"


def test_many_left_out_are_counted(client: Client, ada: User, host: Host) -> None:
    pinned = [copy_of(host, f"pinned:{n}") for n in range(6)]
    used = [copy_of(host, f"used:{n}", container_count=1) for n in range(6)]
    for copy in pinned:
        Pin.objects.create(image=copy.image, reason="audit")
    for number in range(5):
        Container.objects.create(host=host, copy=used[0], container_id=f"c{number}", name=f"c{number}")
    page = removal(client, *pinned, *used, *[copy_of(host, f"free:{n}") for n in range(7)])
    tells(page, "6 pinned copies in all", "6 copies in use in all")
    tells(
        page, "free:4 on runner and 2 more Host|", "used:0 (runner): in use by c0 (), c1 (), c2 () and 2 more"
    )
    assert page.count("pinned, “audit”") == page.count("in use by") == 5


def test_where_one_may_not_remove_is_counted(client: Client, host: Host, vault: Host) -> None:
    operator = factories.make_user("olga")
    factories.grant(operator, "maintainer", host.groups.get())
    factories.grant(operator, "viewer")
    client.force_login(operator)
    page = removal(client, copy_of(host, "a:1"), copy_of(vault, "b:1"))
    tells(page, "1 copy will be removed.", "Left out 1 copy is on a host where you may not remove images")


def test_question_is_a_dialog_that_closes_and_a_page_without_a_script(
    client: Client, ada: User, chosen: list[Copy]
) -> None:
    ids = {"copies": str(chosen[0].pk)}
    dialog = client.post(address("image-remove"), ids, headers={"HX-Request": "true"}).content.decode()
    page = client.post(address("image-remove"), ids).content.decode()
    tells(dialog, 'aria-label="Close"', "data-close", '<h2 id="removal-title">Remove images</h2>')
    assert "data-close" not in page
    assert "<title>Remove images" in page


def test_answer_to_another_question_asks_again(client: Client, ada: User, chosen: list[Copy]) -> None:
    page = removal(client, chosen[0], confirm="1", seen="")
    tells(page, "Its references changed since this was asked for.", "1 copy will be removed.")
    assert Copy.objects.filter(arrived_at=NOW).count() == 5
