"""What cleanup shows on pages of images/: they load these."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from cleanup import access, listings
from images.access import access_host
from images.views.requests import SignedInRequest


@require_GET
def host_runs(request: SignedInRequest, pk: int) -> HttpResponse:
    host = access_host(request.user, pk)
    context = {"host": host, "host_runs": listings.host_runs_of(host), "rate": listings.host_hit_rate(host)}
    return render(request, "cleanup/host_runs.html", context)


@require_GET
def overview(request: SignedInRequest) -> HttpResponse:
    seen = listings.overview(request.user, access.listed_policies(request.user))
    return render(request, "cleanup/overview.html", {"overview": seen})
