"""Groups of hosts."""

import pytest
from django.test import Client

from images.models import AuditEntry, Grant, Host, HostGroup
from tests import factories

pytestmark = pytest.mark.django_db


def test_group_is_added_renamed_and_removed(admin_client: Client) -> None:
    host = factories.make_host("runner")
    admin_client.post("/groups/add/", {"name": "ci", "hosts": [host.pk]})
    group = HostGroup.objects.get()
    assert list(group.hosts.all()) == [host]
    admin_client.post(f"/groups/{group.pk}/", {"name": "runners"})
    group.refresh_from_db()
    assert (group.name, group.hosts.count()) == ("runners", 0)
    admin_client.post(f"/groups/{group.pk}/remove/")
    assert not HostGroup.objects.exists()
    assert Host.objects.exists()
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {
        "group.add",
        "group.edit",
        "group.remove",
    }


def test_group_name_is_taken_once(admin_client: Client) -> None:
    HostGroup.objects.create(name="ci")
    assert (
        "There is a group of this name already."
        in admin_client.post("/groups/add/", {"name": "CI"}).content.decode()
    )


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("ci\u202enoitcudorp", False),
        ("c\u200bi", False),
        ("ci\x1b[2J", False),
        ("\u0645\u06cc\u200c\u0631\u0648\u062f", True),
    ],
)
def test_group_name_has_no_hidden_signs(admin_client: Client, name: str, is_taken: bool) -> None:
    page = admin_client.post("/groups/add/", {"name": name}).content.decode()
    assert HostGroup.objects.filter(name=name).exists() is is_taken
    assert ("The name has a character that can not be seen (U+" in page) is not is_taken


def test_group_keeps_its_own_name(admin_client: Client) -> None:
    group = HostGroup.objects.create(name="ci")
    assert admin_client.post(f"/groups/{group.pk}/", {"name": "ci"}).status_code == 302


def test_removing_a_group_names_the_grants_that_go(admin_client: Client) -> None:
    group = HostGroup.objects.create(name="ci")
    factories.grant(factories.make_user("ada"), "operator", group)
    page = admin_client.get(f"/groups/{group.pk}/remove/").content.decode()
    assert "team of ada loses the role Operator" in page
    admin_client.post(f"/groups/{group.pk}/remove/")
    assert not Grant.objects.exists()


def test_admin_of_a_group_may_not_change_who_is_in_it(client: Client) -> None:
    group = HostGroup.objects.create(name="ci")
    ada = factories.make_user("ada")
    factories.grant(ada, "admin", group)
    client.force_login(ada)
    other = factories.make_host("production-db")
    assert client.post(f"/groups/{group.pk}/", {"name": "ci", "hosts": [other.pk]}).status_code == 403
    assert not other.groups.exists()


def test_group_without_a_grant_is_not_found(client: Client) -> None:
    ada = factories.make_user("ada")
    factories.grant(ada, "viewer", HostGroup.objects.create(name="ci"))
    secret = HostGroup.objects.create(name="secret")
    client.force_login(ada)
    assert client.get(f"/groups/{secret.pk}/").status_code == 404
    assert "secret" not in client.get("/groups/").content.decode()


def test_empty_list_says_what_groups_are_for(admin_client: Client) -> None:
    assert "No groups yet" in admin_client.get("/groups/").content.decode()


def test_list_needs_the_same_queries_for_many_groups(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    for number in range(10):
        group = HostGroup.objects.create(name=f"group {number}")
        factories.make_host(groups=(group,))
        factories.grant(factories.make_user(), "viewer", group)
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        admin_client.get("/groups/")
