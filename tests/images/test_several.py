"""Pushing and pulling what was ticked in the list, several images in one go."""

import pytest
from django.test import Client

from images.models import Copy, Host, HostGroup, Job, Registry, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def hosts(group: HostGroup) -> list[Host]:
    return [factories.make_host(f"ci-{n}", groups=(group,)) for n in (1, 2)]


@pytest.fixture
def ada(client: Client, group: HostGroup) -> User:
    ada = factories.make_user("ada")
    factories.grant(ada, "operator", group)
    client.force_login(ada)
    return ada


def ids(*copies: Copy) -> str:
    return ",".join(str(copy.pk) for copy in copies)


def dialog(client: Client, kind: str, *copies: Copy) -> str:
    response = client.get(f"/commands/{kind}/?copies={ids(*copies)}")
    assert response.status_code == 200
    return response.content.decode()


def posted(client: Client, kind: str, *copies: Copy, **data: object) -> str:
    """What the dialog says of it; empty when jobs were started."""
    response = client.post(f"/commands/{kind}/", {"copies": ids(*copies)} | data)
    return "" if response.status_code == 302 else response.content.decode()


def jobs() -> set[tuple[str, str, str]]:
    return {(job.kind, job.host.name, job.subject) for job in Job.objects.select_related("host")}


def test_every_tag_is_pulled_again_where_it_is(client: Client, ada: User, hosts: list[Host]) -> None:
    image = factories.make_image()
    copies = [
        factories.make_copy(
            hosts[0], "shop/api:1", "shop/api:latest", f"shop/api@sha256:{'a' * 64}", image=image
        ),
        factories.make_copy(hosts[1], "shop/api:1", image=image),
        factories.make_copy(hosts[1], "redis:7"),
        factories.make_copy(hosts[1]),
    ]
    text = dialog(client, "pull-several", *copies)
    assert "shop/api:latest" in text
    assert "1 without a tag is left out." in text
    assert posted(client, "pull-several", *copies) == ""
    assert jobs() == {
        ("pull", "ci-1", "shop/api:1"), ("pull", "ci-1", "shop/api:latest"),
        ("pull", "ci-2", "shop/api:1"), ("pull", "ci-2", "redis:7"),
    }  # fmt: skip
    [batch] = set(Job.objects.values_list("batch", flat=True))
    page = client.get(f"/jobs/batches/{batch}/").content.decode()
    for _kind, _host, subject in jobs():
        assert f">{subject}<" in page, "each row says which image it is about"


def test_names_are_pushed_to_the_registries_that_are_ticked(
    client: Client, ada: User, hosts: list[Host]
) -> None:
    account = Registry.objects.create(name="Ours", prefix="r.example.com/shop", username="ci", password="x")
    images = [factories.make_image() for _ in range(2)]
    copies = [
        factories.make_copy(hosts[0], "r.example.com/shop/api:1", "shop/api:1", image=images[0]),
        factories.make_copy(hosts[1], "r.example.com/shop/api:1", image=images[0]),
        factories.make_copy(
            hosts[0], "r.example.com/shop/web:1", "r.example.com/other/web:1", image=images[1]
        ),
    ]
    text = dialog(client, "push-several", *copies)
    assert "Ours, with its account: 2 names" in text
    assert "docker.io, without an account: 1 name" in text
    ours = f"{account.pk}@r.example.com"
    assert text.count("checked") == 1
    assert "This field is required." in posted(client, "push-several", *copies)
    assert posted(client, "push-several", *copies, targets=[ours]) == ""
    assert jobs() == {
        ("push", "ci-1", "r.example.com/shop/api:1"), ("push", "ci-1", "r.example.com/shop/web:1"),
    }, "an image that two hosts have goes once"  # fmt: skip
    engine_ids = {job.parameters["engine_id"] for job in Job.objects.all()}
    assert engine_ids == {copies[0].engine_id, copies[2].engine_id}


def test_account_that_is_named_is_the_one_that_the_job_takes(
    client: Client, ada: User, hosts: list[Host]
) -> None:
    """A project may be called library elsewhere, and an account without a user hides a shorter one."""
    Registry.objects.create(name="Robot", prefix="harbor.example.com", username="robot", password="x")
    Registry.objects.create(name="Open", prefix="harbor.example.com/open")
    copies = [
        factories.make_copy(hosts[0], "harbor.example.com/library/api:1"),
        factories.make_copy(hosts[0], "harbor.example.com/open/web:1", "harbor.example.com/open/web:2"),
        factories.make_copy(hosts[0], "library/redis:7"),
    ]
    text = dialog(client, "push-several", *copies)
    assert "Robot, with its account: 1 name" in text
    assert "harbor.example.com, without an account: 2 names" in text
    assert "docker.io, without an account: 1 name" in text


def test_name_of_two_images_is_not_pushed_because_one_would_win(
    client: Client, ada: User, hosts: list[Host]
) -> None:
    copies = [
        factories.make_copy(host, "r.example.com/api:1", image=factories.make_image()) for host in hosts
    ]
    text = posted(client, "push-several", *copies, targets=["0@r.example.com"])
    assert "r.example.com/api:1 is not the same image on ci-1, ci-2. Select one of them." in text
    assert not Job.objects.exists()


@pytest.mark.parametrize(("kind", "role"), [("pull-several", "viewer"), ("push-several", "viewer")])
def test_hosts_without_the_permission_are_left_out_and_said(
    client: Client, ada: User, hosts: list[Host], kind: str, role: str
) -> None:
    group = HostGroup.objects.create(name="production")
    factories.grant(ada, role, group)
    production, hidden = factories.make_host("prod-1", groups=(group,)), factories.make_host("hidden")
    mine, theirs = factories.make_copy(hosts[0], "a:1"), factories.make_copy(production, "b:1")
    secret = factories.make_copy(hidden, "secret:1")
    text = dialog(client, kind, mine, theirs, secret)
    assert "1 is left out: you have no permission for this on its host" in text
    assert "secret:1" not in text
    assert "You have no permission for this on their hosts" in posted(
        client, kind, theirs, targets=["0@docker.io"]
    )
    assert "None of these images is there any more" in posted(client, kind, secret, targets=["0@docker.io"])
    assert posted(client, kind, mine, theirs, secret, targets=["0@docker.io"]) == ""
    assert {host for _, host, _ in jobs()} == {"ci-1"}


def test_image_is_pushed_from_a_host_that_is_online_and_never_from_one_that_is_off(
    client: Client, ada: User, hosts: list[Host], group: HostGroup
) -> None:
    off = factories.make_host("a-0", groups=(group,), is_enabled=False)
    Host.objects.filter(pk=hosts[0].pk).update(state="offline")
    image = factories.make_image()
    copies = [factories.make_copy(host, "r.example.com/api:1", image=image) for host in (off, *hosts)]
    assert posted(client, "push-several", *copies, targets=["0@r.example.com"]) == ""
    assert jobs() == {("push", "ci-2", "r.example.com/api:1")}
    assert "switched off" in dialog(client, "pull-several", copies[0])


def test_only_what_an_account_can_push_is_ticked_beforehand(
    client: Client, ada: User, hosts: list[Host]
) -> None:
    Registry.objects.create(name="Hub", prefix="docker.io", username="acme", password="x")
    Registry.objects.create(name="Open", prefix="open.example.com")
    names = ["acme/api:1", "redis:7", "open.example.com/web:1"]
    text = dialog(client, "push-several", *(factories.make_copy(hosts[0], name) for name in names))
    assert text.count("checked") == 1
    assert "Hub, with its account: 1 name" in text
    assert "docker.io, without an account: 1 name" in text
    assert "open.example.com, without an account: 1 name" in text


@pytest.mark.parametrize("kind", ["pull-several", "push-several"])
def test_what_can_not_be_done_is_said(client: Client, ada: User, hosts: list[Host], kind: str) -> None:
    dangling = factories.make_copy(hosts[0])
    assert "None of these images has a tag." in posted(client, kind, dangling)
    many = [factories.make_copy(hosts[0], f"a:{n}") for n in range(201)]
    assert "more than 200 at once" in posted(client, kind, *many, targets=["0@docker.io"])
    assert not Job.objects.exists()


def test_all_that_match_can_be_chosen(client: Client, ada: User, hosts: list[Host]) -> None:
    for name in ("a/x:1", "a/y:1", "b/z:1"):
        factories.make_copy(hosts[0], name)
    text = client.get("/commands/pull-several/?all=1&query=%3Fq%3Da%2F").content.decode()
    assert "a/x:1" in text
    assert "b/z:1" not in text
