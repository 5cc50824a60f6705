"""Signing in, one's own password, and preferences."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from images import audit, sign_in
from images.errors import UserError
from images.forms.base import StyledForm
from images.models import AuditEntry, User

THEMES = [("auto", _("As the system does")), ("light", _("Light")), ("dark", _("Dark"))]


class SignInForm(StyledForm, AuthenticationForm):
    """Django's form behind the rate limit. Every way to be wrong sounds the same: names stay secret."""

    error_messages = {
        "invalid_login": _("The name or the password is wrong."),
        "inactive": _("The name or the password is wrong."),
    }

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username", "")
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        device = self.request.COOKIES.get(sign_in.DEVICE_COOKIE, "") if self.request else ""
        try:
            attempt = sign_in.attempt_begin(username=username, address=address, device=device)
        except UserError as error:
            _recorded(username, AuditEntry.Outcome.REFUSED)
            raise ValidationError(str(error), code=error.code) from error
        try:
            cleaned = super().clean()
        except ValidationError:
            _recorded(username, AuditEntry.Outcome.FAILED)
            raise
        sign_in.attempt_succeeded(attempt)
        audit.record(by=self.get_user(), action="user.sign_in", target=username)
        return cleaned


def _recorded(username: str, outcome: AuditEntry.Outcome) -> None:
    """An unknown name is not kept: people type their password there."""
    known = User.objects.filter(username=username).exists()
    audit.record(by=None, action="user.sign_in", target=username if known else "", outcome=outcome)


class OwnPasswordForm(StyledForm, PasswordChangeForm):
    """One's own new password; the old one is asked for."""


class PreferencesForm(StyledForm):
    """What a person chooses for themselves."""

    language = forms.ChoiceField(label=_("Language"), required=False)
    theme = forms.ChoiceField(label=_("Colours"), choices=THEMES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("As the browser asks for")), *settings.LANGUAGES]
        self.fields["language"].choices = choices  # type: ignore[attr-defined]
