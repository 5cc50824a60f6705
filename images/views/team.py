"""The Team pages: people, teams, and what a team may do where. All need "manage teams" on every host."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from images import access
from images.errors import UserError, explain
from images.forms.team import FirstPasswordForm, GrantForm, TeamForm, UserAddForm, UserTeamsForm
from images.models import Grant, Host, Permission, Role, Team, User
from images.people import team as services
from images.views.dialogs import dialog, go_to
from images.views.requests import SignedInRequest

View = Callable[..., HttpResponse]
_form_methods = require_http_methods(["GET", "HEAD", "POST"])


def managers_only(view: View) -> View:
    @wraps(view)
    def guarded(request: SignedInRequest, **kwargs: Any) -> HttpResponse:
        access.access_everywhere(request.user, Permission.MANAGE_TEAM)
        return view(request, **kwargs)

    return guarded


@require_safe
@managers_only
def team(request: SignedInRequest) -> HttpResponse:
    context = {
        "people": User.objects.prefetch_related("teams"),
        "admin_ids": set(services.admins().values_list("pk", flat=True)),
        "teams": Team.objects.annotate(member_count=Count("members"))
        .order_by("name")
        .prefetch_related("grants__role", "grants__group"),
        "roles": Role.objects.all(),
        "permissions": Permission.choices,
    }
    return render(request, "images/team.html", context)


@sensitive_post_parameters("password")
@_form_methods
@managers_only
def user_add(request: SignedInRequest) -> HttpResponse:
    form = UserAddForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = services.user_add(by=request.user, **form.cleaned_data)
        return go_to(request, reverse("images:user-detail", args=[user.pk]))
    return dialog(request, title=_("Add a person"), submit=_("Add"), form=form, back=reverse("images:team"))


@require_safe
@managers_only
def user_detail(request: SignedInRequest, *, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    hosts = Host.objects.only("pk", "name").prefetch_related("groups")
    teams = person.teams.prefetch_related("grants__role", "grants__group")
    rights = access.rights(person, hosts)
    everywhere = [permission for permission in Permission if access.can_everywhere(person, permission)]
    context = {
        "person": person,
        "teams": teams,
        "has_role": any(team.grants.all() for team in teams),
        "rights": rights,
        "permissions": list(Permission),
        "everywhere": everywhere,
        "may_anything": bool(everywhere) or any(right.permissions for right in rights),
        "is_admin": services.admins().filter(pk=pk).exists(),
    }
    return render(request, "images/user_detail.html", context)


@_form_methods
@managers_only
def user_active(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """Deactivates an active person and lets an inactive one in again."""
    person = get_object_or_404(User, pk=pk)
    back, error = reverse("images:user-detail", args=[pk]), None
    if request.method == "POST":
        try:
            is_active = request.POST.get("is_active") == "true"
            services.user_active_set(by=request.user, user=person, is_active=is_active)
            return go_to(request, back)
        except UserError as problem:
            error = problem
            person.refresh_from_db()
    return dialog(request, error=error, back=back, **_active_words(person))


def _active_words(person: User) -> dict[str, Any]:
    if person.is_active:
        return {
            "title": _("Deactivate %(name)s?") % {"name": person},
            "text": _("They are signed out at once and can not sign in again. Their past stays in the log."),
            "submit": _("Deactivate"), "danger": True, "hidden": {"is_active": "false"},
        }  # fmt: skip
    return {
        "title": _("Activate %(name)s?") % {"name": person},
        "text": _("They can sign in again and have the rights of their teams."),
        "submit": _("Activate"), "hidden": {"is_active": "true"},
    }  # fmt: skip


@sensitive_post_parameters("password")
@_form_methods
@managers_only
def user_password(request: SignedInRequest, *, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    form, error = FirstPasswordForm(request.POST or None), None
    back = reverse("images:user-detail", args=[pk])
    if request.method == "POST" and form.is_valid():
        try:
            services.user_password_set(by=request.user, user=person, password=form.cleaned_data["password"])
            return go_to(request, back)
        except UserError as problem:
            error = problem
    title = _("New password for %(name)s") % {"name": person}
    return dialog(request, title=title, submit=_("Set password"), form=form, error=error, back=back)


@_form_methods
@managers_only
def user_teams(request: SignedInRequest, *, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    form, error = UserTeamsForm(request.POST or None, initial={"teams": person.teams.all()}), None
    back = reverse("images:user-detail", args=[pk])
    if request.method == "POST" and form.is_valid():
        try:
            services.user_teams_set(by=request.user, user=person, teams=form.cleaned_data["teams"])
            return go_to(request, back)
        except UserError as problem:
            error = problem
    title = _("Teams of %(name)s") % {"name": person}
    return dialog(request, title=title, submit=_("Save"), form=form, error=error, back=back)


@_form_methods
@managers_only
def team_add(request: SignedInRequest) -> HttpResponse:
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        added = services.team_add(by=request.user, **form.cleaned_data)
        return go_to(request, reverse("images:team-edit", args=[added.pk]))
    return dialog(request, title=_("Add a team"), submit=_("Add"), form=form, back=reverse("images:team"))


@_form_methods
@managers_only
def team_edit(request: SignedInRequest, *, pk: int) -> HttpResponse:
    found = get_object_or_404(Team, pk=pk)
    initial = {"name": found.name, "members": found.members.all()}
    form, error = TeamForm(request.POST or None, team=found, initial=initial), None
    if request.method == "POST" and form.is_valid():
        try:
            services.team_edit(by=request.user, team=found, **form.cleaned_data)
            return go_to(request, reverse("images:team"))
        except UserError as problem:
            error = problem
            found.refresh_from_db()
    grants = found.grants.select_related("role", "group")
    return render(
        request,
        "images/team_edit.html",
        {"team": found, "form": form, "error": error and explain(error.code, error.values), "grants": grants},
    )


@_form_methods
@managers_only
def team_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    found = get_object_or_404(Team, pk=pk)
    error = None
    if request.method == "POST":
        try:
            services.team_remove(by=request.user, team=found)
            return go_to(request, reverse("images:team"))
        except UserError as problem:
            error = problem
    title = _("Remove the team %(name)s?") % {"name": found}
    text = _("Its members stay, but lose the rights they have through this team.")
    back = reverse("images:team-edit", args=[pk])
    return dialog(
        request, title=title, text=text, submit=_("Remove team"), danger=True, error=error, back=back
    )


@_form_methods
@managers_only
def grant_add(request: SignedInRequest, *, pk: int) -> HttpResponse:
    found = get_object_or_404(Team, pk=pk)
    form, error = GrantForm(request.POST or None), None
    back = reverse("images:team-edit", args=[pk])
    if request.method == "POST" and form.is_valid():
        try:
            services.grant_add(by=request.user, team=found, **form.cleaned_data)
            return go_to(request, back)
        except UserError as problem:
            error = problem
    title = _("Give %(team)s a role") % {"team": found}
    return dialog(request, title=title, submit=_("Give"), form=form, error=error, back=back)


@_form_methods
@managers_only
def grant_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    found = get_object_or_404(Grant.objects.select_related("team", "role", "group"), pk=pk)
    back, error = reverse("images:team-edit", args=[found.team_id]), None
    if request.method == "POST":
        try:
            services.grant_remove(by=request.user, grant=found)
            return go_to(request, back)
        except UserError as problem:
            error = problem
    title = _("Take the role %(role)s from %(team)s?") % {"role": found.role, "team": found.team}
    where = found.group.name if found.group else _("all hosts")
    text = _("Its members lose what they may do through it on: %(where)s.") % {"where": where}
    return dialog(
        request, title=title, text=text, submit=_("Take the role"), danger=True, error=error, back=back
    )
