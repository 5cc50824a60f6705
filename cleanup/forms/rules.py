"""One form per rule of a policy, built from what rules.py says of its fields."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import BadRequest
from django.forms.utils import ErrorDict
from django.http import QueryDict

from cleanup import policies, presets, rules, wording
from cleanup.models import PolicyRule
from images.forms.base import StyledForm


class RuleForm(StyledForm):
    """The fields of one rule. Its prefix tells it from the other rules of the same page."""

    def __init__(self, kind: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.rule = kind, rules.REGISTRY[kind]
        for field in self.rule.fields:
            self.fields[field.name] = _field(field)

    @property
    def effect(self) -> str:
        return self.rule.effect

    @property
    def title(self) -> str:  # no name of a rule's field: a template would find that field first
        return wording.rule_label(self.kind)

    @property
    def explanation(self) -> str:
        return wording.rule_hint(self.kind)

    def forgive(self) -> None:
        """Somebody is still at it: nothing is wrong yet."""
        self._errors, self.cleaned_data = ErrorDict(), {}

    def clean(self) -> dict[str, Any]:
        """The fields check what they can; rules.py has the last word."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name, error in rules.rule_errors(self.kind, cleaned).items():
            if name not in self.errors:
                self.add_error(name or None, wording.error(error.code, error.values))
        return cleaned

    @property
    def takes_all(self) -> bool:
        """Whether, as it was sent, it selects every image there is."""
        return self.is_valid() and rules.make_rule(self.kind, self.cleaned_data).takes_all

    def as_input(self) -> policies.RuleInput:
        return policies.RuleInput(kind=self.kind, parameters=dict(self.cleaned_data))


def _field(field: rules.Field) -> forms.Field:
    common: dict[str, Any] = {
        "label": wording.FIELD_LABELS[field.name],
        "help_text": wording.FIELD_HINTS.get(field.name, ""),
        "initial": field.default,
    }
    if field.type == "choice":
        choices = [(choice, wording.CHOICE_LABELS[choice]) for choice in field.choices]
        return forms.ChoiceField(
            choices=choices, widget=forms.Select(attrs={"class": "form-select"}), **common
        )
    if field.type == "integer":
        widget = forms.NumberInput(attrs={"class": "form-control"})
        return forms.IntegerField(min_value=field.minimum, max_value=field.maximum, widget=widget, **common)
    text = forms.TextInput(attrs={"class": "form-control mono", "autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(max_length=field.max_length, widget=text, **common)


def rule_form_new(kind: str, parameters: Mapping[str, Any] | None = None) -> RuleForm:
    """A rule just added. Raises KeyError for a kind that does not exist."""
    return RuleForm(kind, prefix=f"r{secrets.token_hex(4)}", initial=dict(parameters or {}))


def rule_forms_of(stored: Iterable[PolicyRule]) -> list[RuleForm]:
    return [rule_form_new(rule.kind, rule.parameters) for rule in stored if rule.kind in rules.REGISTRY]


def rule_forms_posted(data: QueryDict, *, is_final: bool) -> list[RuleForm]:
    """The rules that were sent, in their order; "drop" takes one away, "add" adds one.

    Until the form is sent for good, nothing in them is wrong yet. None is left out in silence, however many
    there are: it may be one that keeps images. Raises BadRequest for a kind that does not exist.
    """
    found = []
    for prefix in data.getlist("rule"):
        kind = data.get(f"{prefix}-kind", "")
        if kind not in rules.REGISTRY:
            raise BadRequest(f"there is no rule of the kind {kind[:50]!r}")
        if prefix != data.get("drop"):
            found.append(RuleForm(kind, data, prefix=prefix))
    if not is_final:
        for form in found:
            form.forgive()
    preset = presets.rule_preset(data.get("add", ""))
    if preset:
        found.append(rule_form_new(preset.kind, preset.parameters))
    return found
