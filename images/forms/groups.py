"""Groups of hosts."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from images.forms.base import NameField, RowsField, WholeRowForm
from images.models import Host, HostGroup


class GroupForm(WholeRowForm):
    name = NameField(
        help_text=_("What the hosts have in common, such as “production” or “ci”."),
    )
    hosts = RowsField(
        label=_("Hosts"), queryset=Host.objects.all(), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, group: HostGroup | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = HostGroup.objects.filter(name__iexact=name)
        if self.group is not None:
            others = others.exclude(pk=self.group.pk)
        if others.exists():
            raise ValidationError(_("There is a group of this name already."), code="unique")
        return name
