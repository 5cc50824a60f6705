"""Loading an archive: the page with the file, and what starts the jobs that wait for its bytes."""

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from images import access
from images.errors import UserError, explain
from images.forms.commands.moving import LoadForm
from images.models import Permission
from images.views.jobs import jobs_url
from images.views.requests import SignedInRequest


@require_http_methods(["GET", "HEAD", "POST"])
def load(request: SignedInRequest) -> HttpResponse:
    """The page; to its script a POST answers where the bytes go and where the jobs are watched."""
    access.access_anywhere(request.user, Permission.PULL)
    if request.method != "POST":
        initial = LoadForm.initial_of(request.GET.dict(), request.user)
        form = LoadForm(user=request.user, initial=initial)
        return render(request, "images/load.html", {"form": form, "has_hosts": form.has_hosts})
    form = LoadForm(request.POST, user=request.user)
    if not form.is_valid():
        problems = [str(error) for errors in form.errors.values() for error in errors]
        return JsonResponse({"problems": problems or [_("Choose a host.")]})
    try:
        jobs = form.start(request.user)
    except UserError as error:
        told = explain(error.code, error.values)
        return JsonResponse({"problems": [f"{told.what} {told.remedy}"]})
    return JsonResponse({"upload": f"/transfers/{jobs[0].pk}/", "jobs": jobs_url(jobs)})
