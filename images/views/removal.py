"""Removing copies: the question with its figures, and the start of the jobs."""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from images import access
from images.errors import UserError, explain
from images.fleet.selection import Selection, selection_of
from images.forms.base import row_numbers
from images.forms.references import AlsoOnForm
from images.models import Copy, Permission
from images.removal import HostRemoval, holders, references_mark, removal_preview, removal_start
from images.templatetags.drydock import human_size
from images.views.dialogs import dialog, go_to
from images.views.fleet import selected
from images.views.jobs import jobs_url
from images.views.requests import SignedInRequest


@require_http_methods(["GET", "POST"])
def image_remove(request: SignedInRequest) -> HttpResponse:
    """Asks first, with what it frees and what is left out; with `confirm` starts one job per host.

    The question names the copies by id, so that what matches by the time of the answer changes nothing.
    """
    access.access_anywhere(request.user, Permission.REMOVE)
    try:
        selection = selected(request) if request.method == "POST" else _of_address(request)
    except UserError as error:
        return _question(request, selection_of(request.user, [], None), error)
    if not request.POST.get("confirm") or not selection.count:
        return _question(request, selection)
    if request.POST.get("seen") != references_mark(selection.ids):
        return _question(request, selection, UserError("image_changed"))
    force = bool(request.POST.get("force"))
    going = selection.removable(force=force)
    if not going.count:
        needs_force = not force and selection.removable(force=True).count
        # Where nothing can go any more, the question itself says why.
        return _question(request, selection, UserError("removal_needs_force") if needs_force else None)
    try:
        jobs = removal_start(by=request.user, copies=going.copies, force=force)
    except UserError as error:
        return _question(request, selection, error)
    return go_to(request, jobs_url(jobs))


@require_http_methods(["GET", "HEAD", "POST"])
def reference_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """`docker rmi repository:tag`: one reference of a copy, and the copy itself when it is its last one."""
    copy = access.access_copy(request.user, pk, Permission.REMOVE)
    name, error = request.GET.get("reference", ""), None
    names = [reference.name for reference in copy.references.all()]
    if name not in names:
        raise Http404
    [removal] = removal_preview(copies=[copy], references={pk: [name]})
    is_last = pk not in removal.takes
    others = holders(request.user, copy, name)
    form = AlsoOnForm(request.POST if request.method == "POST" else None, holders=others) if others else None
    # Whoever agreed to untag did not agree to lose the image, which is what it has come to meanwhile.
    is_agreed = request.method == "POST" and request.POST.get("is_last", "") == ("1" if is_last else "")
    if is_agreed and (form is None or form.is_valid()):
        copies = [copy, *(form.copies if form else ())]
        seen = {each.pk: [reference.name for reference in each.references.all()] for each in copies}
        seen[pk] = request.POST.get("seen", "").split()
        taken = {each.pk: [name] for each in copies}
        try:
            jobs = removal_start(by=request.user, copies=copies, references=taken, shown=seen)
            return go_to(request, jobs_url(jobs))
        except UserError as refused:
            error = refused
    return _reference_question(request, copy, removal, name, names, error, form)


def _reference_question(
    request: SignedInRequest,
    copy: Copy,
    removal: HostRemoval,
    name: str,
    names: list[str],
    error: UserError | None,
    form: AlsoOnForm | None,
) -> HttpResponse:
    is_last, values = copy.pk not in removal.takes, {"name": name, "host": copy.host}
    submit, points = _("Remove the reference"), [other for other in names if other != name]
    text = (
        _("This untags only and frees 0 B: the image stays on %(host)s, with its other references:") % values
    )
    if is_last and removal.in_use:
        submit, points = "", []
        text = _(
            "This is the last reference of the image on %(host)s, and a container uses it: an engine does not "
            "remove it. Remove the container first."
        )
    elif is_last:
        size = human_size(removal.freed.high)
        submit = _("Remove the image, free %(size)s") % {"size": size}
        text, points = _("This is its last reference on %(host)s, so the image goes."), []
    return dialog(
        request,
        title=_("Remove the reference %(name)s?") % values,
        text=text % values,
        points=points,
        submit=submit,
        danger=is_last,
        error=error,
        form=form if submit else None,
        hidden={"is_last": "1" if is_last else "", "seen": " ".join(names)},
        back=reverse("images:image-detail", args=[copy.image_id]),
    )


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
