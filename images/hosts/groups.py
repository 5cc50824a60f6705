"""Groups of hosts. Grants and policies name them, so every change is one of rights too."""

from collections.abc import Iterable

from django.db import transaction

from images import audit
from images.models import Host, HostGroup, User


@transaction.atomic
def group_add(*, by: User, name: str, hosts: Iterable[Host] = ()) -> HostGroup:
    group = HostGroup.objects.create(name=name)
    group.hosts.set(hosts)
    audit.record(by=by, action="group.add", target=name, hosts=_names(group))
    return group


@transaction.atomic
def group_edit(*, by: User, group: HostGroup, name: str, hosts: Iterable[Host]) -> None:
    before = HostGroup.objects.get(pk=group.pk).name
    group.name = name
    group.save(update_fields=["name"])
    group.hosts.set(hosts)
    audit.record(by=by, action="group.edit", target=name, before=before, hosts=_names(group))


@transaction.atomic
def group_remove(*, by: User, group: HostGroup) -> None:
    """The hosts stay; the grants on the group go, and policies lose it from their scope."""
    grants = [f"{grant.team}: {grant.role.slug}" for grant in group.grants.select_related("team", "role")]
    audit.record(by=by, action="group.remove", target=group.name, hosts=_names(group), grants=grants)
    group.delete()


def _names(group: HostGroup) -> list[str]:
    return list(group.hosts.values_list("name", flat=True))
