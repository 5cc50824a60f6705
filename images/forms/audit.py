"""The filters of the audit page."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from images import access, audit
from images.forms.base import SearchField, StyledForm, day_field
from images.models import AuditEntry, Host, Permission, User


class AuditFilterForm(StyledForm):
    """Every filter may be left out; a wrong one is ignored and says so beside its field."""

    q = SearchField()
    person = forms.ModelChoiceField(
        User.objects.none(), label=_("Person"), required=False, empty_label=_("Anybody")
    )
    action = forms.ChoiceField(label=_("Action"), required=False)
    host = forms.ModelChoiceField(
        Host.objects.none(), label=_("Host"), required=False, empty_label=_("Any host")
    )
    outcome = forms.ChoiceField(
        label=_("Outcome"), required=False, choices=[("", _("Any outcome")), *AuditEntry.Outcome.choices]
    )
    since = day_field(_("From"))
    until = day_field(_("To"))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.all()
        if not access.can_everywhere(user, Permission.MANAGE_TEAM):
            people = people.filter(pk__in=AuditEntry.objects.visible_to(user).order_by().values("actor"))
        self.fields["person"].queryset = people  # type: ignore[attr-defined]
        self.fields["host"].queryset = Host.objects.visible_to(user).only("pk", "name")  # type: ignore[attr-defined]
        actions = sorted(
            ((code, str(name)) for code, name in audit.ACTIONS.items()), key=lambda pair: pair[1]
        )
        self.fields["action"].choices = [("", _("Any action")), *actions]  # type: ignore[attr-defined]

    def filter(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The entries that the filters leave; `until` is the whole of that day, in the server's time zone."""
        self.is_valid()
        data = self.cleaned_data
        simple = {"person": "actor", "action": "action", "host": "host", "outcome": "outcome"}
        entries = entries.filter(**{field: data[name] for name, field in simple.items() if data.get(name)})
        if text := data.get("q"):
            entries = entries.filter(
                Q(target__icontains=text) | Q(actor_name__icontains=text) | Q(host_name__icontains=text)
            )
        if since := data.get("since"):
            entries = entries.filter(at__gte=_midnight(since))
        if until := data.get("until"):
            entries = entries.filter(at__lt=_midnight(until + timedelta(days=1)))
        return entries


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
