"""Removing one reference of a copy: it untags only, until it is the last one."""

import re
from typing import Any

import pytest
from django.test import Client

from images.models import Copy, Host, HostGroup, Job, Pin, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return factories.make_host("ci-1", groups=(HostGroup.objects.create(name="ci"),))


@pytest.fixture
def ada(host: Host, client: Client) -> User:
    ada = factories.make_user("ada")
    factories.grant(ada, "maintainer", host.groups.get())
    client.force_login(ada)
    return ada


@pytest.fixture
def copy(host: Host) -> Copy:
    return factories.make_copy(host, "shop/api:1", "shop/api:stable")


def url(copy: Copy, name: str = "shop/api:1") -> str:
    return f"/copies/{copy.pk}/references/remove/?reference={name}"


def asked(client: Client, copy: Copy, name: str = "shop/api:1") -> str:
    return client.get(url(copy, name), headers={"HX-Request": "true"}).content.decode()


def answered(client: Client, copy: Copy, **data: Any) -> str:
    values = {"is_last": "", "seen": "shop/api:1 shop/api:stable"} | data
    response = client.post(url(copy), values, headers={"HX-Request": "true"})
    return response.headers.get("HX-Redirect", "") or response.content.decode()


def test_each_tag_of_a_copy_has_the_action(client: Client, ada: User, copy: Copy) -> None:
    text = client.get(f"/images/{copy.image_id}/").content.decode()
    assert text.count(f'hx-get="/copies/{copy.pk}/references/remove/?reference=shop%2Fapi%3A') == 2
    assert "Remove the reference shop/api:stable on ci-1" in text


def test_one_of_several_untags_only_and_says_so(client: Client, ada: User, copy: Copy) -> None:
    text = asked(client, copy)
    assert "This untags only and frees 0 B" in text
    assert "<li>shop/api:stable</li>" in text
    job = Job.objects.get(pk=answered(client, copy).split("/")[2])
    assert (job.kind, job.subject) == ("remove", "shop/api:1")
    assert job.parameters["items"] == [{"seen": ["shop/api:1", "shop/api:stable"], "take": ["shop/api:1"]}]
    assert job.parameters["promised_bytes"] == 0


def test_last_one_takes_the_image_along_and_says_what_that_frees(
    client: Client, ada: User, host: Host
) -> None:
    copy = factories.make_copy(host, "shop/api:1")
    text = asked(client, copy)
    assert "so the image goes" in text
    assert "Remove the image, free 1.00 kB" in text
    job = Job.objects.get(pk=answered(client, copy, is_last="1", seen="shop/api:1").split("/")[2])
    assert job.parameters["items"][0]["take"] is None
    assert job.parameters["promised_bytes"] == 1000


def test_who_agreed_to_untag_is_asked_again_when_the_image_would_go(
    client: Client, ada: User, copy: Copy
) -> None:
    copy.references.filter(name="shop/api:stable").delete()
    assert "so the image goes" in answered(client, copy)
    assert not Job.objects.exists()


def test_last_one_of_an_image_in_use_can_not_go(client: Client, ada: User, host: Host) -> None:
    copy = factories.make_copy(host, "shop/api:1", container_count=1)
    text = asked(client, copy)
    assert "a container uses it" in text
    assert 'type="submit"' not in text


def test_other_hosts_that_have_the_name_can_be_chosen_too(
    client: Client, ada: User, copy: Copy, host: Host
) -> None:
    group = host.groups.get()
    second, third, used, off = (
        factories.make_host(name, groups=(group,)) for name in ("b", "c", "used", "off")
    )
    other = factories.make_copy(second, "shop/api:1", "shop/api:2", image=copy.image)
    last = factories.make_copy(third, "shop/api:1", image=copy.image)
    factories.make_copy(used, "shop/api:1", image=copy.image, container_count=1)
    factories.make_copy(off, "shop/api:1", "x:1", image=copy.image)
    Host.objects.filter(pk=off.pk).update(is_enabled=False)
    factories.make_copy(factories.make_host("hidden"), "shop/api:1", "x:1", image=copy.image)
    text = asked(client, copy)
    marks = re.findall(r'name="also" value="([^"]+)"', text)
    assert [mark.split(":")[0] for mark in marks] == [str(other.pk), str(last.pk)]
    assert "c: the last one there, the image goes" in text
    assert "b: untags only, the image stays" in text
    for name in ("used", "off", "hidden"):
        assert f">{name}" not in text
    assert answered(client, copy, also=marks).startswith("/jobs/batches/")
    taken = {job.host.name: job.parameters["items"] for job in Job.objects.all()}
    assert taken == {
        "ci-1": [{"seen": ["shop/api:1", "shop/api:stable"], "take": ["shop/api:1"]}],
        "b": [{"seen": ["shop/api:1", "shop/api:2"], "take": ["shop/api:1"]}],
        "c": [{"seen": ["shop/api:1"], "take": None}],
    }


def test_host_where_it_became_the_last_one_is_asked_about_again(
    client: Client, ada: User, copy: Copy, host: Host
) -> None:
    second = factories.make_host("b", groups=(host.groups.get(),))
    other = factories.make_copy(second, "shop/api:1", "shop/api:2", image=copy.image)
    [mark] = re.findall(r'name="also" value="([^"]+)"', asked(client, copy))
    other.references.filter(name="shop/api:2").delete()
    assert "Something changed there meanwhile." in answered(client, copy, also=[mark])
    assert not Job.objects.exists()


def test_pinned_image_keeps_its_last_reference(client: Client, ada: User, host: Host) -> None:
    copy = factories.make_copy(host, "shop/api:1")
    Pin.objects.create(image=copy.image, host=host, reason="ours")
    assert "Pinned: ours" in answered(client, copy, is_last="1", seen="shop/api:1")
    assert not Job.objects.exists()


def test_reference_that_is_gone_or_another_images_is_404(
    client: Client, ada: User, copy: Copy, host: Host
) -> None:
    factories.make_copy(host, "shop/web:1")
    for name in ("shop/api:2", "shop/web:1", ""):
        assert client.get(url(copy, name)).status_code == 404


def test_viewer_gets_no_such_action(client: Client, copy: Copy, host: Host) -> None:
    vera = factories.make_user("vera")
    factories.grant(vera, "viewer", host.groups.get())
    client.force_login(vera)
    assert "references/remove" not in client.get(f"/images/{copy.image_id}/").content.decode()
    assert client.post(url(copy)).status_code == 403
