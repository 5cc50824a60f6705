"""Registries, and git accounts below: who may use one sees its name and prefix; who manages all hosts may change it."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from images import access
from images.accounts import registries as services
from images.accounts.git_accounts import is_address, place_of
from images.accounts.prefixes import longest
from images.errors import UserError
from images.forms.registries import RegistryForm, TryOutForm
from images.models import GitAccount, Permission, Registry, User
from images.views.dialogs import dialog, go_to
from images.views.requests import SignedInRequest

_form_methods = require_http_methods(["GET", "HEAD", "POST"])
_secret = sensitive_post_parameters("password")


def _registry(user: User, pk: int) -> Registry:
    """One that the user may change. Their names are no secret for who may use them, for others they are."""
    access.access_registries(user)
    access.access_everywhere(user, Permission.MANAGE_HOST)
    found = Registry.objects.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


@require_GET
def registry_list(request: SignedInRequest) -> HttpResponse:
    access.access_registries(request.user)
    registries = list(Registry.objects.defer("password", "ca"))
    git_accounts = list(GitAccount.objects.defer("password", "ca"))
    form = TryOutForm(request.GET if "used_for" in request.GET else None)
    context: dict[str, Any] = {
        "registries": registries,
        "git_accounts": git_accounts,
        "is_trying": any(registry.checked_at is None for registry in registries),
        "may_edit": access.can_everywhere(request.user, Permission.MANAGE_HOST),
        "form": form,
    }
    if form.is_valid() and (name := form.cleaned_data["used_for"]):
        is_git = is_address(name)
        place = place_of(name) if is_git else services.full_repository(name)
        used = longest(git_accounts, place) if is_git else longest(registries, place)
        context |= {"place": place, "used": used, "asked": "git" if is_git else "image"}
    return render(request, f"images/registry_list.html{_fragment(request)}", context)


def _fragment(request: SignedInRequest) -> str:
    if not request.htmx or request.htmx.history_restore_request:
        return ""
    return "#answer" if request.htmx.target == "answer" else "#registries"


@_secret
@_form_methods
def registry_add(request: SignedInRequest) -> HttpResponse:
    access.access_registries(request.user)
    access.access_everywhere(request.user, Permission.MANAGE_HOST)
    form, error = RegistryForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        try:
            services.registry_add(by=request.user, **form.values())
            return go_to(request, reverse("images:registry-list"))
        except UserError as refused:
            error = refused
    return _dialog(request, title=_("Add a registry"), submit=_("Add and test"), form=form, error=error)


@_secret
@_form_methods
def registry_edit(request: SignedInRequest, *, pk: int) -> HttpResponse:
    registry, error = _registry(request.user, pk), None
    title = _("Edit %(name)s") % {"name": registry}
    form = RegistryForm(request.POST or None, account=registry)
    if request.method == "POST" and form.is_valid():
        try:
            services.registry_edit(by=request.user, registry=registry, **form.values())
            return go_to(request, reverse("images:registry-list"))
        except UserError as refused:
            error = refused
    return _dialog(request, title=title, submit=_("Save and test"), form=form, error=error)


@_form_methods
def registry_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    registry = _registry(request.user, pk)
    if request.method == "POST":
        services.registry_remove(by=request.user, registry=registry)
        return go_to(request, reverse("images:registry-list"))
    title = _("Remove %(name)s?") % {"name": registry}
    text = _(
        "Drydock forgets the account. From then on images below %(prefix)s are pulled and pushed with the next "
        "shorter prefix, or without an account. Images and the registry itself stay as they are."
    ) % {"prefix": registry.prefix}
    return _dialog(request, title=title, text=text, submit=_("Remove registry"), danger=True)


@require_POST
def registry_try(request: SignedInRequest, *, pk: int) -> HttpResponse:
    services.registry_try(by=request.user, registry=_registry(request.user, pk))
    return go_to(request, reverse("images:registry-list"))


def _dialog(request: SignedInRequest, **context: Any) -> HttpResponse:
    return dialog(request, back=reverse("images:registry-list"), **context)
