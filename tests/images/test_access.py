"""The permission matrix: role x permission x where the host is."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from images import access
from images.models import AuditEntry, Host, HostGroup, Permission, Role, User
from tests import factories

pytestmark = pytest.mark.django_db

MATRIX = {
    "viewer": {"view"},
    "operator": {"view", "pull", "tag", "push"},
    "maintainer": {"view", "pull", "tag", "push", "build", "remove", "run_cleanup", "edit_policies"},
    "admin": {str(permission) for permission in Permission},
}


@pytest.fixture
def ada() -> User:
    return factories.make_user("ada")


def fresh(user: User) -> User:
    """As the next request sees the person."""
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("permission", list(Permission))
@pytest.mark.parametrize("slug", list(MATRIX))
def test_role_on_a_group_holds_on_its_hosts_only(ada: User, slug: str, permission: Permission) -> None:
    group = HostGroup.objects.create(name="ci")
    inside, outside = factories.make_host("inside", groups=(group,)), factories.make_host("outside")
    factories.grant(ada, slug, group)
    assert access.can(ada, permission, inside) == (permission in MATRIX[slug])
    assert not access.can(ada, permission, outside)
    assert not access.can_everywhere(ada, permission)
    assert access.can_anywhere(ada, permission) == (permission in MATRIX[slug])


@pytest.mark.parametrize("permission", list(Permission))
@pytest.mark.parametrize("slug", list(MATRIX))
def test_role_on_all_hosts_holds_everywhere(ada: User, slug: str, permission: Permission) -> None:
    host = factories.make_host()
    factories.grant(ada, slug)
    assert access.can(ada, permission, host) == (permission in MATRIX[slug])
    assert access.can_everywhere(ada, permission) == (permission in MATRIX[slug])


@pytest.mark.parametrize("permission", list(Permission))
def test_nobody_may_anything_without_a_grant(ada: User, permission: Permission) -> None:
    factories.make_host()
    assert not access.can_anywhere(ada, permission)
    assert not Host.objects.visible_to(ada, permission).exists()


@pytest.mark.parametrize("permission", list(Permission))
def test_deactivated_person_may_nothing(permission: Permission) -> None:
    gone = factories.make_user("gone", is_active=False, is_superuser=True)
    assert not access.can(gone, permission, factories.make_host())


def test_host_in_two_groups_has_the_rights_of_both(ada: User) -> None:
    one, two = HostGroup.objects.create(name="one"), HostGroup.objects.create(name="two")
    host = factories.make_host(groups=(one, two))
    factories.grant(ada, "viewer", one)
    factories.grant(ada, "operator", two)
    assert access.can(ada, Permission.PULL, host)
    host.groups.remove(two)
    assert not access.can(fresh(ada), Permission.PULL, host)


def test_role_without_view_shows_nothing(ada: User) -> None:
    group = HostGroup.objects.create(name="ci")
    host = factories.make_host(groups=(group,))
    role = Role.objects.create(slug="blind", name="Blind", permissions=["remove"])
    factories.grant(ada, "viewer", None).delete()
    team = ada.teams.get()
    team.grants.create(role=role, group=group)
    with pytest.raises(Http404):
        access.access_host(fresh(ada), host.pk, Permission.REMOVE)


def test_invisible_is_not_found_and_forbidden_says_what_is_missing(ada: User) -> None:
    group = HostGroup.objects.create(name="ci")
    seen, unseen = factories.make_host(groups=(group,)), factories.make_host()
    factories.grant(ada, "viewer", group)
    with pytest.raises(Http404):
        access.access_host(ada, unseen.pk)
    with pytest.raises(PermissionDenied, match="Remove"):
        access.access_host(ada, seen.pk, Permission.REMOVE)


def test_audit_entries_of_no_host_are_for_who_manages_teams(ada: User) -> None:
    group = HostGroup.objects.create(name="ci")
    seen, unseen = factories.make_host(groups=(group,)), factories.make_host()
    for host in (seen, unseen, None):
        AuditEntry.objects.create(action="host.edit", host=host)
    factories.grant(ada, "admin", group)
    assert [entry.host for entry in AuditEntry.objects.visible_to(ada)] == [seen]
    assert AuditEntry.objects.visible_to(factories.make_admin()).count() == 3


class TestMovingAHost:
    """A group decides who may do what on its hosts, so a move is a change of rights."""

    @pytest.fixture
    def groups(self) -> tuple[HostGroup, HostGroup]:
        return HostGroup.objects.create(name="mine"), HostGroup.objects.create(name="theirs")

    def test_manager_of_a_group_does_not_move_its_host_into_another(
        self, ada: User, groups: tuple[HostGroup, HostGroup]
    ) -> None:
        host = factories.make_host(groups=(groups[0],))
        factories.grant(ada, "admin", groups[0])
        with pytest.raises(PermissionDenied):
            access.check_group_change(ada, host, groups)

    def test_manager_of_a_group_does_not_take_its_host_out_of_another(
        self, ada: User, groups: tuple[HostGroup, HostGroup]
    ) -> None:
        host = factories.make_host(groups=groups)
        factories.grant(ada, "admin", groups[0])
        with pytest.raises(PermissionDenied):
            access.check_group_change(ada, host, [groups[0]])

    def test_manager_of_both_groups_moves_a_host(
        self, ada: User, groups: tuple[HostGroup, HostGroup]
    ) -> None:
        host = factories.make_host(groups=(groups[0],))
        for group in groups:
            factories.grant(ada, "admin", group)
        access.check_group_change(ada, host, [groups[1]])

    def test_nobody_gains_a_permission_by_a_move(
        self, ada: User, groups: tuple[HostGroup, HostGroup]
    ) -> None:
        """Manager of both, but may remove images only in the second group."""
        host = factories.make_host(groups=(groups[0],))
        keeper = Role.objects.create(slug="keeper", name="Keeper", permissions=["view", "manage_host"])
        factories.grant(ada, "admin", groups[1])
        ada.teams.get().grants.create(role=keeper, group=groups[0])
        with pytest.raises(PermissionDenied):
            access.check_group_change(fresh(ada), host, groups)

    def test_who_manages_all_hosts_moves_any(self, groups: tuple[HostGroup, HostGroup]) -> None:
        host = factories.make_host(groups=(groups[0],))
        access.check_group_change(factories.make_admin(), host, [groups[1]])
