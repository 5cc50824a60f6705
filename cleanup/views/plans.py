"""Plans: making a preview, reading it, running it."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cleanup import access, listings, policies, prunes, runs
from cleanup.forms.filters import PlanFilterForm
from cleanup.models import Plan, PlanState
from cleanup.unknowns import plan_unknowns
from images.access import access_host
from images.errors import Explanation, UserError, explain
from images.models import Permission
from images.views.dialogs import own_dialog
from images.views.requests import SignedInRequest

HOSTS_PER_PAGE = 25
ROWS_PER_PAGE = 50


@require_POST
def plan_make(request: SignedInRequest, pk: int) -> HttpResponse:
    policy = access.access_preview(request.user, pk)
    return redirect("cleanup:plan-detail", policies.plan_make(by=request.user, policy=policy).pk)


@require_POST
def host_prune(request: SignedInRequest, pk: int, kind: str) -> HttpResponse:
    """Everything dangling, or unused, on one host: first its preview, as of a policy."""
    host = access_host(request.user, pk, Permission.RUN_CLEANUP)
    if kind not in prunes.COMMANDS:
        raise Http404
    plan = prunes.prune_plan(by=request.user, host=host, kind=kind)
    return redirect("cleanup:plan-detail", plan.pk)


@require_GET
def plan_detail(request: SignedInRequest, pk: int) -> HttpResponse:
    plan = access.access_plan(request.user, pk)
    # Asked by the template, and only where it has a button for it.
    context: dict[str, Any] = {
        "plan": plan,
        "may_preview": lambda: access.can_preview(request.user, plan.policy),
    }
    if plan.state == PlanState.READY:
        context |= _made(request, plan)
    if request.htmx.target in ("plan_body", "plan_parts"):
        return render(request, f"cleanup/plan_detail.html#{request.htmx.target}", context)
    return render(request, "cleanup/plan_detail.html", context)


def _made(request: SignedInRequest, plan: Plan) -> dict[str, Any]:
    """What the page of a finished plan says."""
    form = PlanFilterForm(request.GET, user=request.user, plan=plan)
    chosen = form.chosen()
    page = Paginator(listings.plan_parts(request.user, plan, chosen), HOSTS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    parts = list(page)
    if parts:
        # The first host is open from the start; the others load when they are opened.
        first = parts[0]
        first.is_open = True
        first.removed_page = _rows(chosen.items(first.host_plan.items.all()), 1)
        first.kept_page = _rows(chosen.survivors(first.host_plan.survivors.all()), 1)
    return _decisions(request, plan) | {
        "form": form,
        "chosen": chosen,
        "narrow": chosen.is_narrow,
        "page": page,
        "hidden_count": listings.plan_hidden_count(request.user, plan),
        "unknown": plan_unknowns(request.user, plan),
    }


def _decisions(request: SignedInRequest, plan: Plan) -> dict[str, Any]:
    """What may be done with the plan, and by whom."""
    is_current = plan.policy_revision == plan.policy.revision
    is_expired = plan.state == PlanState.READY and plan.is_expired
    may_approve = access.can_on_policy(request.user, plan.policy, Permission.RUN_CLEANUP)
    may_approve = may_approve and not plan.policy.is_one_off  # what never runs by itself needs no approval
    return {
        "run": listings.run_of(plan),
        "removing_hosts": listings.removing_hosts(plan),
        "is_current": is_current,
        "is_expired": is_expired,
        "refused": refusal(plan),
        "may_run": access.can_on_plan(request.user, plan, Permission.RUN_CLEANUP),
        "may_approve": may_approve
        and is_current
        and not is_expired
        and plan.policy.waits_for_a_look
        and plan.sees_a_host,
    }


def refusal(plan: Plan) -> Explanation | None:
    """In words, why the plan can not be run now."""
    error = runs.plan_refused(plan)
    return explain(error.code, error.values) if error else None


@require_GET
def plan_part(request: SignedInRequest, pk: int, host_pk: int, part: str) -> HttpResponse:
    """One host's images that would go, or that stay: the table alone for htmx."""
    plan = access.access_plan(request.user, pk)
    host_plan = listings.host_plan_of(request.user, plan, host_pk)
    if host_plan is None or part not in ("removed", "kept"):
        raise Http404
    chosen = PlanFilterForm(request.GET, user=request.user, plan=plan).chosen()
    rows = _rows(listings.part_rows(host_plan, part, chosen), request.GET.get("page"))
    template = f"cleanup/_plan_{part}.html"
    context = {"plan": plan, "host_plan": host_plan, "page": rows, "part_template": template}
    return render(request, template if request.htmx else "cleanup/plan_part.html", context)


def _rows(rows: Any, number: Any) -> Page[Any]:
    return Paginator(rows, ROWS_PER_PAGE).get_page(number)


@require_http_methods(["GET", "POST"])
def plan_run(request: SignedInRequest, pk: int) -> HttpResponse:
    plan = access.access_plan(request.user, pk, Permission.RUN_CLEANUP)
    context: dict[str, Any] = {
        "plan": plan,
        "removing_hosts": listings.removing_hosts(plan),
    }
    if request.method == "POST":
        try:
            return redirect("cleanup:run-detail", runs.run_start(by=request.user, plan=plan).pk)
        except UserError as error:
            context["error"] = explain(error.code, error.values)
    return own_dialog(request, "cleanup/plan_run.html", context)


@require_POST
def plan_seen(request: SignedInRequest, pk: int) -> HttpResponse:
    plan = access.access_plan(request.user, pk, Permission.RUN_CLEANUP)
    try:
        policies.plan_seen(by=request.user, plan=plan)
        messages.success(request, _("The policy may now run on its schedule without anybody looking first."))
    except UserError as error:
        messages.error(request, str(error))
    return redirect("cleanup:plan-detail", plan.pk)
