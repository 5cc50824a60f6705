"""Building an image: the form, what a sent context holds, findings in a Dockerfile."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from images import access
from images.contexts import hadolint
from images.contexts.archive import MOST_TEXT_BYTES
from images.contexts.dockerfiles import secret_ids
from images.contexts.git import FETCH_SECONDS
from images.contexts.members import too_large
from images.errors import UserError, explain
from images.forms.base import row_number
from images.forms.builds import BuildForm, GitForm, initial_again, initial_of
from images.models import Permission, Upload
from images.models.upload import UploadState
from images.retry import may_change
from images.transfers.git_looks import git_look_start
from images.transfers.uploads import upload_survey
from images.views.jobs import jobs_url
from images.views.requests import SignedInRequest

_SLOW = timedelta(seconds=15)  # an idle worker begins at once
LONGEST_FETCH = timedelta(seconds=FETCH_SECONDS + 60)


# A form that was not accepted comes back with what was typed, secrets too: it is kept by nobody on the way.
@sensitive_post_parameters("secrets")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def build_new(request: SignedInRequest) -> HttpResponse:
    access.access_anywhere(request.user, Permission.BUILD)
    initial = _initial(request)
    sent = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = BuildForm(*sent, user=request.user, initial=initial)
    limit, refusal = settings.CONTEXT_LIMIT_BYTES, too_large(settings.CONTEXT_LIMIT_BYTES)
    context: dict[str, Any] = {
        "form": form, "limit_bytes": limit, "too_large": explain(refusal.code, refusal.values).in_one_line,
    }  # fmt: skip
    if form.is_valid():
        try:
            return HttpResponseRedirect(jobs_url(form.start(request.user)))
        except UserError as error:
            context["error"] = explain(error.code, error.values, error.raw)
    return render(request, "images/build_form.html", context)


def _initial(request: SignedInRequest) -> dict[str, Any]:
    number = row_number(request.GET.get("again", ""))
    if number is None:
        return initial_of(request.GET.dict(), request.user)
    job = access.access_job(request.user, number)
    if not may_change(request.user, job):
        raise PermissionDenied
    return initial_again(job)


@require_safe
def build_context(request: SignedInRequest, *, pk: UUID) -> HttpResponse:
    """What was sent holds, what .dockerignore leaves out of it, and the findings in its Dockerfile."""
    upload = access.access_upload(request.user, pk)
    return _context_page(request, upload, request.GET)


@require_POST
def build_git_look(request: SignedInRequest) -> HttpResponse:
    """Has the repository fetched; the answer asks again until it shows what is in it."""
    access.access_anywhere(request.user, Permission.BUILD)
    form = GitForm(request.POST)
    if not form.is_valid():
        return render(request, "images/_build_context.html", {"form": form})
    found = form.cleaned_data
    try:
        upload = git_look_start(by=request.user, git_url=found["git_url"], branch=found["branch"])
    except UserError as error:
        context = {"error": explain(error.code, error.values, error.raw)}
        return render(request, "images/_build_context.html", context)
    asked = request.POST.copy()
    asked["folder"] = found["folder"]
    return _context_page(request, upload, asked)


def _context_page(request: SignedInRequest, upload: Upload, asked: QueryDict) -> HttpResponse:
    folder, dockerfile = (asked.get(name, "").strip()[:400] for name in ("folder", "dockerfile"))
    context: dict[str, Any] = {"upload": upload}
    if upload.state == UploadState.FETCHING and timezone.now() - upload.created_at < LONGEST_FETCH:
        is_slow = timezone.now() - upload.created_at > _SLOW
        context |= {"folder": folder, "dockerfile": dockerfile, "is_slow": is_slow}
        return render(request, "images/_build_context.html", context)
    try:
        context["survey"] = survey = upload_survey(upload, folder=folder, dockerfile=dockerfile)
    except UserError as error:
        context["error"] = explain(error.code, error.values, error.raw)
    else:
        context |= _lint(survey.dockerfile_text or "")
    return render(request, "images/_build_context.html", context)


@require_POST
def build_lint(request: SignedInRequest) -> HttpResponse:
    access.access_anywhere(request.user, Permission.BUILD)
    text = request.POST.get("dockerfile_text", "")[:MOST_TEXT_BYTES]
    return render(request, "images/_build_lint.html", _lint(text))


def _lint(text: str) -> dict[str, Any]:
    found = hadolint.findings(text)
    lines = hadolint.linted(text, found) if found else []
    return {"findings": found, "lines": lines, "secret_ids": secret_ids(text)}
