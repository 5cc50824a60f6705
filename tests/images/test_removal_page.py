"""The question before a removal: number, bytes, and all that stays or goes along, each with its reason."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from images.fleet import selection as selections
from images.models import Container, Copy, Host, HostGroup, Job, Pin, User
from images.removal import references_mark
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def host(group: HostGroup) -> Host:
    return factories.make_host("runner", groups=(group,))


@pytest.fixture(autouse=True)
def ada(client: Client, group: HostGroup) -> User:
    """Maintains the group, may look everywhere."""
    user = factories.make_user("ada")
    factories.grant(user, "maintainer", group)
    factories.grant(user, "viewer")
    client.force_login(user)
    return user


def question(client: Client, *copies: Copy) -> str:
    ids = ",".join(str(copy.pk) for copy in copies)
    answer = client.post(reverse("images:image-remove"), {"copies": ids})
    return " ".join(answer.content.decode().split())


def used(host: Host, name: str, state: str) -> Copy:
    copy = factories.make_copy(host, name, container_count=1)
    Container.objects.create(host=host, copy=copy, container_id=name * 9, name=f"box-{state}", state=state)
    return copy


def test_number_and_bytes_stand_in_the_button(client: Client, host: Host) -> None:
    copies = [factories.make_copy(host, f"app:{number}") for number in range(3)]
    page = question(client, *copies)
    assert "3 copies will be removed." in page
    assert "Remove 3 images, free 3.00 kB" in page


def test_container_is_named_with_its_state_and_its_image_is_left_out(client: Client, host: Host) -> None:
    page = question(client, used(host, "app:1", "running"), factories.make_copy(host, "app:2"))
    assert "app:1 (runner): in use by box-running (running)" in page
    assert "Remove 1 image, free" in page
    assert 'name="force"' not in page, "no force reaches a running container"


def test_force_is_a_choice_of_its_own_that_says_what_it_does(client: Client, host: Host) -> None:
    page = question(client, used(host, "app:1", "exited"), factories.make_copy(host, "app:2"))
    assert "Remove those of stopped containers too (force): 2 images in all" in page
    assert "Those containers keep its layers, so nothing is freed until they go" in page
    label = re.search(r'class="removal-forced">([^<]*)<', page)
    assert label, "the button has words of its own for it"
    assert label[1].startswith("Remove 2 images, free")


def test_further_tags_that_go_along_are_named(client: Client, host: Host) -> None:
    page = question(
        client, factories.make_copy(host, "app:1", "app:latest"), factories.make_copy(host, "b:1")
    )
    assert "app:1 (runner): all 2 tags go: app:1, app:latest" in page
    assert "b:1 (runner)" not in page


def test_many_images_with_several_tags_are_counted(client: Client, host: Host) -> None:
    page = question(client, *(factories.make_copy(host, f"app:{n}", f"app:{n}-old") for n in range(6)))
    assert page.count("all 2 tags go") == 5
    assert "6 copies with several tags in all" in page


def test_pinned_copy_is_left_out_with_its_reason(client: Client, host: Host) -> None:
    copy = factories.make_copy(host, "app:1")
    Pin.objects.create(image=copy.image, host=host, reason="Customers run it")
    page = question(client, copy, factories.make_copy(host, "app:2"))
    assert "app:1 (runner): pinned, “Customers run it”" in page
    assert "Remove 1 image, free" in page


def test_pinned_copy_is_said_before_the_question_too(client: Client, host: Host) -> None:
    copy, other = factories.make_copy(host, "app:1"), factories.make_copy(host, "app:2")
    choose = reverse("images:image-selection")
    words = "1 of these is pinned and stays."
    assert words not in client.post(choose, {"copies": f"{copy.pk},{other.pk}"}).content.decode()
    Pin.objects.create(image=copy.image, reason="Customers run it")
    assert words in client.post(choose, {"copies": f"{copy.pk},{other.pk}"}).content.decode()


def test_copies_where_one_may_not_remove_are_counted(client: Client, host: Host) -> None:
    elsewhere = factories.make_copy(factories.make_host("vault"), "app:1")
    page = question(client, elsewhere, factories.make_copy(host, "app:1"))
    assert "1 copy is on a host where you may not remove images" in page


def test_untagged_parent_that_goes_along_is_counted(client: Client, host: Host) -> None:
    base = factories.make_layer(1000)
    parent = factories.make_copy(host, image=factories.make_image(base), is_intermediate=True)
    image = factories.make_image(base, factories.make_layer(10))
    child = factories.make_copy(host, "app:1", image=image, parent_engine_id=parent.engine_id)
    assert "1 untagged parent goes along with its last child." in question(client, child)


def test_more_than_one_removal_takes_is_said(
    client: Client, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selections, "COUNT_LIMIT", 2)
    for number in range(3):
        factories.make_copy(host, f"app:{number}")
    page = client.post(reverse("images:image-remove"), {"all": "1", "query": "?"}).content.decode()
    assert "More match than one removal takes" in page


def confirmed(client: Client, *copies: Copy) -> str:
    """The answer to who agreed to a question that was asked some time ago."""
    ids = [copy.pk for copy in copies]
    data = {"copies": ",".join(map(str, ids)), "confirm": "1", "seen": references_mark(ids)}
    return " ".join(client.post(reverse("images:image-remove"), data).content.decode().split())


def test_answer_after_the_host_was_switched_off_says_so(client: Client, host: Host) -> None:
    copy = factories.make_copy(host, "app:1")
    Host.objects.update(is_enabled=False)
    page = confirmed(client, copy)
    assert "1 copy is on a host that is switched off" in page
    assert "is there any more" not in page, "it is there"
    assert not Job.objects.exists()


def test_answer_after_all_of_it_went_says_that_it_is_gone(client: Client, host: Host) -> None:
    copy = factories.make_copy(host, "app:1")
    data = {"copies": str(copy.pk), "confirm": "1", "seen": references_mark([copy.pk])}
    copy.delete()
    page = client.post(reverse("images:image-remove"), data).content.decode()
    assert "what was selected is gone" in page
    assert "references changed" not in page
