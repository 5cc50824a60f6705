"""People, teams, grants: the pages of admins, and that an admin always stays."""

import re

import pytest
from django.test import Client

from images import access
from images.errors import UserError
from images.models import AuditEntry, Grant, HostGroup, Permission, Role, Team, User
from images.people import team
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin_client(client: Client) -> Client:
    client.force_login(factories.make_admin("root"))
    return client


def test_migration_wrote_the_built_in_roles() -> None:
    written = {role.slug: (role.name, set(role.permissions)) for role in Role.objects.all()}
    said = {
        slug: (name, {str(p) for p in allowed}) for slug, (name, allowed) in access.BUILT_IN_ROLES.items()
    }
    assert written == said


def test_added_person_has_to_choose_a_password(admin_client: Client) -> None:
    platform = Team.objects.create(name="Platform")
    values = {"username": "ada", "password": "passed-on-in-private", "teams": [platform.pk]}
    admin_client.post("/team/users/add/", values)
    user = User.objects.get(username="ada")
    assert user.must_change_password
    assert user.check_password("passed-on-in-private")
    assert list(user.teams.all()) == [platform]
    assert AuditEntry.objects.filter(action="user.add", target="ada").exists()


def test_audit_log_never_holds_a_password(admin_client: Client) -> None:
    admin_client.post("/team/users/add/", {"username": "ada", "password": "passed-on-in-private"})
    user = User.objects.get(username="ada")
    admin_client.post(f"/team/users/{user.pk}/password/", {"password": "another-one-in-private"})
    assert "in-private" not in str(list(AuditEntry.objects.values()))


def test_weak_first_password_is_refused(admin_client: Client) -> None:
    page = admin_client.post("/team/users/add/", {"username": "ada", "password": "123"}).content.decode()
    assert "This password is too short" in page
    assert not User.objects.filter(username="ada").exists()


def test_name_that_differs_only_in_case_is_refused(admin_client: Client) -> None:
    factories.make_user("ada")
    admin_client.post("/team/users/add/", {"username": "Ada", "password": "passed-on-in-private"})
    assert User.objects.filter(username__iexact="ada").count() == 1


def test_deactivated_person_is_signed_out_and_stays_out(admin_client: Client) -> None:
    user = factories.make_user("ada")
    other = Client()
    other.force_login(user)
    admin_client.post(f"/team/users/{user.pk}/active/", {"is_active": "false"})
    assert other.get("/hosts/").status_code == 302
    assert not other.login(username="ada", password="a long password")
    admin_client.post(f"/team/users/{user.pk}/active/", {"is_active": "true"})
    assert User.objects.get(pk=user.pk).is_active


def test_new_password_signs_the_person_out(admin_client: Client) -> None:
    user = factories.make_user("ada")
    other = Client()
    other.force_login(user)
    admin_client.post(f"/team/users/{user.pk}/password/", {"password": "passed-on-in-private"})
    assert other.get("/hosts/").status_code == 302


def test_admin_does_not_set_the_own_password_without_the_old_one(admin_client: Client) -> None:
    root = User.objects.get(username="root")
    page = admin_client.post(f"/team/users/{root.pk}/password/", {"password": "passed-on-in-private"})
    assert "This is your own account." in page.content.decode()
    assert User.objects.get(pk=root.pk).check_password("a long password")


class TestLastAdmin:
    def test_last_superuser_is_not_deactivated(self, admin_client: Client) -> None:
        root = User.objects.get(username="root")
        page = admin_client.post(f"/team/users/{root.pk}/active/", {"is_active": "false"}).content.decode()
        assert "Nobody would be left who may manage teams." in page
        assert User.objects.get(pk=root.pk).is_active
        assert not AuditEntry.objects.filter(action="user.deactivate").exists()

    @pytest.fixture
    def lone_admin(self) -> User:
        """An admin by a grant, with no superuser beside."""
        ada = factories.make_user("ada")
        factories.grant(ada, "admin")
        return ada

    def test_last_admin_grant_is_not_removed(self, lone_admin: User) -> None:
        with pytest.raises(UserError, match="Nobody would be left"):
            team.grant_remove(by=lone_admin, grant=Grant.objects.get())
        assert Grant.objects.exists()

    def test_last_admin_team_is_not_removed(self, lone_admin: User) -> None:
        with pytest.raises(UserError):
            team.team_remove(by=lone_admin, team=Team.objects.get())
        assert Team.objects.exists()

    def test_last_admin_does_not_leave_the_team(self, lone_admin: User) -> None:
        found = Team.objects.get()
        with pytest.raises(UserError):
            team.team_edit(by=lone_admin, team=found, name="renamed", members=[])
        with pytest.raises(UserError):
            team.user_teams_set(by=lone_admin, user=lone_admin, teams=[])
        assert Team.objects.get().members.get() == lone_admin

    def test_an_inactive_admin_does_not_count(self, lone_admin: User) -> None:
        factories.make_user("gone", is_superuser=True, is_active=False)
        with pytest.raises(UserError):
            team.user_active_set(by=lone_admin, user=lone_admin, is_active=False)

    def test_an_admin_of_one_group_does_not_count(self, lone_admin: User) -> None:
        from images.models import HostGroup

        factories.grant(factories.make_user("bob"), "admin", HostGroup.objects.create(name="ci"))
        with pytest.raises(UserError):
            team.user_active_set(by=lone_admin, user=lone_admin, is_active=False)

    def test_one_of_two_admins_may_go(self, lone_admin: User) -> None:
        factories.make_admin()
        team.user_active_set(by=lone_admin, user=lone_admin, is_active=False)
        assert not User.objects.get(pk=lone_admin.pk).is_active


def test_team_is_renamed_and_its_members_change(admin_client: Client) -> None:
    ada, found = factories.make_user("ada"), Team.objects.create(name="Old")
    admin_client.post(f"/team/{found.pk}/", {"name": "New", "members": [ada.pk]})
    found.refresh_from_db()
    assert (found.name, list(found.members.all())) == ("New", [ada])


def test_team_name_is_taken_once(admin_client: Client) -> None:
    Team.objects.create(name="Platform")
    page = admin_client.post("/team/add/", {"name": "platform"}).content.decode()
    assert "There is a team of this name already." in page


def test_grant_is_given_once_and_taken(admin_client: Client) -> None:
    found, viewer = Team.objects.create(name="Platform"), factories.role("viewer")
    url = f"/team/{found.pk}/grants/add/"
    admin_client.post(url, {"role": viewer.pk, "group": ""})
    assert "has the role Viewer there already" in admin_client.post(url, {"role": viewer.pk}).content.decode()
    grant = Grant.objects.get()
    assert grant.group is None
    admin_client.post(f"/team/grants/{grant.pk}/remove/")
    assert not Grant.objects.exists()


def test_admin_of_one_group_sees_no_team_page(client: Client) -> None:
    from images.models import HostGroup

    ada = factories.make_user("ada")
    factories.grant(ada, "admin", HostGroup.objects.create(name="ci"))
    client.force_login(ada)
    for url in ("/team/", "/team/add/", "/team/users/add/", f"/team/users/{ada.pk}/"):
        assert client.get(url).status_code == 403


def test_page_of_a_person_says_what_they_may_do_and_why(admin_client: Client) -> None:
    ci = HostGroup.objects.create(name="ci")
    factories.make_host("runner", groups=(ci,))
    ada = factories.make_user("ada")
    factories.grant(ada, "operator", ci)
    page = admin_client.get(f"/team/users/{ada.pk}/").content.decode()
    assert "runner" in page
    assert "Operator on ci" in page
    row = re.search(r"runner</a></th>(.*?)</tr>", page, re.DOTALL)
    assert row
    shown = re.findall(r'visually-hidden">(yes|no)<', row[1])
    held = access.BUILT_IN_ROLES["operator"][1]
    assert shown == ["yes" if permission in held else "no" for permission in Permission]


@pytest.mark.parametrize("has_role", [False, True])
def test_person_who_may_nothing_is_told_so_with_what_helps(admin_client: Client, has_role: bool) -> None:
    factories.make_host("runner")
    ada = factories.make_user("ada")
    if has_role:
        factories.grant(ada, "operator", HostGroup.objects.create(name="nowhere"))
    page = admin_client.get(f"/team/users/{ada.pk}/").content.decode()
    assert ("no team of this person has a role" in page) is not has_role
    assert ("hold no host" in page) is has_role
    assert "Teams and roles" in page
    assert "runner" not in page, "a table of nothing but no"


def test_rights_shown_are_those_that_hold() -> None:
    from images.models import Host, HostGroup

    ci = HostGroup.objects.create(name="ci")
    factories.make_host("runner", groups=(ci,))
    factories.make_host("other")
    ada = factories.make_user("ada")
    factories.grant(ada, "maintainer", ci)
    factories.grant(ada, "viewer")
    shown = {r.host.name: r.permissions for r in access.rights(ada, Host.objects.prefetch_related("groups"))}
    assert shown["runner"] == access.BUILT_IN_ROLES["maintainer"][1]
    assert shown["other"] == {Permission.VIEW}


def test_team_page_needs_the_same_queries_for_many_people(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    for number in range(12):
        ada = factories.make_user(f"user{number}")
        factories.grant(ada, "viewer")
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        admin_client.get("/team/")
