"""People, teams and grants: every change to who may do what.

No change may leave Drydock without an active admin: nobody could undo it from a page.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import Q, QuerySet

from images import audit
from images.errors import UserError
from images.models import Grant, HostGroup, Permission, Role, Team, User


def admins() -> QuerySet[User]:
    """Active people who may manage teams everywhere."""
    # JSON containment is missing on SQLite, and there are only a few roles.
    roles = [role.pk for role in Role.objects.all() if Permission.MANAGE_TEAM in role.permissions]
    by_grant = Q(teams__grants__role__in=roles, teams__grants__group=None)
    return User.objects.filter(is_active=True).filter(Q(is_superuser=True) | by_grant).distinct()


@contextmanager
def _admin_stays() -> Iterator[None]:
    """Undoes the change when no active admin is left. Raises UserError `last_admin`.

    The lock makes two admins who take each other's rights at the same moment wait for one another.
    """
    with transaction.atomic():
        list(Role.objects.select_for_update().order_by("pk"))
        yield
        if not admins().exists():
            raise UserError("last_admin")


@transaction.atomic
def own_password_set(*, user: User, password: str) -> None:
    user.set_password(password)
    user.must_change_password = False
    user.save(update_fields=["password", "must_change_password"])
    audit.record(by=user, action="user.own_password", target=user.username)


def language_set(*, user: User, language: str) -> None:
    user.language = language
    user.save(update_fields=["language"])


@transaction.atomic
def user_add(
    *,
    by: User,
    username: str,
    password: str,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    teams: Iterable[Team] = (),
) -> User:
    """Adds a person who has to replace the password at the first sign-in."""
    user = User(username=username, first_name=first_name, last_name=last_name, email=email)
    user.set_password(password)
    user.must_change_password = True
    user.save()
    user.teams.set(teams)
    audit.record(by=by, action="user.add", target=username, teams=[team.name for team in user.teams.all()])
    return user


def user_active_set(*, by: User, user: User, is_active: bool) -> None:
    """Signs a person out for good, or lets them in again. Raises UserError `last_admin`."""
    with _admin_stays():
        user.is_active = is_active
        user.save(update_fields=["is_active"])
        audit.record(by=by, action="user.activate" if is_active else "user.deactivate", target=user.username)


@transaction.atomic
def user_password_set(*, by: User, user: User, password: str) -> None:
    """A new password from an admin; it ends the person's sessions and has to be replaced at the next sign-in.

    Raises UserError `own_password`: one's own is changed by who knows the old one.
    """
    if by == user:
        raise UserError("own_password")
    user.set_password(password)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    audit.record(by=by, action="user.password", target=user.username)


def user_teams_set(*, by: User, user: User, teams: Iterable[Team]) -> None:
    """Raises UserError `last_admin`."""
    with _admin_stays():
        user.teams.set(teams)
        names = [team.name for team in user.teams.all()]
        audit.record(by=by, action="user.teams", target=user.username, teams=names)


@transaction.atomic
def team_add(*, by: User, name: str, members: Iterable[User] = ()) -> Team:
    team = Team.objects.create(name=name)
    team.members.set(members)
    audit.record(by=by, action="team.add", target=name, members=_names(team))
    return team


def team_edit(*, by: User, team: Team, name: str, members: Iterable[User]) -> None:
    """Raises UserError `last_admin`."""
    with _admin_stays():
        before = Team.objects.get(pk=team.pk).name
        team.name = name
        team.save(update_fields=["name"])
        team.members.set(members)
        audit.record(by=by, action="team.edit", target=name, before=before, members=_names(team))


def team_remove(*, by: User, team: Team) -> None:
    """Its members stay, its grants go. Raises UserError `last_admin`."""
    with _admin_stays():
        grants = [
            f"{grant.role.slug} @ {grant.group or '*'}"
            for grant in team.grants.select_related("role", "group")
        ]
        audit.record(by=by, action="team.remove", target=team.name, members=_names(team), grants=grants)
        team.delete()


@transaction.atomic
def grant_add(*, by: User, team: Team, role: Role, group: HostGroup | None) -> Grant:
    """Gives the team the role on the group's hosts, or on every host. Raises UserError `grant_twice`."""
    grant, is_new = Grant.objects.get_or_create(team=team, role=role, group=group)
    if not is_new:
        raise UserError("grant_twice", team=team.name, role=str(role))
    audit.record(
        by=by, action="grant.add", target=team.name, role=role.slug, group=group.name if group else ""
    )
    return grant


def grant_remove(*, by: User, grant: Grant) -> None:
    """Raises UserError `last_admin`."""
    with _admin_stays():
        group = grant.group.name if grant.group else ""
        audit.record(by=by, action="grant.remove", target=grant.team.name, role=grant.role.slug, group=group)
        grant.delete()


def _names(team: Team) -> list[str]:
    return list(team.members.values_list("username", flat=True))
