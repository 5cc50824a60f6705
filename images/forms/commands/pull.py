"""Pulling an image."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from images.commands.pull import pull_start
from images.forms.commands.base import BudgetForm, ReferenceField, command
from images.models import Job, Permission, User
from images.references import parse


@command
class PullForm(BudgetForm):
    kind = "pull"
    title = _("Pull an image")
    submit = _("Pull")
    permission = Permission.PULL

    reference = ReferenceField(
        label=_("Image"),
        help_text=_("A name, a name with a tag or a digest. Without a tag it is the one named latest."),
    )
    all_tags = forms.BooleanField(label=_("Every tag of this repository"), required=False)
    platform = forms.RegexField(
        r"^[a-z0-9]+(/[a-z0-9]+(/[a-z0-9.]+)?)?$",
        label=_("Platform"),
        required=False,
        max_length=50,
        help_text=_("Empty means the host's own. Else such as linux/arm64."),
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        reference = data.get("reference")
        if reference and data.get("all_tags") and (parse(reference).tag or parse(reference).digest):
            self.add_error(
                "all_tags", _("With a tag or a digest it is that one. Take it away to pull every tag.")
            )
        return data

    def start(self, by: User) -> list[Job]:
        return pull_start(by=by, **self.cleaned_data)
