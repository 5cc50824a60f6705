"""Jobs that were started together, and the news that a job has ended."""

import uuid

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from images import batches
from images.batches import Batch
from images.errors import UserError, explain
from images.jobs import notices
from images.views.dialogs import dialog, go_to
from images.views.jobs import jobs_url
from images.views.requests import SignedInRequest


def _access_batch(request: SignedInRequest, key: uuid.UUID, *, to_change: bool = False) -> Batch:
    """The batch, or Http404 when no job of it is on a host that the person sees.

    Raises PermissionDenied when it is `to_change` and the person may change none of its jobs.
    """
    batch = batches.batch_of(request.user, key)
    if batch is None:
        raise Http404
    if to_change and not batch.is_changeable:
        raise PermissionDenied(_("You see these jobs, but may neither cancel nor repeat them. Ask an admin."))
    return batch


@require_safe
def batch_detail(request: SignedInRequest, *, key: uuid.UUID) -> HttpResponse:
    """All its hosts side by side; a batch is on one page, because one person started it with one click."""
    batch = _access_batch(request, key)
    template = "images/batch_detail.html#batch_live" if request.htmx else "images/batch_detail.html"
    return render(request, template, {"batch": batch})


@require_http_methods(["GET", "HEAD", "POST"])
def batch_cancel(request: SignedInRequest, *, key: uuid.UUID) -> HttpResponse:
    batch = _access_batch(request, key, to_change=True)
    url = reverse("images:batch-detail", args=[key])
    if request.method == "POST":
        count = batches.batch_cancel(by=request.user, batch=batch)
        if not count:
            messages.info(request, _("There was nothing left that you may cancel."))
        return go_to(request, url)
    count = len(batch.cancellable)
    title = ngettext("Cancel %(n)s job?", "Cancel %(n)s jobs?", count) % {"n": count}
    text = _("What was done stays done. What was not begun is left alone.")
    return dialog(
        request,
        title=title,
        submit=_("Cancel them"),
        dismiss=_("Let them go on"),
        text=text,
        danger=True,
        back=url,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def batch_retry(request: SignedInRequest, *, key: uuid.UUID) -> HttpResponse:
    batch = _access_batch(request, key, to_change=True)
    url = reverse("images:batch-detail", args=[key])
    if request.method == "POST":
        started, refused = batches.batch_retry(by=request.user, batch=batch)
        _say_refused(request, refused)
        if started:
            return go_to(request, jobs_url(started))
        if not refused:
            messages.info(request, _("There was nothing left that you may try again."))
        return go_to(request, url)
    jobs = [f"{job.host}: {job.subject}" if batch.is_mixed else f"{job.host}" for job in batch.repeatable]
    text = _("Those that did not succeed are started anew, the others stay as they are:")
    return dialog(request, title=_("Try again?"), submit=_("Try again"), text=text, points=jobs, back=url)


def _say_refused(request: SignedInRequest, refused: list[UserError]) -> None:
    """How many were not started again, and each reason once."""
    if not refused:
        return
    text = ngettext(
        "%(n)s job could not be started again.", "%(n)s jobs could not be started again.", len(refused)
    )
    reasons = dict.fromkeys(explain(error.code, error.values).in_one_line for error in refused)
    messages.error(request, " ".join([text % {"n": len(refused)}, *reasons]))


@require_safe
def job_notices(request: SignedInRequest) -> HttpResponse:
    """What the open page asks for when a job of this person has ended: what to add to it."""
    news = notices.news_for(
        request.user,
        after=request.GET.get("after", ""),
        page=request.headers.get("HX-Current-URL", ""),
        now=timezone.now(),
    )
    return render(request, "images/_job_notices.html", {"news": news})
