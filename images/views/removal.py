"""Removing copies: the question with its figures, and the start of the jobs."""

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from images import access
from images.errors import UserError, explain
from images.forms.base import row_numbers
from images.models import Permission
from images.removal import references_mark, removal_start
from images.selection import Selection, selection_of
from images.views.dialogs import go_to
from images.views.fleet import selected
from images.views.jobs import jobs_url
from images.views.requests import SignedInRequest


@require_http_methods(["GET", "POST"])
def image_remove(request: SignedInRequest) -> HttpResponse:
    """Asks first, with what it frees and what is left out; with `confirm` starts one job per host.

    The question names the copies by id, so that what matches by the time of the answer changes nothing.
    """
    if not access.can_anywhere(request.user, Permission.REMOVE):
        raise PermissionDenied
    selection = selected(request) if request.method == "POST" else _of_address(request)
    if not request.POST.get("confirm"):
        return _question(request, selection)
    if request.POST.get("seen") != references_mark(selection.ids):
        return _question(request, selection, UserError("image_changed"))
    force = bool(request.POST.get("force"))
    try:
        jobs = removal_start(by=request.user, copies=selection.removable(force=force).copies, force=force)
    except UserError as error:
        return _question(request, selection, error)
    return go_to(request, jobs_url(jobs))


def _of_address(request: SignedInRequest) -> Selection:
    return selection_of(request.user, row_numbers(request.GET.getlist("copy")), None)


def _question(request: SignedInRequest, selection: Selection, error: UserError | None = None) -> HttpResponse:
    context = {
        "selection": selection,
        "going": selection.removable(force=False),
        "forced": selection.removable(force=True),
        "error": explain(error.code, error.values, error.raw) if error else None,
        "seen": references_mark(selection.ids),
        "title": _("Remove images"),
    }
    fragment = "#removal" if request.htmx else ""
    return render(request, f"images/image_remove.html{fragment}", context)
