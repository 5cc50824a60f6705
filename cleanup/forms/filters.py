"""What the lists, plans and runs show: their filters, and the pause switch."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cleanup import access, listings, wording
from cleanup.models import HostRun, Item, Plan, Policy, Run, RunState
from images.forms.base import SearchField, StyledForm
from images.models import Host, ItemState, User


class PauseForm(StyledForm):
    """Pausing asks for a reason, resuming does not."""

    is_paused = forms.BooleanField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Everybody reads it on the pages of cleanup."),
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("is_paused") and not cleaned.get("reason"):
            self.add_error("reason", gettext("Say why: others wonder when they see it."))
        return cleaned


class PlanFilterForm(StyledForm):
    """What of a plan is shown."""

    q = SearchField()
    host = forms.ModelChoiceField(
        Host.objects.none(), label=_("Host"), required=False, empty_label=_("All hosts")
    )
    part = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[
            ("", _("What goes and what stays")),
            ("removed", _("What would go")),
            ("kept", _("What stays")),
        ],
    )
    reason = forms.ChoiceField(label=_("Reason"), required=False)

    def __init__(self, *args: Any, user: User, plan: Plan, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        visible = Host.objects.visible_to(user).filter(pk__in=plan.host_plans.values("host"))
        self.fields["host"].queryset = visible  # type: ignore[attr-defined]
        removed, kept = listings.plan_reasons(plan)
        self.fields["reason"].choices = [  # type: ignore[attr-defined]
            ("", gettext("Any reason")),
            (gettext("Goes because"), [(code, wording.reason_label(code)) for code in removed]),
            (gettext("Stays because"), [(code, wording.reason_label(code)) for code in kept]),
        ]

    def chosen(self) -> listings.PlanFilter:
        """The filter; a part of it that is not valid is left out."""
        self.is_valid()
        data = self.cleaned_data
        host: Host | None = data.get("host")
        return listings.PlanFilter(
            text=data.get("q", ""),
            host_id=host.pk if host else None,
            part=data.get("part", ""),
            reason=data.get("reason", ""),
        )


class RunFilterForm(StyledForm):
    """What the list of runs shows."""

    policy = forms.ModelChoiceField(
        Policy.objects.none(), label=_("Policy"), required=False, empty_label=_("All policies")
    )
    host = forms.ModelChoiceField(
        Host.objects.none(), label=_("Host"), required=False, empty_label=_("All hosts")
    )
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("Any")), ("open", _("Not ended")), *RunState.choices],
    )
    started = forms.ChoiceField(
        label=_("Started by"),
        required=False,
        choices=[("", _("Anything")), ("schedule", _("Schedule")), ("person", _("A person"))],
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["policy"].queryset = access.listed_policies(user)  # type: ignore[attr-defined]
        self.fields["host"].queryset = Host.objects.visible_to(user)  # type: ignore[attr-defined]

    def listed(self) -> QuerySet[Run]:
        self.is_valid()
        data = self.cleaned_data
        return listings.runs_listed(
            self.user,
            policy=data.get("policy"),
            host=data.get("host"),
            state=data.get("state", ""),
            started=data.get("started", ""),
        )


class RunItemFilterForm(StyledForm):
    """Which images of a run are shown."""

    q = SearchField()
    state = forms.ChoiceField(
        label=_("Outcome"), required=False, choices=[("", _("Any")), *ItemState.choices]
    )

    def items(self, host_run: HostRun) -> QuerySet[Item]:
        self.is_valid()
        data = self.cleaned_data
        return listings.run_items(host_run, state=data.get("state", ""), text=data.get("q", ""))
