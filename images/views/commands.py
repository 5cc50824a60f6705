"""Docker's image commands: each is a form in a dialog, and starts one job per host."""

from typing import Any

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from images import access
from images.errors import UserError
from images.forms.commands import COMMANDS
from images.views.dialogs import dialog, go_to
from images.views.jobs import jobs_url
from images.views.requests import SignedInRequest


@require_http_methods(["GET", "HEAD", "POST"])
def command(request: SignedInRequest, kind: str) -> HttpResponse:
    if kind not in COMMANDS:
        raise Http404
    form_class = COMMANDS[kind]
    initial: dict[str, Any] = {}
    error: UserError | None = None
    access.access_anywhere(request.user, form_class.permission)
    try:
        initial = form_class.initial_of(request.GET.dict(), request.user)
    except UserError as unclear:
        error = unclear
    form = form_class(request.POST if request.method == "POST" else None, user=request.user, initial=initial)
    if form.is_valid():
        try:
            return go_to(request, jobs_url(form.start(request.user)))
        except UserError as refused:
            error = refused
    return dialog(
        request,
        title=str(form.title),
        submit=str(form.submit),
        form=form,
        error=error,
        text=form.text,
        points=form.points,
        back=reverse("images:image-list"),
    )
