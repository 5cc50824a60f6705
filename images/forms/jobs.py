"""The filters of the jobs page."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from images.forms.base import StyledForm
from images.jobs.operations import OPERATIONS
from images.models import Host, Job, JobState, User
from images.models.job import JobQuerySet

STATES = [
    ("", _("Any state")),
    ("open", _("Queued or running")),
    ("ended", _("Ended")),
    *((state.value, state.label) for state in JobState),
]


class JobFilterForm(StyledForm):
    """Every filter may be left out; a wrong one is ignored and says so beside its field."""

    state = forms.ChoiceField(label=_("State"), required=False, choices=STATES)
    kind = forms.ChoiceField(label=_("Kind"), required=False)
    host = forms.ModelChoiceField(
        Host.objects.none(), label=_("Host"), required=False, empty_label=_("Any host")
    )
    person = forms.ModelChoiceField(
        User.objects.none(), label=_("Person"), required=False, empty_label=_("Anybody")
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = sorted(
            ((kind, str(each.label)) for kind, each in OPERATIONS.items()), key=lambda pair: pair[1]
        )
        self.fields["kind"].choices = [("", _("Any kind")), *kinds]  # type: ignore[attr-defined]
        self.fields["host"].queryset = Host.objects.visible_to(user).only("pk", "name")  # type: ignore[attr-defined]
        # Only people whose jobs one may see: the list of all people is the admins' alone.
        starters = Job.objects.visible_to(user).order_by().values("created_by")
        self.fields["person"].queryset = User.objects.filter(pk__in=starters)  # type: ignore[attr-defined]

    def filter(self, jobs: JobQuerySet) -> QuerySet[Job]:
        """The jobs that the filters leave."""
        self.is_valid()
        data = self.cleaned_data
        if data.get("host"):
            jobs = jobs.at(data["host"].pk)
        names = {"kind": "kind", "person": "created_by"}
        chosen = {field: data[name] for name, field in names.items() if data.get(name)}
        return _in_state(jobs, data.get("state", "")).filter(**chosen)


def _in_state(jobs: JobQuerySet, state: str) -> JobQuerySet:
    if state == "open":
        return jobs.open()
    if state == "ended":
        return jobs.ended()
    return jobs.filter(state=state) if state else jobs
