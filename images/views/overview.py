"""The first page and its live parts."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from images.fleet import overview as figures
from images.jobs import queue
from images.models import User
from images.views.requests import SignedInRequest


@require_safe
def overview(request: SignedInRequest) -> HttpResponse:
    user = request.user
    context = {
        "summary": figures.summary(user),
        "copies": figures.newest_copies(user),
    } | _jobs(user)
    return render(request, "images/overview.html", context)


@require_safe
def overview_figures(request: SignedInRequest) -> HttpResponse:
    user = request.user
    return render(request, "images/overview.html#figures", {"summary": figures.summary(user)})


@require_safe
def overview_jobs(request: SignedInRequest) -> HttpResponse:
    user = request.user
    return render(request, "images/overview.html#running", _jobs(user))


def _jobs(user: User) -> dict[str, Any]:
    jobs = figures.open_jobs(user)
    return {"jobs": jobs} | queue.waits(jobs, user)


@require_safe
def overview_space(request: SignedInRequest) -> HttpResponse:
    """On its own, because it reads every copy: the page does not wait for it."""
    spaces = figures.space_by_repository(request.user)
    context = {"spaces": spaces, "width": figures.MAP_WIDTH, "height": figures.MAP_HEIGHT}
    return render(request, "images/overview_space.html", context)
