"""Policies: the list, one policy, adding and editing, on and off, the pause switch."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cleanup import access, listings, policies, presets
from cleanup.forms.filters import PauseForm
from cleanup.forms.policies import PolicyForm
from cleanup.forms.rules import rule_form_new
from cleanup.models import Policy
from images.access import access_everywhere, can_anywhere, can_everywhere
from images.errors import UserError
from images.models import Permission, User
from images.views.dialogs import own_dialog, shown_again
from images.views.requests import SignedInRequest

RUNS_SHOWN = 8
PLANS_SHOWN = 5


@require_GET
def policy_list(request: SignedInRequest) -> HttpResponse:
    visible = access.listed_policies(request.user)
    context = {
        "policies": listings.policies_with_runs(request.user, visible),
        "may_edit": can_anywhere(request.user, Permission.EDIT_POLICIES),
        "may_pause": can_everywhere(request.user, Permission.RUN_CLEANUP),
        "is_paused": listings.pause_switch() is not None,
    }
    return render(request, "cleanup/policy_list.html", context)


@require_GET
def policy_detail(request: SignedInRequest, pk: int) -> HttpResponse:
    policy = access.access_policy(request.user, pk)
    may_edit = access.can_on_policy(request.user, policy, Permission.EDIT_POLICIES)
    rules = list(policy.rules.all())
    context = {
        "policy": policy,
        "rules": rules,
        "takes_all": policies.rules_take_all(rules),
        "runs": listings.runs_listed(request.user, policy=policy)[:RUNS_SHOWN],
        "plans": listings.plans_of(request.user, policy)[:PLANS_SHOWN],
        "may_edit": may_edit,
        "may_preview": may_edit or access.can_preview(request.user, policy),
    }
    return render(request, "cleanup/policy_detail.html", context)


@require_http_methods(["GET", "POST"])
def policy_add(request: SignedInRequest) -> HttpResponse:
    _access_editing(request.user)
    return _form(request, None)


@require_http_methods(["GET", "POST"])
def policy_edit(request: SignedInRequest, pk: int) -> HttpResponse:
    return _form(request, access.access_policy(request.user, pk, Permission.EDIT_POLICIES))


def _access_editing(user: User) -> None:
    """The hosts are checked when the policy is saved."""
    if not can_anywhere(user, Permission.EDIT_POLICIES):
        raise PermissionDenied(
            _("To make a policy you need the permission “Edit policies”. Ask an admin for it.")
        )


def _form(request: SignedInRequest, policy: Policy | None) -> HttpResponse:
    form = PolicyForm(request.POST or None, user=request.user, policy=policy)
    if request.method == "POST" and form.is_final and form.is_valid():
        saved = form.save()
        if saved:
            messages.success(request, _("The policy was saved. Make a preview to see what it would remove."))
            return redirect("cleanup:policy-detail", saved.pk)
    return render(request, "cleanup/policy_form.html", {"form": form, "policy": policy})


@require_GET
def rule_form(request: SignedInRequest, kind: str) -> HttpResponse:
    """An empty rule, or that of a preset, to be added to the form."""
    _access_editing(request.user)
    preset = presets.rule_preset(request.GET.get("preset", ""))
    try:
        rule = rule_form_new(kind, preset.parameters if preset and preset.kind == kind else None)
    except KeyError as error:
        raise Http404 from error
    return render(request, "cleanup/_rule_form.html", {"rule": rule})


@require_GET
def schedule_explain(request: SignedInRequest) -> HttpResponse:
    """The schedule in words while it is typed; with "preset", the fields filled in as well."""
    _access_editing(request.user)
    if "preset" in request.GET:
        form = PolicyForm(request.GET, user=request.user)
        return render(request, "cleanup/_schedule.html", {"form": form})
    explained = presets.explain_schedule(request.GET.get("schedule", ""), request.GET.get("time_zone", "UTC"))
    return render(request, "cleanup/_schedule_explained.html", {"explained": explained})


@require_POST
def policy_switch(request: SignedInRequest, pk: int) -> HttpResponse:
    policy = access.access_policy(request.user, pk, Permission.EDIT_POLICIES)
    policies.policy_switch(by=request.user, policy=policy, is_enabled=bool(request.POST.get("is_enabled")))
    return redirect("cleanup:policy-detail", policy.pk)


@require_http_methods(["GET", "POST"])
def policy_remove(request: SignedInRequest, pk: int) -> HttpResponse:
    policy = access.access_policy(request.user, pk, Permission.EDIT_POLICIES)
    context: dict[str, Any] = {"policy": policy, "run_count": listings.run_count(policy)}
    if request.method == "POST":
        try:
            policies.policy_remove(by=request.user, policy=policy)
            messages.success(request, _("The policy “%(name)s” was removed.") % {"name": policy.name})
            return redirect("cleanup:policy-list")
        except UserError as error:
            context["error"] = error
    return own_dialog(request, "cleanup/policy_remove.html", context)


@require_http_methods(["GET", "POST"])
def cleanup_pause(request: SignedInRequest) -> HttpResponse:
    access_everywhere(request.user, Permission.RUN_CLEANUP)
    form = PauseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        policies.cleanup_pause(by=request.user, is_paused=chosen["is_paused"], reason=chosen["reason"])
        return shown_again(request, reverse("cleanup:policy-list"))
    return own_dialog(request, "cleanup/pause.html", {"form": form, "switch": listings.pause_switch()})
