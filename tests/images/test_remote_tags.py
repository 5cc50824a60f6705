"""Which copies are behind their tag: who is asked, how often, and what the pages say of the answer."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from images import remote_tags
from images.models import Copy, Host, HostGroup, Reference, Registry, RemoteTag
from images.remote_tags import NEVER, behind, registry_ask, tags_ask_due, tags_gather
from tests import factories
from tests.hub import DIGEST, Hub, running_hub

pytestmark = pytest.mark.django_db

OLD = f"sha256:{'01' * 32}"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def registry(hub: Hub) -> Registry:
    return Registry.objects.create(name="hub", prefix=hub.host, use_http=True, checked_at=timezone.now())


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The registries whose worker was woken, instead of a broker."""
    found: list[int] = []

    def wake(task: str, pk: int) -> bool:
        found.append(pk)
        return True

    monkeypatch.setattr(remote_tags, "wake", wake)
    monkeypatch.setattr(remote_tags, "_gathered_at", 0.0)
    monkeypatch.setattr(remote_tags, "PAUSE_SECONDS", 0)
    return found


def pulled(repository: str, tag: str = "7", digest: str = OLD, host: Host | None = None) -> Copy:
    """A copy that came from a registry some time ago."""
    came = timezone.now() - timedelta(days=3)
    names = (f"{repository}:{tag}", f"{repository}@{digest}")
    return factories.make_copy(host or factories.make_host(), *names, arrived_at=came)


def ask(registry: Registry) -> None:
    tags_gather()
    registry_ask(registry.pk)


def behind_copies() -> list[Copy]:
    return list(Copy.objects.filter(behind()))


def test_copy_whose_tag_moved_is_behind_and_one_that_is_equal_is_not(hub: Hub, registry: Registry) -> None:
    hub.digests["shop/api:7"] = DIGEST
    old = pulled(f"{hub.host}/shop/api")
    same = pulled(f"{hub.host}/library/redis", digest=DIGEST)
    ask(registry)
    assert behind_copies() == [old]
    remote_tags.mark_newer([old, same])
    assert old.remote.newer == [f"{hub.host}/shop/api:7"]  # type: ignore[attr-defined]
    assert same.remote.current == [f"{hub.host}/library/redis:7"]  # type: ignore[attr-defined]


def test_each_tag_is_asked_for_once_for_the_whole_fleet_and_by_head(hub: Hub, registry: Registry) -> None:
    for _ in range(3):
        pulled(f"{hub.host}/library/redis")
    ask(registry)
    ask(registry)
    manifests = [line for line in hub.asked if "manifests" in line]
    # Once without and once with the token of this repository.
    assert manifests == ["HEAD /v2/library/redis/manifests/7"] * 2
    assert hub.remaining == 76


def test_image_that_was_built_here_is_never_asked_for(hub: Hub, registry: Registry) -> None:
    factories.make_copy(factories.make_host(), f"{hub.host}/shop/own:1")
    assert tags_gather() == 0


def test_registries_that_are_not_entered_are_never_asked(hub: Hub, registry: Registry) -> None:
    pulled("redis")
    pulled("ghcr.io/acme/api")
    assert tags_gather() == 0


def test_docker_hub_is_asked_where_it_is_entered() -> None:
    Registry.objects.create(name="Docker Hub", prefix="docker.io/library")
    pulled("redis")
    pulled("acme/api")
    tags_gather()
    assert [tag.name for tag in RemoteTag.objects.all()] == ["docker.io/library/redis:7"]


@pytest.mark.parametrize("name", ["redis", "docker.io/library/redis", "acme/api", "docker.io/acme/api"])
def test_docker_hub_is_found_however_the_engine_writes_it(name: str) -> None:
    copy = pulled(name)
    full = remote_tags.full_name(f"{name}:7")
    RemoteTag.objects.create(name=full, digest=DIGEST, checked_at=timezone.now())
    assert behind_copies() == [copy]


def test_rows_of_tags_that_are_gone_go_too(hub: Hub, registry: Registry) -> None:
    copy = pulled(f"{hub.host}/library/redis")
    ask(registry)
    copy.delete()
    tags_gather()
    assert not RemoteTag.objects.exists()


def test_copy_that_came_after_the_answer_is_not_judged_by_it_and_asked_for_again(
    hub: Hub, registry: Registry
) -> None:
    pulled(f"{hub.host}/library/redis")
    ask(registry)
    Copy.objects.update(arrived_at=timezone.now() + timedelta(seconds=5))
    assert behind_copies() == []
    tags_gather()
    assert RemoteTag.objects.get().checked_at == NEVER


def test_tag_that_the_registry_has_no_more_is_said(hub: Hub, registry: Registry) -> None:
    pulled(f"{hub.host}/shop/gone")
    ask(registry)
    tag = RemoteTag.objects.get()
    assert (tag.error_code, tag.digest) == ("image_not_found", "")
    registry.refresh_from_db()
    assert registry.error_code == "", "one tag says nothing about the registry"
    assert behind_copies() == []


def test_limits_are_shown_where_the_registry_tells_them(hub: Hub, registry: Registry) -> None:
    pulled(f"{hub.host}/library/redis")
    ask(registry)
    registry.refresh_from_db()
    limit = registry.rate_limit
    assert (limit["limit"], limit["remaining"], limit["window_seconds"]) == (100, 76, 21600)
    client = Client()
    client.force_login(factories.make_admin())
    text = client.get("/registries/").content.decode()
    assert "76 of 100" in text
    assert "6 h 0 min" in text


def test_registry_that_has_had_enough_is_left_alone_for_an_hour(
    hub: Hub, registry: Registry, woken: list[int]
) -> None:
    hub.remaining = 0
    for number in range(5):
        pulled(f"{hub.host}/shop/n{number}")
    now = timezone.now()
    assert tags_ask_due(now) == 1
    registry_ask(registry.pk)
    registry.refresh_from_db()
    assert registry.error_code == "registry_rate_limited"
    assert registry.rate_limit["remaining"] == 0
    assert len([line for line in hub.asked if "manifests" in line]) == 2, "it did not ask for the others"
    assert set(RemoteTag.objects.values_list("checked_at", flat=True)) == {NEVER}, (
        "they are still to be asked"
    )
    assert tags_ask_due(now + timedelta(minutes=5)) == 0
    assert tags_ask_due(now + timedelta(minutes=65)) == 1


def test_wrong_password_stops_at_the_first_question(hub: Hub, registry: Registry) -> None:
    Registry.objects.filter(pk=registry.pk).update(username="alice")
    registry.refresh_from_db()
    registry.password = "nonsense"
    registry.save()
    pulled(f"{hub.host}/library/redis")
    ask(registry)
    registry.refresh_from_db()
    assert registry.error_code == "registry_login"
    assert not [line for line in hub.asked if "manifests" in line]


def test_answer_is_good_for_a_day(hub: Hub, registry: Registry, woken: list[int], settings: Any) -> None:
    pulled(f"{hub.host}/library/redis")
    now = timezone.now()
    assert tags_ask_due(now) == 1
    registry_ask(registry.pk)
    assert tags_ask_due(now + timedelta(hours=23)) == 0
    assert tags_ask_due(now + timedelta(hours=25)) == 1
    settings.REMOTE_TAG_HOURS = 2
    assert tags_ask_due(now + timedelta(hours=3)) == 1


def test_round_is_short(hub: Hub, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_tags, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(remote_tags, "TAGS_PER_ROUND", 3)
    for number in range(7):
        hub.digests[f"shop/n{number}:7"] = DIGEST
        pulled(f"{hub.host}/shop/n{number}")
    for left in (4, 1, 0):
        ask(registry)
        assert RemoteTag.objects.filter(checked_at=NEVER).count() == left


def test_longer_prefix_asks_for_its_own_tags(hub: Hub, registry: Registry) -> None:
    other = Registry.objects.create(name="shop", prefix=f"{hub.host}/shop", use_http=True)
    hub.digests["shop/api:7"] = DIGEST
    pulled(f"{hub.host}/shop/api")
    pulled(f"{hub.host}/library/redis")
    ask(registry)
    assert RemoteTag.objects.get(checked_at=NEVER).name == f"{hub.host}/shop/api:7"
    ask(other)
    assert not RemoteTag.objects.filter(checked_at=NEVER).exists()


class TestMark:
    """`Copy.is_behind`, which the filter of the fleet list looks at instead of asking anew."""

    def marked(self) -> list[Copy]:
        return list(Copy.objects.filter(is_behind=True))

    def test_answer_marks_every_copy_with_that_tag(self, hub: Hub, registry: Registry) -> None:
        copies = [pulled(f"{hub.host}/library/redis") for _ in range(3)]
        pulled(f"{hub.host}/library/redis", digest=DIGEST)
        ask(registry)
        assert self.marked() == copies

    @pytest.mark.parametrize("name", ["redis", "docker.io/library/redis", "acme/api", "docker.io/acme/api"])
    def test_what_a_push_told_marks_too(self, name: str) -> None:
        copy = pulled(name)
        full = remote_tags.full_name(f"{name}:7")
        RemoteTag.objects.create(name=full, checked_at=NEVER)
        remote_tags.tag_told(f"{name}:7", DIGEST)
        assert self.marked() == [copy]
        remote_tags.tag_told(f"{name}:7", OLD)
        assert self.marked() == []

    def test_copy_that_lost_the_tag_is_not_marked_any_more(self, hub: Hub, registry: Registry) -> None:
        copy = pulled(f"{hub.host}/library/redis")
        ask(registry)
        copy.references.exclude(tag="").delete()
        remote_tags.behind_write([f"{hub.host}/library/redis:7"])
        assert self.marked() == []

    def test_tick_takes_away_marks_of_registries_that_are_gone(
        self, hub: Hub, registry: Registry, woken: list[int]
    ) -> None:
        pulled(f"{hub.host}/library/redis")
        ask(registry)
        registry.delete()
        tags_ask_due(timezone.now())
        assert self.marked() == []

    def test_all_at_once_says_the_same_as_one_by_one(self, hub: Hub, registry: Registry) -> None:
        pulled(f"{hub.host}/library/redis")
        pulled(f"{hub.host}/library/redis", digest=DIGEST)
        ask(registry)
        before = self.marked()
        remote_tags.behind_write()
        assert self.marked() == before == behind_copies()


class TestPages:
    @pytest.fixture
    def group(self) -> HostGroup:
        return HostGroup.objects.create(name="ci")

    @pytest.fixture
    def copy(self, group: HostGroup, hub: Hub, registry: Registry) -> Copy:
        host = factories.make_host("ci-1", groups=(group,))
        copy = pulled(f"{hub.host}/library/redis", host=host)
        pulled(f"{hub.host}/library/redis", digest=DIGEST, host=factories.make_host("ci-2", groups=(group,)))
        ask(registry)
        return copy

    def signed_in(self, role: str, group: HostGroup) -> Client:
        client, user = Client(), factories.make_user()
        factories.grant(user, role, group)
        client.force_login(user)
        return client

    def test_list_marks_it_and_filters_by_it(self, copy: Copy, group: HostGroup) -> None:
        client = self.signed_in("viewer", group)
        text = client.get("/images/").content.decode()
        assert text.count('badge is-info" title=') == 1
        text = client.get("/images/?behind=1").content.decode()
        assert "ci-1</a>" in text
        assert "ci-2</a></td>" not in text

    def test_page_offers_to_pull_it_to_who_may(self, copy: Copy, group: HostGroup) -> None:
        url = f"/images/{copy.image_id}/"
        viewer = self.signed_in("viewer", group).get(url).content.decode()
        assert "points at something newer" in viewer
        assert "/commands/pull/" not in viewer
        assert "Check for newer" not in viewer
        operator = self.signed_in("operator", group).get(url).content.decode()
        name = copy.name.replace("/", "%2F").replace(":", "%3A")
        assert f"/commands/pull/?reference={name}&amp;host={copy.host_id}" in operator
        assert "Check for newer" in operator

    def test_button_has_the_registry_asked_first_of_all(
        self, copy: Copy, group: HostGroup, woken: list[int], registry: Registry
    ) -> None:
        response = self.signed_in("operator", group).post(
            f"/images/{copy.image_id}/newer/", headers={"HX-Request": "true"}
        )
        assert "is being asked" in response.content.decode()
        assert woken == [registry.pk]
        assert RemoteTag.objects.get().checked_at == remote_tags.WISHED

    def test_button_is_not_for_who_may_only_look(self, copy: Copy, group: HostGroup) -> None:
        response = self.signed_in("viewer", group).post(f"/images/{copy.image_id}/newer/")
        assert response.status_code == 403

    def test_image_of_a_registry_that_is_not_entered_says_so(self, group: HostGroup) -> None:
        copy = pulled("quay.io/acme/api", host=factories.make_host(groups=(group,)))
        text = self.signed_in("operator", group).get(f"/images/{copy.image_id}/").content.decode()
        assert "only those entered under Registries" in text
        assert "Check for newer" not in text

    def test_image_that_was_built_here_says_nothing(self, group: HostGroup) -> None:
        copy = factories.make_copy(factories.make_host(groups=(group,)), "own:1")
        text = self.signed_in("operator", group).get(f"/images/{copy.image_id}/").content.decode()
        assert "Registries." not in text


def test_references_that_no_registry_would_take_do_no_harm(hub: Hub, registry: Registry) -> None:
    copy = pulled(f"{hub.host}/library/redis")
    Reference.objects.create(
        copy=copy, host=copy.host, name="Odd Name:7", registry=hub.host, repository="Odd Name", tag="7"
    )
    ask(registry)
    assert behind_copies() == [copy]
