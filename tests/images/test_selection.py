"""A selection of copies: what it frees on each host, what frees nothing and why, and what it leaves out."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from images.fleet import selection as selections
from images.fleet.query import FleetQuery
from images.fleet.selection import Selection, selection_of
from images.models import Container, Copy, Host, HostGroup, Job, Pin, User
from images.removal import references_mark
from tests import factories

pytestmark = pytest.mark.django_db
EVERYTHING = FleetQuery()


@pytest.fixture
def ada(group: HostGroup) -> User:
    """Maintains the group, sees nothing else."""
    user = factories.make_user("ada")
    factories.grant(user, "maintainer", group)
    return user


def chosen(user: User, *copies: Copy) -> Selection:
    return selection_of(user, [copy.pk for copy in copies], None)


def copy_of(host: Host, name: str, *sizes: int, base: Any = None) -> Copy:
    layers = [*([base] if base else []), *(factories.make_layer(size) for size in sizes)]
    return factories.make_copy(host, name, image=factories.make_image(*layers))


# Bytes


def test_freed_bytes_are_told_host_by_host_the_largest_first(runner: Host, vault: Host) -> None:
    small, large = copy_of(runner, "a:1", 100), copy_of(vault, "b:1", 5000)
    also = copy_of(vault, "c:1", 70)
    selection = chosen(factories.make_admin(), small, large, also)
    told = [(share.host.name, share.copy_count, share.freed.high) for share in selection.shares]
    assert told == [("vault", 2, 5070), ("runner", 1, 100)]
    assert selection.freed_bytes == 5170
    assert selection.is_exact


def test_same_image_on_two_hosts_is_freed_on_each(runner: Host, vault: Host) -> None:
    image = factories.make_image(factories.make_layer(900))
    copies = [factories.make_copy(host, "a:1", image=image) for host in (runner, vault)]
    assert chosen(factories.make_admin(), *copies).freed_bytes == 1800


def test_layer_shared_by_the_selection_is_counted_once(ada: User, runner: Host) -> None:
    base = factories.make_layer(1000)
    one, two = copy_of(runner, "a:1", 10, base=base), copy_of(runner, "b:1", 20, base=base)
    assert chosen(ada, one).freed_bytes == 10
    assert chosen(ada, one, two).freed_bytes == 1030


def test_copy_that_frees_nothing_names_those_that_hold_its_layers(ada: User, runner: Host) -> None:
    base = factories.make_layer(1000)
    below = factories.make_copy(runner, "base:1", image=factories.make_image(base))
    above = copy_of(runner, "app:1", 10, base=base)
    (nothing,) = chosen(ada, below).nothing
    assert (nothing.copy, nothing.others, nothing.more_count) == (below, (above,), 0)
    both = chosen(ada, below, above)
    assert (both.nothing, both.nothing_count, both.freed_bytes) == ([], 0, 1010)


def test_blockers_are_of_the_same_host_and_never_of_an_invisible_one(
    ada: User, runner: Host, vault: Host
) -> None:
    base = factories.make_layer(1000)
    image = factories.make_image(base)
    below = factories.make_copy(runner, "base:1", image=image)
    above = copy_of(runner, "app:1", 10, base=base)
    hidden = copy_of(vault, "internal/app:1", 10, base=base)
    factories.make_copy(vault, "internal/base:1", image=image)
    (nothing,) = chosen(ada, below).nothing
    assert nothing.others == (above,)
    above.delete()
    alone = chosen(ada, below)
    assert (alone.nothing, alone.freed_bytes) == ([], 1000), f"{hidden} is on another host"


def test_few_blockers_are_named_and_the_rest_is_a_number(ada: User, runner: Host) -> None:
    base = factories.make_layer(1000)
    below = factories.make_copy(runner, "base:1", image=factories.make_image(base))
    for number in range(selections.NAMED + 3):
        copy_of(runner, f"app:{number}", 1, base=base)
    (nothing,) = chosen(ada, below).nothing
    assert (len(nothing.others), nothing.more_count) == (selections.NAMED, 3)


def test_few_that_free_nothing_are_shown_and_all_are_counted(ada: User, runner: Host) -> None:
    copies = []
    for number in range(selections.NAMED + 2):
        base = factories.make_layer(1000)
        copies.append(factories.make_copy(runner, f"base:{number}", image=factories.make_image(base)))
        copy_of(runner, f"app:{number}", 1, base=base)
    selection = chosen(ada, *copies)
    assert (len(selection.nothing), selection.nothing_count) == (selections.NAMED, selections.NAMED + 2)


def test_container_on_a_removed_image_holds_its_layers(ada: User, runner: Host) -> None:
    base = factories.make_layer(1000)
    gone = factories.make_image(base)
    copy = factories.make_copy(runner, "base:1", image=factories.make_image(base))
    Container.objects.create(host=runner, container_id="c" * 64, image=gone)
    (nothing,) = chosen(ada, copy).nothing
    assert (nothing.copy, nothing.others) == (copy, ())


def test_untagged_parents_go_along_and_are_counted(ada: User, runner: Host) -> None:
    base = factories.make_layer(1000)
    parent = factories.make_copy(runner, image=factories.make_image(base), is_intermediate=True)
    child = copy_of(runner, "app:1", 10, base=base)
    Copy.objects.filter(pk=child.pk).update(parent_engine_id=parent.engine_id)
    selection = chosen(ada, child)
    assert (selection.parent_count, selection.freed_bytes) == (1, 1010)


def test_build_cache_makes_it_up_to(ada: User, group: HostGroup) -> None:
    host = factories.make_host(groups=(group,), build_cache_holds_layers=True)
    assert not chosen(ada, copy_of(host, "a:1", 10)).is_exact


def test_nothing_selected_frees_nothing(ada: User) -> None:
    selection = chosen(ada)
    assert (selection.count, selection.freed_bytes, selection.shares, selection.is_exact) == (0, 0, [], True)


# Which copies


def test_invisible_copies_are_no_part_of_it(ada: User, runner: Host, vault: Host) -> None:
    mine, hidden = copy_of(runner, "a:1", 100), copy_of(vault, "b:1", 5000)
    selection = chosen(ada, mine, hidden)
    assert selection.copies == [mine]
    assert selection.freed_bytes == 100
    assert selection_of(ada, [], EVERYTHING).copies == [mine]


def test_all_that_match_follow_the_filters_and_not_the_ids(ada: User, runner: Host) -> None:
    wanted = [copy_of(runner, "acme/api:1", 1), copy_of(runner, "acme/api:2", 1)]
    other = copy_of(runner, "redis:7", 1)
    selection = selection_of(ada, [other.pk], FleetQuery(repository="acme/api"))
    assert selection.copies == wanted
    assert selection.is_all
    assert not chosen(ada, other).is_all


def test_all_that_match_leave_out_intermediate_images_unless_asked(ada: User, runner: Host) -> None:
    tagged = copy_of(runner, "acme/api:1", 1)
    parent = factories.make_copy(runner, is_intermediate=True)
    assert selection_of(ada, [], EVERYTHING).copies == [tagged]
    assert set(selection_of(ada, [], FleetQuery(intermediate=True)).copies) == {tagged, parent}


def test_page_and_order_of_the_list_do_not_cut_all_that_match(ada: User, runner: Host) -> None:
    copies = {copy_of(runner, f"acme/api:{number}", 1) for number in range(3)}
    query = FleetQuery(page=7, sort="size", is_descending=True, by="image")
    assert set(selection_of(ada, [], query).copies) == copies


def test_more_than_one_removal_takes_are_cut_and_that_is_said(
    ada: User, runner: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selections, "COUNT_LIMIT", 2)
    copies = [copy_of(runner, f"a:{number}", 1) for number in range(3)]
    selection = selection_of(ada, [], EVERYTHING)
    assert (selection.count, selection.is_cut) == (2, True)
    assert selection_of(ada, [copy.pk for copy in copies[:2]], None).is_cut is False


def test_id_given_twice_is_one_copy(ada: User, runner: Host) -> None:
    copy = copy_of(runner, "a:1", 100)
    assert chosen(ada, copy, copy).count == 1


def test_ids_to_paste_are_short_and_each_once(runner: Host, vault: Host) -> None:
    engine_id = "sha256:" + "ab" * 32
    for host in (runner, vault):
        factories.make_copy(host, "a:1", engine_id=engine_id)
    other = factories.make_copy(runner, "b:1", engine_id="sha256:" + "cd" * 32)
    selection = selection_of(factories.make_admin(), [], EVERYTHING)
    assert selection.engine_ids.split("\n") == ["abababababab", other.short_id]


# What a removal leaves out


def test_copy_on_a_host_one_may_only_look_at_is_left_out(ada: User, runner: Host) -> None:
    prod = HostGroup.objects.create(name="prod")
    factories.grant(ada, "viewer", prod)
    mine = copy_of(runner, "a:1", 100)
    theirs = copy_of(factories.make_host(groups=(prod,)), "b:1", 100)
    selection = chosen(ada, mine, theirs)
    assert selection.forbidden == [theirs]
    assert selection.removable(force=True).copies == [mine]


def test_pins_of_the_host_and_of_every_host_hold_and_others_do_not(
    ada: User, runner: Host, vault: Host
) -> None:
    here, everywhere, elsewhere, over = (copy_of(runner, f"a:{n}", 1) for n in range(4))
    now = timezone.now()
    pin = Pin.objects.create(image=here.image, host=runner, reason="here")
    general = Pin.objects.create(image=everywhere.image, reason="everywhere")
    Pin.objects.create(image=elsewhere.image, host=vault, reason="elsewhere")
    Pin.objects.create(image=over.image, host=runner, reason="over", ends_at=now - timedelta(hours=1))
    selection = chosen(ada, here, everywhere, elsewhere, over)
    assert {(each.copy, each.pin) for each in selection.pinned} == {(here, pin), (everywhere, general)}
    assert set(selection.removable(force=True).copies) == {elsewhere, over}, "force breaks no pin"


def test_copy_in_use_names_its_containers_and_goes_by_force_only(ada: User, runner: Host) -> None:
    used, free = copy_of(runner, "a:1", 100), copy_of(runner, "b:1", 50)
    Copy.objects.filter(pk=used.pk).update(container_count=1)
    container = Container.objects.create(host=runner, copy=used, container_id="c" * 64, state="exited")
    selection = chosen(ada, used, free)
    (refused,) = selection.in_use
    assert (refused.copy, refused.containers) == (used, (container,))
    assert selection.removable(force=False).copies == [free]
    assert set(selection.removable(force=True).copies) == {used, free}


def test_copy_in_use_frees_nothing_and_says_why(client: Client, ada: User, runner: Host) -> None:
    used, free = copy_of(runner, "a:1", 100), copy_of(runner, "b:1", 50)
    Copy.objects.filter(pk=used.pk).update(container_count=1)
    selection = chosen(ada, *Copy.objects.filter(host=runner))
    assert selection.freed_bytes == 50
    assert [(each.copy, each.others) for each in selection.nothing] == [(used, ())]
    client.force_login(ada)
    page = client.post("/images/selection/", {"copies": f"{used.pk},{free.pk}"}).content.decode()
    assert "a container holds its layers" in page


def test_copies_with_several_tags_say_which_go(ada: User, runner: Host) -> None:
    two = factories.make_copy(runner, "a:1", "a:latest", "a@sha256:" + "ab" * 32)
    one = factories.make_copy(runner, "b:1", "b@sha256:" + "cd" * 32)
    assert chosen(ada, two, one).referenced == [(two, ["a:1", "a:latest"])], "a digest is no tag"


# As the page asks for it


def post(client: Client, **data: str) -> Any:
    response = client.post(reverse("images:image-selection"), data)
    assert response.status_code == 200
    return response


@pytest.mark.parametrize(
    "copies", ["", "abc", ",,,", "-1", "1.5", "9" * 40, "0", "²", "٣", "1;DROP TABLE", "\x00", " "]
)
def test_junk_ids_select_nothing(client: Client, ada: User, runner: Host, copies: str) -> None:
    factories.make_copy(runner, "a:1", pk=1_000_000)
    client.force_login(ada)
    assert post(client, copies=copies).context["selection"].ids == []


def test_junk_among_ids_is_passed_over(client: Client, ada: User, runner: Host) -> None:
    copy = copy_of(runner, "a:1", 100)
    client.force_login(ada)
    response = post(client, copies=f"x,{copy.pk},,{'9' * 30}")
    assert response.context["selection"].ids == [copy.pk]


def test_all_of_the_address_is_selected(client: Client, ada: User, runner: Host, vault: Host) -> None:
    wanted = copy_of(runner, "acme/api:1", 100)
    copy_of(runner, "redis:7", 100)
    copy_of(vault, "acme/api:1", 100)
    client.force_login(ada)
    response = post(client, all="1", query="?q=acme&page=3&sort=nonsense&by=junk", copies="77")
    assert response.context["selection"].ids == [wanted.pk]


@pytest.mark.parametrize("wrong", ["host=junk", "host={vault}", "older=-4", "use=zzz", "reference=[a"])
def test_all_that_match_is_nothing_where_a_filter_is_not_understood(
    client: Client, ada: User, runner: Host, vault: Host, wrong: str
) -> None:
    """The list passes over such a filter and says so; what acts on all of them must not take more for it."""
    copy_of(runner, "acme/api:1", 100)
    client.force_login(ada)
    query = "?q=acme&" + wrong.format(vault=vault.pk)
    unclear = "Which images are meant is not clear"
    page = post(client, all="1", query=query).content.decode()
    assert unclear in page
    assert "1 selected" not in page
    dialog = client.post(reverse("images:image-remove"), {"all": "1", "query": query})
    assert unclear in dialog.content.decode()
    assert dialog.context["selection"].ids == []
    for kind in ("push-several", "pull-several", "save", "copy"):
        form = client.get(reverse("images:command", args=[kind]), {"all": "1", "query": query})
        assert unclear in form.content.decode(), kind
        assert "acme/api" not in form.content.decode(), kind


def test_page_says_count_bytes_and_what_frees_nothing(client: Client, ada: User, runner: Host) -> None:
    base = factories.make_layer(1000)
    below = factories.make_copy(runner, "base:1", image=factories.make_image(base))
    above = copy_of(runner, "app:1", 10, base=base)
    client.force_login(ada)
    page = " ".join(post(client, copies=str(below.pk)).content.decode().split())
    assert "1 selected" in page
    assert "0 B" in page
    assert f'<a href="/images/{above.image_id}/">app:1</a>' in page
    assert f'value="{below.pk}"' in page


def test_viewer_sees_the_sum_and_no_button_to_remove(client: Client, group: HostGroup, runner: Host) -> None:
    user = factories.make_user()
    factories.grant(user, "viewer", group)
    client.force_login(user)
    page = post(client, copies=str(copy_of(runner, "a:1", 100).pk)).content.decode()
    assert "100 B" in page
    assert reverse("images:image-remove") not in page


def test_one_alone_is_tagged_and_pushed_from_the_list_by_who_may(
    client: Client, group: HostGroup, ada: User, runner: Host
) -> None:
    one, two = copy_of(runner, "a:1", 100), copy_of(runner, "b:1", 100)
    tag = f"{reverse('images:command', args=['tag'])}?copy={one.pk}"
    push = f"{reverse('images:command', args=['push'])}?copy={one.pk}"
    client.force_login(ada)
    page = post(client, copies=str(one.pk)).content.decode()
    assert tag in page
    assert push in page
    assert client.get(tag).status_code == client.get(push).status_code == 200
    assert "?copy=" not in post(client, copies=f"{one.pk},{two.pk}").content.decode()
    viewer = factories.make_user()
    factories.grant(viewer, "viewer", group)
    client.force_login(viewer)
    assert "?copy=" not in post(client, copies=str(one.pk)).content.decode()


def test_selection_of_nothing_is_an_empty_fragment(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert post(client, copies="").content.strip() == b""


def test_cost_does_not_grow_with_the_selection(
    ada: User, runner: Host, django_assert_max_num_queries: Any
) -> None:
    base = factories.make_layer(1000)
    for number in range(20):
        copy_of(runner, f"a:{number}", 5, base=base)
    with django_assert_max_num_queries(20):
        selection = selection_of(ada, [], EVERYTHING)
        assert selection.freed_bytes == 1100
        assert not selection.nothing
        assert len(selection.removable(force=False).copies) == 20


def test_force_reaches_images_of_stopped_containers_and_not_of_running_ones(ada: User, runner: Host) -> None:
    stopped, running, idle = (copy_of(runner, f"app:{n}", 10) for n in range(3))
    for copy, state in ((stopped, "exited"), (running, "running"), (running, "exited")):
        Container.objects.create(
            host=runner, copy=copy, image=copy.image, container_id=f"{copy.pk}{state}", state=state
        )
    Copy.objects.filter(pk__in=[stopped.pk, running.pk]).update(container_count=1)
    selection = chosen(ada, *Copy.objects.filter(host=runner))
    assert selection.removable(force=False).ids == [idle.pk]
    assert set(selection.removable(force=True).ids) == {idle.pk, stopped.pk}


def test_removing_what_is_in_use_takes_the_box_and_says_how_many(
    client: Client, ada: User, runner: Host
) -> None:
    used = copy_of(runner, "a:1", 100)
    Copy.objects.filter(pk=used.pk).update(container_count=1)
    Container.objects.create(host=runner, copy=used, image=used.image, container_id="c" * 64, state="exited")
    client.force_login(ada)
    page = client.post("/images/remove/", {"copies": used.pk}).content.decode()
    assert "(force): 1 image in all, 0\u00a0B" in page.replace(" B", "\u00a0B")
    answer = {"copies": used.pk, "confirm": "1", "seen": references_mark([used.pk])}
    assert "None of these can be removed as it is." in client.post("/images/remove/", answer).content.decode()
    assert not Job.objects.exists()
    assert client.post("/images/remove/", answer | {"force": "1"}).status_code == 302
    assert Job.objects.get().parameters["force"] is True


def test_bar_counts_no_bytes_of_what_stays_whoever_asks(client: Client, runner: Host, vault: Host) -> None:
    base = factories.make_layer(1000)
    goes, pinned = copy_of(runner, "a:1", 100, base=base), copy_of(runner, "b:1", 7, base=base)
    off = copy_of(vault, "c:1", 5_000_000)
    Pin.objects.create(image=pinned.image, reason="release")
    Host.objects.filter(pk=vault.pk).update(is_enabled=False)
    client.force_login(factories.make_admin())

    def bar(*copies: Copy) -> str:
        ids = ",".join(str(copy.pk) for copy in copies)
        page = client.post(reverse("images:image-selection"), {"copies": ids}).content.decode()
        return " ".join(strip_tags(page).split())

    told = bar(goes, pinned, off)
    assert "removing frees 100 B" in told
    assert "On 1 host" in told
    assert "1 of these is pinned and stays" in told
    assert "All of these stay" not in told
    told = bar(pinned, off)
    assert "removing frees 0 B" in told
    assert "All of these stay" in told
