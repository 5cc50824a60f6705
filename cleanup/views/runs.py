"""Runs: the list, one run while it works and afterwards, cancelling and approving."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from cleanup import access, listings, runs
from cleanup.forms.filters import RunFilterForm, RunItemFilterForm
from cleanup.models import HostRun, Item, Run, RunState
from cleanup.templatetags.cleanup import hosts_count, images_count
from cleanup.views.plans import refusal
from images.errors import UserError, explain
from images.models import ItemState, Permission
from images.templatetags.drydock import promised_text
from images.views.dialogs import dialog, go_to, own_dialog
from images.views.requests import SignedInRequest

RUNS_PER_PAGE = 50
ITEMS_PER_PAGE = 50


@require_GET
def run_list(request: SignedInRequest) -> HttpResponse:
    form = RunFilterForm(request.GET, user=request.user)
    page = Paginator(form.listed(), RUNS_PER_PAGE).get_page(request.GET.get("page"))
    template = "cleanup/run_list.html"
    if request.htmx.target == "run_table":
        template += "#run_table"
    return render(request, template, {"page": page, "form": form})


@require_GET
def run_detail(request: SignedInRequest, pk: int) -> HttpResponse:
    run = access.access_run(request.user, pk)
    parts = listings.run_progress(request.user, run)
    context = _head(request, run, parts)
    if request.htmx.target == "run_head":
        return render(request, "cleanup/run_detail.html#run_head", context)
    form = RunItemFilterForm(request.GET)
    # The first host with something to look at is open from the start; the others load when they are opened.
    first = next((part for part in parts if part.notes), parts[0] if parts else None)
    if first:
        first.page = _items(request, first.host_run, form)
    return render(request, "cleanup/run_detail.html", context | {"form": form})


def _head(request: SignedInRequest, run: Run, parts: list[listings.HostProgress]) -> dict[str, Any]:
    return {
        "run": run,
        "parts": parts,
        "done": sum(part.done for part in parts),
        "total": sum(part.total for part in parts),
        "was_gone": sum(part.counts.get(ItemState.GONE, 0) for part in parts),
        "is_open": run.state in listings.OPEN_RUN_STATES,
        "is_kept": run.promise and run.freed_bytes is not None and run.promise.is_kept(run.freed_bytes),
        # Asked by the template, and only where it has a button for it.
        "refused": lambda: refusal(run.plan) if run.plan else None,
        "may_run": access.can_on_run(request.user, run, Permission.RUN_CLEANUP),
        "left_out": listings.run_left_out(request.user, run),
        "unmeasured": listings.run_unmeasured(run),
        "hidden_count": listings.run_hidden_count(request.user, run),
    }


@require_GET
def run_host(request: SignedInRequest, pk: int, host_pk: int) -> HttpResponse:
    run = access.access_run(request.user, pk)
    part = _part(request, run, host_pk)
    return render(request, "cleanup/_host_run.html", {"run": run, "part": part})


@require_GET
def run_items(request: SignedInRequest, pk: int, host_pk: int) -> HttpResponse:
    run = access.access_run(request.user, pk)
    host_run = _part(request, run, host_pk).host_run
    page = _items(request, host_run, RunItemFilterForm(request.GET))
    template = "cleanup/_run_items.html" if request.htmx else "cleanup/run_items.html"
    return render(request, template, {"run": run, "host_run": host_run, "page": page})


def _part(request: SignedInRequest, run: Run, host_pk: int) -> listings.HostProgress:
    for part in listings.run_progress(request.user, run, host_id=host_pk):
        return part
    raise Http404


def _items(request: SignedInRequest, host_run: HostRun, form: RunItemFilterForm) -> Page[Item]:
    return Paginator(form.items(host_run), ITEMS_PER_PAGE).get_page(request.GET.get("page"))


@require_http_methods(["GET", "POST"])
def run_cancel(request: SignedInRequest, pk: int) -> HttpResponse:
    run = access.access_run(request.user, pk, Permission.RUN_CLEANUP)
    if request.method == "GET":
        ended = None if run.state in listings.OPEN_RUN_STATES else explain("run_ended")
        return own_dialog(request, "cleanup/run_cancel.html", {"run": run, "ended": ended})
    try:
        runs.run_cancel(by=request.user, run=run)
        messages.success(request, _("The run is being cancelled: no further image is removed."))
    except UserError as error:
        messages.error(request, str(error))
    return redirect("cleanup:run-detail", run.pk)


@require_http_methods(["GET", "POST"])
def run_approve(request: SignedInRequest, pk: int) -> HttpResponse:
    """Asks first: what goes, and that it is an approval of the policy as well where nobody had seen it."""
    run = access.access_run(request.user, pk, Permission.RUN_CLEANUP)
    back = reverse("cleanup:run-detail", args=[run.pk])
    if request.method == "POST":
        try:
            runs.run_approve(by=request.user, run=run)
            messages.success(request, _("The run was approved."))
        except UserError as error:
            messages.error(request, str(error))
        return go_to(request, back)
    plan = run.plan
    if run.state != RunState.WAITING or plan is None:
        return _dialog_of(request, back, error=UserError("run_not_waiting"))
    if refused := runs.plan_refused(plan):
        return _dialog_of(request, back, error=refused)
    names = {"images": images_count(plan.item_count), "hosts": hosts_count(listings.removing_hosts(plan))}
    frees = _("This frees %(bytes)s.") % {"bytes": promised_text(plan.promise)}
    points = [_("Exactly the images of its plan go; one that is in use, pinned or changed by then stays.")]
    if run.policy.waits_for_a_look:
        points.append(_("From then on the policy runs on its schedule, and nobody is asked first."))
    title = _("Remove %(images)s from %(hosts)s?") % names
    submit = _("Approve: remove %(images)s") % names
    return dialog(request, title=title, submit=submit, text=frees, points=points, danger=True, back=back)


def _dialog_of(request: SignedInRequest, back: str, error: UserError) -> HttpResponse:
    return dialog(request, title=_("Approve a run"), submit="", error=error, back=back, dismiss=_("Close"))
