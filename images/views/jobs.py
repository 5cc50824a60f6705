"""Jobs: the list, a job's page, its log, cancelling it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from images import access
from images.errors import UserError
from images.forms.jobs import JobFilterForm
from images.jobs import life as services
from images.jobs import logs, queue, wording
from images.models import Job, JobItem, JobState, User
from images.retry import job_retry as retry
from images.retry import may_begin_again, may_change, may_retry, permission_for
from images.views.dialogs import dialog, go_to
from images.views.requests import SignedInRequest, is_fragment
from images.views.streaming import streamed

PAGE_SIZE = 50
ITEMS_PER_PAGE = 100
_LONG_WAIT = timedelta(seconds=60)  # a free worker takes a job at once; four ticks would have woken one


@require_safe
def job_list(request: SignedInRequest) -> HttpResponse:
    user = request.user
    form = JobFilterForm(request.GET, user=user)
    jobs = form.filter(Job.objects.visible_to(user)).select_related("host", "created_by")
    page = Paginator(jobs, PAGE_SIZE).get_page(request.GET.get("page"))
    is_filtered = any(value for name, value in request.GET.items() if name != "page")
    context = {"form": form, "page": page, "is_filtered": is_filtered}
    context |= queue.waits(page.object_list, user)
    template = "images/job_list.html#job_table" if is_fragment(request) else "images/job_list.html"
    return render(request, template, context)


def jobs_url(jobs: Sequence[Job]) -> str:
    """Where to watch what one click started: the job, or the page that shows several side by side."""
    if len(jobs) > 1 and jobs[0].batch:
        return reverse("images:batch-detail", args=[jobs[0].batch])
    return reverse("images:job-detail", args=[jobs[0].pk])


@require_safe
def job_detail(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    job = access.access_job(user, pk)
    template = "images/job_detail.html#job_live" if is_fragment(request) else "images/job_detail.html"
    return render(request, template, _detail(request, user, job))


def _detail(request: SignedInRequest, user: User, job: Job) -> dict[str, Any]:
    # In their own order, never by state: rows must not jump while one watches.
    items = JobItem.objects.filter(job=job).select_related("copy")
    steps = logs.steps(job)
    log, is_log_cut = ("", False) if steps else logs.tail(job)
    word = request.GET.get("q", "").replace("\0", "").strip()[:100]  # PostgreSQL compares with no NUL
    counts = dict(items.order_by().values_list("state").annotate(Count("id")))
    places = queue.places([job], user)
    place = places.get(job.pk)
    is_late = job.state == JobState.QUEUED and timezone.now() - job.created_at > _LONG_WAIT
    return {
        "job": job,
        "page": Paginator(items, ITEMS_PER_PAGE).get_page(request.GET.get("page")),
        "failed_count": counts.get("failed", 0) + counts.get("unknown", 0),
        "steps": steps,
        "log": log,
        "is_log_cut": is_log_cut,
        "has_log": bool(log) or any(step.log for step in steps),
        "found": logs.search(job, word) if word else None,
        "siblings": _siblings(user, job),
        "may_cancel": access.can(user, permission_for(job), job.host_id),
        "may_retry": may_retry(user, job),
        "may_change": may_change(user, job),
        "form_again": _form_again(user, job),
        "asked": wording.asked(job),
        "place": place,
        "turn": queue.worker_turns([job], places).get(job.pk),
        "waits_long": is_late and place is None,
    }


def _form_again(user: User, job: Job) -> str:
    """Where a load or a save begins again, with its host or its images chosen; "" where that is not for this person."""
    if not may_begin_again(user, job):
        return ""
    if job.kind == "load":
        return f"{reverse('images:load')}?host={job.host_id}"
    ids = [image["id"] for image in job.parameters["images"]]
    copies = job.host.copies.filter(engine_id__in=ids).order_by("pk").values_list("pk", flat=True)
    asked = ",".join(map(str, copies))
    return f"{reverse('images:command', args=['save'])}?copies={asked}" if asked else ""


def _siblings(user: User, job: Job) -> list[Job]:
    """Every job of the same click that the user may see, this one included; none when it is alone."""
    if job.batch is None:
        return []
    jobs = Job.objects.visible_to(user).filter(batch=job.batch).select_related("host").order_by("host__name")
    return list(jobs) if len(jobs) > 1 else []


@require_http_methods(["GET", "HEAD", "POST"])
def job_cancel(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    job = access.access_job(user, pk, permission_for(access.access_job(user, pk)))
    url = reverse("images:job-detail", args=[pk])
    if request.method == "POST":
        services.job_cancel(by=user, job=job)
        if not job.is_open and job.state != JobState.CANCELLED:
            messages.info(request, _("The job had ended already."))
        return go_to(request, url)
    text = _("What was done stays done. What was not begun is left alone.")
    return dialog(
        request,
        title=_("Cancel this job?"),
        submit=_("Cancel the job"),
        dismiss=_("Let it go on"),
        text=text,
        danger=True,
        back=url,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def job_retry(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """Asks first, because what an ended job did may have been a lot."""
    user, error = request.user, None
    job = access.access_job(user, pk, permission_for(access.access_job(user, pk)))
    if request.method == "POST":
        try:
            again = retry(by=user, job=job)
            return go_to(request, reverse("images:job-detail", args=[again.pk]))
        except UserError as refused:
            error = refused
    is_rest = job.kind == "remove"
    text = _("What was not done is tried again.") if is_rest else _("A new job does the same once more.")
    return dialog(
        request, title=_("Try it again?"), submit=_("Try again"), text=text, error=error,
        back=reverse("images:job-detail", args=[pk]),
    )  # fmt: skip


@require_safe
def job_log(request: SignedInRequest, *, pk: int) -> StreamingHttpResponse:
    """The whole log, or that of one step, as a text file; read row by row, because a build writes a lot."""
    job = access.access_job(request.user, pk)
    step = request.GET.get("step", "")
    chunks = logs.chunks(job, int(step) if step.isdecimal() and len(step) < 6 else 0)
    headers = {"Content-Disposition": f'inline; filename="job-{pk}.log"', "X-Content-Type-Options": "nosniff"}
    return streamed(request, chunks, content_type="text/plain; charset=utf-8", headers=headers)
