"""The fleet list: every copy on every host that the user may see, with its selection and exports."""

from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from images.errors import UserError, explain
from images.fleet import export as fleet_export
from images.fleet import listing
from images.fleet.query import FleetQuery
from images.fleet.selection import Selection, selection_of
from images.forms.base import row_numbers
from images.forms.fleet import FleetForm, ListMadeForm, all_that_match
from images.models import Host, User
from images.views.requests import SignedInRequest
from images.views.streaming import streamed


@require_GET
def image_list(request: SignedInRequest) -> HttpResponse:
    """The page; for htmx the list alone, or the copies of one group that is unfolded."""
    made_at = timezone.now()
    form = FleetForm(request.GET, user=request.user)
    query = form.query()
    context: dict[str, Any] = {"form": form, "query": query, "made_at": made_at.isoformat()}
    context["hosts"] = _pictures(request.user, query)
    if query.by:
        context["groups"] = listing.fleet_groups(request.user, query)
    else:
        context["page"] = listing.fleet_page(request.user, query)
    return render(request, f"images/image_list.html{_fragment(request)}", context)


def _fragment(request: SignedInRequest) -> str:
    if not request.htmx or request.htmx.boosted or request.htmx.history_restore_request:
        return ""
    return "#group_rows" if (request.htmx.target or "").startswith("group-") else "#fleet"


@require_GET
def image_list_state(request: SignedInRequest) -> HttpResponse:
    """How fresh the pictures are, and which hosts have changed since the list of this address was made."""
    query = FleetForm(request.GET, user=request.user).query()
    made = ListMadeForm(request.GET)
    made_at = made.cleaned_data["made_at"] if made.is_valid() else None
    hosts = _pictures(request.user, query)
    changed = [host for host in hosts if made_at and host.changed_at and host.changed_at > made_at]
    context = {"hosts": hosts, "changed": changed, "made_at": request.GET.get("made_at", "")}
    return render(request, "images/_list_state.html", context)


def _pictures(user: User, query: FleetQuery) -> list[Host]:
    """The hosts whose pictures the list is made of, oldest picture first."""
    hosts = Host.objects.visible_to(user).only("pk", "name", "state", "synced_at", "changed_at", "is_enabled")
    if query.host is not None:
        hosts = hosts.filter(pk=query.host)
    return sorted(hosts, key=lambda host: host.synced_at.timestamp() if host.synced_at else 0)


@require_POST
def image_selection(request: SignedInRequest) -> HttpResponse:
    """What the selected copies free, host by host."""
    context: dict[str, Any] = {"query": request.POST.get("query", "")}
    try:
        context["selection"] = selected(request)
    except UserError as error:
        context["error"] = explain(error.code, error.values)
    return render(request, "images/_selection.html", context)


def selected(request: SignedInRequest) -> Selection:
    """The selection that a form or the script sent: ids, or all that match the list's address.

    Raises UserError filter_invalid.
    """
    ids = row_numbers(_sent_ids(request))
    query = None
    if request.POST.get("all"):
        query = all_that_match(request.user, request.POST.get("query", ""))
    return selection_of(request.user, ids, query)


def _sent_ids(request: SignedInRequest) -> list[str]:
    return [*request.POST.getlist("copy"), *request.POST.get("copies", "").split(",")]


@require_GET
def image_export(request: SignedInRequest, format: str) -> HttpResponseBase:  # noqa: A002 - named by the URL
    """All copies that match, streamed: CSV, JSON, or engine IDs alone as `docker images -q` prints them.

    A filter that is not understood is refused in words: a file with too much in it looks like a right one.
    """
    if format not in fleet_export.FORMATS:
        raise Http404
    export = fleet_export.FORMATS[format]
    try:
        query = FleetForm(request.GET, user=request.user).strict_query()
    except UserError as error:
        text = f"{explain(error.code, error.values).in_one_line}\n"
        return HttpResponseBadRequest(text, content_type="text/plain; charset=utf-8")
    headers = {"Content-Disposition": f'attachment; filename="images-{timezone.now():%Y-%m-%d}.{format}"'}
    lines = export.lines(request.user, query)
    return streamed(request, lines, content_type=export.content_type, headers=headers)
