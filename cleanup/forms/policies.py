"""The form of a policy."""

from decimal import Decimal
from functools import cached_property
from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.forms.utils import ErrorDict
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cleanup import policies, presets, wording
from cleanup.forms.rules import RuleForm, rule_forms_of, rule_forms_posted
from cleanup.models import Policy, PolicyRule
from images import access
from images.forms.base import NameField, RowsField, StyledForm
from images.models import Host, HostGroup, Permission, User

GIGABYTE = 1000**3
SCOPES = [("all", _("All hosts, now and later")), ("chosen", _("These groups and hosts:"))]
# What the submit buttons send that change the form instead of saving it; they work without a script.
EDITING = ("add", "drop", "preset")


def time_zones() -> list[tuple[str, str]]:
    """The zones with a place in their name, and UTC; the others are aliases and history."""
    names = [
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/"))
    ]
    return [(name, name) for name in ["UTC", *sorted(names)]]


class PolicyForm(StyledForm):
    """A whole policy with its rules. What was typed stays, whichever button was pressed."""

    name = NameField()
    description = forms.CharField(
        label=_("Description"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )
    scope = forms.ChoiceField(label=_("Scope"), choices=SCOPES, widget=forms.RadioSelect, initial="chosen")
    groups = RowsField(
        HostGroup.objects.none(), label=_("Host groups"), required=False, widget=forms.CheckboxSelectMultiple
    )
    hosts = RowsField(
        Host.objects.none(), label=_("Hosts"), required=False, widget=forms.CheckboxSelectMultiple
    )
    minimum_age_hours = forms.IntegerField(
        label=_("Minimum age in hours"),
        min_value=0,
        max_value=policies.MOST_HOURS,
        initial=24,
        help_text=_("An image that arrived on its host later than this stays, whatever the rules say."),
    )
    limit_items = forms.IntegerField(
        label=_("At most this many images a run"),
        required=False,
        min_value=1,
        max_value=10**6,
        help_text=_("Above it the run waits for approval. Empty: no limit."),
    )
    limit_gigabytes = forms.DecimalField(
        label=_("At most this many GB a run"),
        required=False,
        min_value=Decimal("0.001"),
        max_value=Decimal(10**6),
        decimal_places=3,
        help_text=_("Above it the run waits for approval. Empty: no limit."),
    )
    schedule = forms.CharField(
        label=_("Schedule (cron)"),
        required=False,
        max_length=100,
        widget=forms.TextInput(
            attrs={"class": "form-control mono", "autocomplete": "off", "spellcheck": "false"}
        ),
        help_text=_("Minute, hour, day of the month, month, day of the week. Empty: only by hand."),
    )
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=time_zones, initial=settings.TIME_ZONE)
    accepts_all = forms.BooleanField(
        label=_("Yes, it is meant to select every image that nothing keeps"), required=False
    )
    is_enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)

    def __init__(self, data: Any = None, *, user: User, policy: Policy | None = None) -> None:
        self.user, self.policy = user, policy
        self.is_final = data is not None and not any(name in data for name in EDITING)
        if data is not None and "preset" in data:
            data = data.copy()
            data["schedule"] = data["preset"]
        super().__init__(data, initial=_initial(policy) if policy else None)
        own_groups = access.groups_for(user, Permission.EDIT_POLICIES)
        self.fields["groups"].queryset = own_groups  # type: ignore[attr-defined]
        self.fields["hosts"].queryset = Host.objects.visible_to(user, Permission.EDIT_POLICIES)  # type: ignore[attr-defined]
        if data is not None and not self.is_final:
            # Somebody is still at it: no field is wrong yet.
            self._errors, self.cleaned_data = ErrorDict(), {}

    @cached_property
    def rules(self) -> list[RuleForm]:
        if self.is_bound:
            return rule_forms_posted(cast("QueryDict", self.data), is_final=self.is_final)
        return rule_forms_of(self.policy.rules.all() if self.policy else [])

    @property
    def version(self) -> str:
        """Of the policy that is being edited. Who was told that it is another by now may send that one."""
        if self.is_bound and not self.is_final:
            return str(self.data.get("version", ""))
        return self.policy.updated_at.isoformat() if self.policy else ""

    @property
    def delete_rules(self) -> list[RuleForm]:
        return [rule for rule in self.rules if rule.effect == PolicyRule.Effect.DELETE]

    @property
    def keep_rules(self) -> list[RuleForm]:
        return [rule for rule in self.rules if rule.effect == PolicyRule.Effect.KEEP]

    delete_presets = presets.DELETE
    keep_presets = presets.KEEP
    schedule_presets = presets.SCHEDULES

    @property
    def explained(self) -> presets.Explained:
        return presets.explain_schedule(
            str(self["schedule"].value() or ""), str(self["time_zone"].value() or "UTC")
        )

    @property
    def no_delete_rule(self) -> str:
        if self.is_final and not self.delete_rules:
            return wording.error("no_delete_rule")
        return ""

    @property
    def takes_all(self) -> bool:
        """Whether a delete rule selects every image there is; then the page asks whether that is meant."""
        return self.is_final and any(rule.takes_all for rule in self.delete_rules)

    @property
    def is_meant(self) -> bool:
        return not self.takes_all or bool(self.cleaned_data.get("accepts_all"))

    @property
    def has_errors(self) -> bool:
        wrong = self.errors or self.no_delete_rule or any(rule.errors for rule in self.rules)
        return self.is_final and (bool(wrong) or not self.is_meant)

    def is_valid(self) -> bool:
        # Every rule is asked, so that each says what is wrong with it.
        rules_fit = not [rule for rule in self.rules if not rule.is_valid()]
        return super().is_valid() and rules_fit and not self.no_delete_rule and self.is_meant

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("scope") == "chosen" and not (cleaned.get("groups") or cleaned.get("hosts")):
            self.add_error("scope", gettext("Choose a group or a host, or all hosts."))
        # The whole policy is written: what somebody else changed, such as a new rule that keeps, would go.
        if self.data.get("version", "") not in ("", self.version):
            self.add_error(
                None,
                gettext(
                    "Somebody changed this policy meanwhile. Look at it in another window: saving once more "
                    "puts what stands here in its place."
                ),
            )
        explained = presets.explain_schedule(cleaned.get("schedule", ""), cleaned.get("time_zone") or "UTC")
        if explained.error:
            self.add_error(explained.field, explained.error)
        return cleaned

    def save(self) -> Policy | None:
        """The saved policy, or None when it was refused; then the reason stands in the form."""
        try:
            if self.policy:
                return policies.policy_edit(by=self.user, policy=self.policy, data=self.as_input())
            return policies.policy_add(by=self.user, data=self.as_input())
        except policies.PolicyInvalid as invalid:
            for place, error in invalid.errors.items():
                self._refused(place, wording.error(error.code, error.values))
            return None

    def _refused(self, place: str, sentence: str) -> None:
        """Puts what the service says next to its field; `place` is "name", "rules", "rules.0.days"..."""
        name, *rest = place.split(".")
        if name == "rules" and rest:
            self.rules[int(rest[0])].add_error(rest[1] if len(rest) > 1 else None, sentence)
        else:
            name = {"limit_bytes": "limit_gigabytes"}.get(name, name)
            self.add_error(name if name in self.fields else None, sentence)

    def as_input(self) -> policies.PolicyInput:
        data = self.cleaned_data
        is_everywhere = data["scope"] == "all"
        gigabytes: Decimal | None = data["limit_gigabytes"]
        return policies.PolicyInput(
            name=data["name"],
            description=data["description"],
            is_enabled=data["is_enabled"],
            all_hosts=is_everywhere,
            groups=() if is_everywhere else tuple(data["groups"]),
            hosts=() if is_everywhere else tuple(data["hosts"]),
            rules=tuple(rule.as_input() for rule in self.rules),
            minimum_age_hours=data["minimum_age_hours"],
            limit_items=data["limit_items"],
            limit_bytes=int(gigabytes * GIGABYTE) if gigabytes else None,
            schedule=data["schedule"],
            time_zone=data["time_zone"],
        )


def _initial(policy: Policy) -> dict[str, Any]:
    fields = (
        "name",
        "description",
        "is_enabled",
        "minimum_age_hours",
        "limit_items",
        "schedule",
        "time_zone",
    )
    return {name: getattr(policy, name) for name in fields} | {
        "scope": "all" if policy.all_hosts else "chosen",
        "groups": policy.groups.all(),
        "hosts": policy.hosts.all(),
        "limit_gigabytes": Decimal(policy.limit_bytes) / GIGABYTE if policy.limit_bytes else None,
    }
