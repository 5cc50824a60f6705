"""Groups of hosts. Who manages every host may change them: a group decides who may do what on its hosts."""

from django.db.models import Prefetch
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from images import access
from images.forms.groups import GroupForm
from images.hosts import groups as services
from images.models import Grant, Host, HostGroup, Permission, User
from images.views.dialogs import dialog, go_to
from images.views.requests import SignedInRequest

_form_methods = require_http_methods(["GET", "HEAD", "POST"])


def _group(user: User, pk: int) -> HostGroup:
    """A group the user sees, else Http404; changing it needs "manage hosts" everywhere."""
    if not access.groups_for(user, Permission.VIEW).filter(pk=pk).exists():
        raise Http404
    access.access_everywhere(user, Permission.MANAGE_HOST)
    return get_object_or_404(HostGroup, pk=pk)


@require_safe
def group_list(request: SignedInRequest) -> HttpResponse:
    user = request.user
    hosts = Prefetch("hosts", Host.objects.visible_to(user).only("pk", "name", "state"))
    grants = Prefetch("grants", Grant.objects.select_related("team", "role"))
    groups = access.groups_for(user, Permission.VIEW).prefetch_related(hosts, grants)
    context = {"groups": groups, "may_see_teams": access.can_everywhere(user, Permission.MANAGE_TEAM)}
    return render(request, "images/group_list.html", context)


@_form_methods
def group_add(request: SignedInRequest) -> HttpResponse:
    access.access_everywhere(request.user, Permission.MANAGE_HOST)
    form = GroupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.group_add(by=request.user, **form.cleaned_data)
        return go_to(request, reverse("images:group-list"))
    return dialog(
        request, title=_("Add a group"), submit=_("Add"), form=form, back=reverse("images:group-list")
    )


@_form_methods
def group_edit(request: SignedInRequest, *, pk: int) -> HttpResponse:
    group = _group(request.user, pk)
    form = GroupForm(
        request.POST or None, group=group, initial={"name": group.name, "hosts": group.hosts.all()}
    )
    if request.method == "POST" and form.is_valid():
        services.group_edit(by=request.user, group=group, **form.cleaned_data)
        return go_to(request, reverse("images:group-list"))
    title = _("Edit the group %(name)s") % {"name": group}
    return dialog(request, title=title, submit=_("Save"), form=form, back=reverse("images:group-list"))


@_form_methods
def group_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    group = _group(request.user, pk)
    if request.method == "POST":
        services.group_remove(by=request.user, group=group)
        return go_to(request, reverse("images:group-list"))
    text = _("The hosts stay. Teams lose the rights they have through this group, and policies no longer reach its hosts through it.")  # fmt: skip  # noqa: E501
    points = [_("%(team)s loses the role %(role)s") % {"team": g.team, "role": g.role} for g in group.grants.select_related("team", "role")]  # fmt: skip  # noqa: E501
    title = _("Remove the group %(name)s?") % {"name": group}
    back = reverse("images:group-list")
    return dialog(
        request, title=title, text=text, points=points, submit=_("Remove group"), danger=True, back=back
    )
