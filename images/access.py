"""Who may do what on which host: the one table, and the one way in from a view.

Invisible is 404, forbidden is 403: who may not view a host must not learn that it exists.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404
from django.utils.translation import gettext as _

from images.models.host import Host, HostCheck, HostGroup
from images.models.image import Copy, Image, Pin
from images.models.job import Job
from images.models.people import Grant, Permission, User
from images.models.upload import Upload

P = Permission

# The roles that come with Drydock; a migration writes them and an admin may add more beside them.
BUILT_IN_ROLES: dict[str, tuple[str, frozenset[Permission]]] = {
    "viewer": ("Viewer", frozenset({P.VIEW})),
    "operator": ("Operator", frozenset({P.VIEW, P.PULL, P.TAG, P.PUSH})),
    "maintainer": (
        "Maintainer",
        frozenset({P.VIEW, P.PULL, P.TAG, P.PUSH, P.BUILD, P.REMOVE, P.RUN_CLEANUP, P.EDIT_POLICIES}),
    ),
    "admin": ("Admin", frozenset(Permission)),
}

HostScope = frozenset[int] | None
"""Host ids, or None for every host."""

M = TypeVar("M", bound=models.Model)
Q_ = TypeVar("Q_", bound="models.QuerySet[Any]")


def _grants(user: User) -> list[tuple[frozenset[str], int | None]]:
    """The user's (permissions, group id) pairs; read once per user object, so once per request."""
    cached: list[tuple[frozenset[str], int | None]] | None = getattr(user, "_drydock_grants", None)
    if cached is None:
        rows = Grant.objects.filter(team__members=user).values_list("role__permissions", "group_id")
        cached = [(frozenset(permissions), group_id) for permissions, group_id in rows]
        user._drydock_grants = cached  # type: ignore[attr-defined]
    return cached


def host_scope(user: User, permission: Permission | str) -> HostScope:
    """The ids of the hosts on which the user has the permission; None means every host, now and later."""
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return None
    groups = {group for permissions, group in _grants(user) if str(permission) in permissions}
    if None in groups:
        return None
    if not groups:
        return frozenset()
    # Most permissions come with the same grants, so it is the groups that are looked up once.
    scopes: dict[frozenset[int], frozenset[int]] = user.__dict__.setdefault("_drydock_scopes", {})
    key = frozenset(group for group in groups if group is not None)
    if key not in scopes:
        scopes[key] = frozenset(Host.objects.filter(groups__in=key).values_list("id", flat=True))
    return scopes[key]


def can(user: User, permission: Permission | str, host: Host | int) -> bool:
    """Whether the user has the permission on this host."""
    scope = host_scope(user, permission)
    return scope is None or (host if isinstance(host, int) else host.pk) in scope


@dataclass(frozen=True)
class HostRights:
    """What a person may do on one host, and which grants say so."""

    host: Host
    permissions: frozenset[Permission]
    grants: tuple[Grant, ...]


def rights(user: User, hosts: Iterable[Host]) -> list[HostRights]:
    """What the person may do on each host and why; `hosts` come with their groups prefetched."""
    grants = list(Grant.objects.filter(team__members=user).select_related("team", "role", "group"))
    return [_rights_on(user, host, grants) for host in hosts]


def _rights_on(user: User, host: Host, grants: list[Grant]) -> HostRights:
    groups = {group.pk for group in host.groups.all()}
    reasons = tuple(grant for grant in grants if grant.group_id is None or grant.group_id in groups)
    return HostRights(host, frozenset(p for p in Permission if can(user, p, host)), reasons)


def groups_for(user: User, permission: Permission | str) -> "models.QuerySet[HostGroup]":
    """The groups on which a grant gives the permission; every group for who has it everywhere."""
    scope = group_scope(user, permission)
    return HostGroup.objects.all() if scope is None else HostGroup.objects.filter(pk__in=scope)


def group_scope(user: User, permission: Permission | str) -> frozenset[int] | None:
    """The ids of those groups; None means every group. Costs no query once the grants are read."""
    if can_everywhere(user, permission):
        return None
    if not user.is_active:
        return frozenset()
    return frozenset(
        group for permissions, group in _grants(user) if str(permission) in permissions and group
    )


def check_group_change(user: User, host: Host, groups: Iterable[HostGroup]) -> None:
    """Raises PermissionDenied unless the user may make these the host's groups.

    A group decides who may do what on its hosts. So who moves a host needs "manage hosts" on every group it
    enters or leaves, and may not gain a permission on it through a group it enters.
    """
    before = set(host.groups.values_list("pk", flat=True)) if host.pk else set()
    after = {group.pk for group in groups}
    own = set(groups_for(user, Permission.MANAGE_HOST).values_list("pk", flat=True))
    held = {str(p) for p in Permission if can(user, p, host)} if host.pk else set(Permission)
    gained = {p for permissions, group in _grants(user) if group in after - before for p in permissions}
    if (before ^ after) - own or (not user.is_superuser and gained - held):
        raise PermissionDenied(_("You may not move this host into or out of that group. Ask an admin."))


def can_everywhere(user: User, permission: Permission | str) -> bool:
    """Whether the permission holds on every host: needed for what belongs to no single host."""
    return host_scope(user, permission) is None


def can_anywhere(user: User, permission: Permission | str) -> bool:
    """Whether the permission holds on at least one host; for showing or hiding a button."""
    scope = host_scope(user, permission)
    return scope is None or bool(scope)


def restrict_hosts(queryset: Q_, user: User, permission: Permission | str) -> Q_:
    scope = host_scope(user, permission)
    return queryset if scope is None else queryset.filter(pk__in=scope)


def restrict_by_host(queryset: Q_, user: User, permission: Permission | str) -> Q_:
    """For models with a `host` foreign key."""
    scope = host_scope(user, permission)
    return queryset if scope is None else queryset.filter(host_id__in=scope)


def restrict_audit(queryset: Q_, user: User, permission: Permission | str) -> Q_:
    visible = restrict_by_host(queryset, user, permission)
    if can_everywhere(user, Permission.MANAGE_TEAM):
        return queryset
    return visible.filter(host__isnull=False)


def restrict_pins(queryset: Q_, user: User, permission: Permission | str) -> Q_:
    """A pin for every host is visible where its image is; to change one needs the permission on all hosts."""
    scope = host_scope(user, permission)
    if scope is None:
        return queryset
    if permission != Permission.VIEW:
        return queryset.filter(host_id__in=scope)
    seen = Copy.objects.filter(image=models.OuterRef("image"), host_id__in=scope)
    return queryset.filter(models.Q(host_id__in=scope) | models.Q(models.Exists(seen), host=None))


def _access(queryset: "models.QuerySet[M]", user: User, permission: Permission | str, pk: int) -> M:
    found = restrict_by_host(queryset.filter(pk=pk), user, Permission.VIEW).first()
    if found is None:
        raise Http404
    _require_on_host(user, permission, found.host_id)  # type: ignore[attr-defined]
    return found


def _require_on_host(user: User, permission: Permission | str, host: Host | int) -> None:
    if not can(user, permission, host):
        raise PermissionDenied(
            _("You see this host, but this needs the permission “%(permission)s” on it. Ask an admin for it.")
            % {"permission": Permission(permission).label}
        )


def access_host(user: User, pk: int, permission: Permission | str = Permission.VIEW) -> Host:
    """The host, or Http404 when invisible, PermissionDenied when visible but not allowed."""
    host = restrict_hosts(Host.objects.filter(pk=pk), user, Permission.VIEW).first()
    if host is None:
        raise Http404
    _require_on_host(user, permission, host)
    return host


def access_host_check(user: User, pk: int) -> HostCheck:
    """A check is its starter's alone: an address that was tried is nobody else's business."""
    check = HostCheck.objects.filter(pk=pk, created_by=user).first()
    if check is None:
        raise Http404
    return check


def access_copy(user: User, pk: int, permission: Permission | str = Permission.VIEW) -> Copy:
    return _access(Copy.objects.select_related("host", "image"), user, permission, pk)


def access_job(user: User, pk: int, permission: Permission | str = Permission.VIEW) -> Job:
    return _access(Job.objects.select_related("host", "created_by"), user, permission, pk)


def access_image(user: User, pk: int) -> Image:
    """An image is visible where at least one of its copies is."""
    copies = restrict_by_host(Copy.objects.filter(image=pk), user, Permission.VIEW)
    image = Image.objects.filter(pk=pk).filter(models.Exists(copies)).first()
    if image is None:
        raise Http404
    return image


def access_pin(user: User, pk: int, permission: Permission | str = Permission.VIEW) -> Pin:
    """A pin for every host needs the permission on every host."""
    visible = restrict_pins(Pin.objects.select_related("host", "image", "created_by"), user, Permission.VIEW)
    pin = visible.filter(pk=pk).first()
    if pin is None:
        raise Http404
    if pin.host is not None:
        _require_on_host(user, permission, pin.host)
    elif permission != Permission.VIEW:
        access_everywhere(user, permission)
    return pin


def access_upload(user: User, pk: UUID) -> Upload:
    """What somebody sent for a build is that person's alone."""
    upload = Upload.objects.filter(pk=pk, created_by=user).first()
    if upload is None:
        raise Http404
    return upload


def access_everywhere(user: User, permission: Permission | str) -> None:
    """Raises PermissionDenied unless the user has the permission on every host (team pages, adding hosts)."""
    if not can_everywhere(user, permission):
        raise PermissionDenied(
            _("This needs the permission “%(permission)s” on all hosts. Ask an admin for it.")
            % {"permission": Permission(permission).label}
        )


def access_anywhere(user: User, permission: Permission | str) -> None:
    """Raises PermissionDenied unless the user has the permission on some host."""
    if not can_anywhere(user, permission):
        raise PermissionDenied(
            _("This needs the permission “%(permission)s” on some host. Ask an admin for it.")
            % {"permission": Permission(permission).label}
        )


def may_see_registries(user: User) -> bool:
    """Whether the names and prefixes of accounts are of use to this person. Costs no query of its own."""
    if user.is_superuser or not user.is_active:
        return user.is_active
    wanted = {str(permission) for permission in (Permission.PULL, Permission.PUSH, Permission.MANAGE_HOST)}
    return any(wanted & permissions for permissions, _group in _grants(user))


def access_registries(user: User) -> None:
    """Raises PermissionDenied unless the user may pull or push somewhere."""
    if not may_see_registries(user):
        raise PermissionDenied(_("Registries are for people who may pull or push images. Ask an admin."))
