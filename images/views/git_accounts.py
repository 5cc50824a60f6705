"""Git accounts, which stand on the page of registries; who manages all hosts may change them."""

from typing import Any

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from images import access
from images.accounts import git_accounts as services
from images.errors import UserError
from images.forms.git_accounts import GitAccountForm
from images.models import GitAccount, Permission, User
from images.views.dialogs import dialog, go_to
from images.views.requests import SignedInRequest

_form_methods = require_http_methods(["GET", "HEAD", "POST"])
_secret = sensitive_post_parameters("password")


def _account(user: User, pk: int) -> GitAccount:
    """One that the user may change."""
    access.access_everywhere(user, Permission.MANAGE_HOST)
    found = GitAccount.objects.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


@_secret
@_form_methods
def git_account_add(request: SignedInRequest) -> HttpResponse:
    access.access_everywhere(request.user, Permission.MANAGE_HOST)
    form, error = GitAccountForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        try:
            services.git_account_add(by=request.user, **form.values())
            return go_to(request, reverse("images:registry-list"))
        except UserError as refused:
            error = refused
    return _form(request, title=_("Add a git account"), submit=_("Add"), form=form, error=error)


@_secret
@_form_methods
def git_account_edit(request: SignedInRequest, *, pk: int) -> HttpResponse:
    account, error = _account(request.user, pk), None
    title = _("Edit %(name)s") % {"name": account}
    form = GitAccountForm(request.POST or None, account=account)
    if request.method == "POST" and form.is_valid():
        try:
            services.git_account_edit(by=request.user, account=account, **form.values())
            return go_to(request, reverse("images:registry-list"))
        except UserError as refused:
            error = refused
    return _form(request, title=title, submit=_("Save"), form=form, error=error)


@_form_methods
def git_account_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    account = _account(request.user, pk)
    if request.method == "POST":
        services.git_account_remove(by=request.user, account=account)
        return go_to(request, reverse("images:registry-list"))
    title = _("Remove %(name)s?") % {"name": account}
    text = _(
        "Drydock forgets the account. From then on repositories below %(prefix)s are fetched with the next shorter "
        "prefix, or without an account. What was built stays as it is."
    ) % {"prefix": account.prefix}
    return _dialog(request, title=title, text=text, submit=_("Remove git account"), danger=True)


def _form(request: SignedInRequest, **context: Any) -> HttpResponse:
    text = _(
        "Who may build on any host can read, through a build, what this account can read: give it a token that may "
        "only read, and only what is to be built."
    )
    return _dialog(request, text=text, **context)


def _dialog(request: SignedInRequest, **context: Any) -> HttpResponse:
    return dialog(request, back=reverse("images:registry-list"), **context)
