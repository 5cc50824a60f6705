"""People, teams and grants."""

import secrets
from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from images.forms.base import NameField, RowsField, StyledForm, WholeRowForm
from images.models import HostGroup, Role, Team, User


def suggested_password() -> str:
    """Long enough that nobody guesses it, short enough to be read out."""
    return secrets.token_urlsafe(12)


class FirstPasswordForm(StyledForm):
    """A password that an admin passes on; shown while it is written, since somebody must read it out."""

    password = forms.CharField(
        label=_("First password"),
        initial=suggested_password,
        help_text=_("Pass it on in private. It has to be replaced at the first sign-in."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        strip=False,
    )

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password)
        return password


class UserAddForm(FirstPasswordForm):
    username = forms.CharField(
        label=_("Sign-in name"), max_length=150, validators=[UnicodeUsernameValidator()]
    )
    first_name = NameField(label=_("First name"), max_length=150, required=False)
    last_name = NameField(label=_("Last name"), max_length=150, required=False)
    email = forms.EmailField(label=_("Email"), required=False)
    teams = RowsField(
        label=_("Teams"), queryset=Team.objects.all(), required=False, widget=forms.CheckboxSelectMultiple
    )
    field_order = ["username", "first_name", "last_name", "email", "password", "teams"]

    def clean_username(self) -> str:
        name: str = User.normalize_username(self.cleaned_data["username"])
        if User.objects.filter(username__iexact=name).exists():
            raise ValidationError(_("Somebody has this name already."), code="unique")
        return name


class UserTeamsForm(WholeRowForm):
    teams = RowsField(
        label=_("Teams"), queryset=Team.objects.all(), required=False, widget=forms.CheckboxSelectMultiple
    )


class TeamForm(WholeRowForm):
    name = NameField()
    members = RowsField(
        label=_("Members"), queryset=User.objects.all(), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, team: Team | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if _others(self.team).filter(name__iexact=name).exists():
            raise ValidationError(_("There is a team of this name already."), code="unique")
        return name


def _others(team: Team | None) -> "QuerySet[Team]":
    return Team.objects.all() if team is None else Team.objects.exclude(pk=team.pk)


class GrantForm(StyledForm):
    role = forms.ModelChoiceField(label=_("Role"), queryset=Role.objects.all(), empty_label=None)
    group = forms.ModelChoiceField(
        label=_("Where"), queryset=HostGroup.objects.all(), required=False, empty_label=_("All hosts")
    )
