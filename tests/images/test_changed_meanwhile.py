"""Two people change the same thing: who comes second is told, and may save once more."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from images.models import Host, HostGroup, Registry, Team, User
from tests import factories

pytestmark = pytest.mark.django_db
TOLD = "Somebody changed this meanwhile."


def version(page: str) -> str:
    [found] = re.findall(r'<input type="hidden" name="version" value="([0-9a-f]+)"', page)
    return str(found)


def saves(client: Client, address: str, sent: dict[str, Any]) -> str:
    """Sends it; the version that the answer carries, "" when it was saved."""
    answer = client.post(address, sent)
    if answer.status_code == 302:
        return ""
    page = answer.content.decode()
    assert TOLD in page
    return version(page)


@pytest.fixture
def person() -> User:
    return factories.make_user("nora")


def test_member_who_was_taken_out_is_not_put_back_by_a_form_that_was_open(
    admin_client: Client, person: User
) -> None:
    team = Team.objects.create(name="builders")
    team.members.add(person)
    address = reverse("images:team-edit", args=[team.pk])
    shown = version(admin_client.get(address).content.decode())
    assert saves(admin_client, address, {"name": "builders", "members": [], "version": shown}) == ""
    mine = {"name": "Builders", "members": [person.pk], "version": shown}
    newer = saves(admin_client, address, mine)
    assert not team.members.exists()
    assert saves(admin_client, address, mine | {"version": newer}) == ""
    assert list(team.members.all()) == [person]


def test_other_forms_that_write_a_whole_row_tell_as_well(admin_client: Client, person: User) -> None:
    group = HostGroup.objects.create(name="ci")
    host = factories.make_host("runner", groups=(group,))
    registry = Registry.objects.create(name="Ours", prefix="registry.example.com")
    team = Team.objects.create(name="builders")
    forms: list[tuple[str, int, Any, dict[str, Any]]] = [
        ("images:group-edit", group.pk, lambda: group.hosts.clear(), {"name": "ci", "hosts": [host.pk]}),
        (
            "images:host-edit", host.pk, lambda: Host.objects.update(image_budget_bytes=10**9),
            {"name": "runner", "kind": "unix", "address": "/var/run/docker.sock", "image_budget": "2"},
        ),
        (
            "images:registry-edit", registry.pk, lambda: Registry.objects.update(name="Theirs"),
            {"name": "Mine", "address": "registry.example.com"},
        ),
        ("images:user-teams", person.pk, lambda: person.teams.add(team), {"teams": []}),
    ]  # fmt: skip
    for name, pk, change, sent in forms:
        address = reverse(name, args=[pk])
        shown = version(admin_client.get(address).content.decode())
        change()
        newer = saves(admin_client, address, sent | {"version": shown})
        assert newer not in ("", shown), name
        assert saves(admin_client, address, sent | {"version": newer}) == "", name


def test_form_that_is_right_when_it_is_shown_is_saved_at_once(admin_client: Client) -> None:
    group = HostGroup.objects.create(name="ci")
    address = reverse("images:group-edit", args=[group.pk])
    shown = version(admin_client.get(address).content.decode())
    assert saves(admin_client, address, {"name": "CI", "hosts": [], "version": shown}) == ""
