"""Signing in, one's own password, and preferences."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from images import audit
from images.errors import UserError
from images.forms.base import StyledForm
from images.models import AuditEntry, User
from images.people import sign_in

THEMES = [("auto", _("As the system does")), ("light", _("Light")), ("dark", _("Dark"))]


class SignInForm(StyledForm, AuthenticationForm):
    """Django's form behind the rate limit. Every way to be wrong sounds the same: names stay secret."""

    error_messages = {
        "invalid_login": _("The name or the password is wrong."),
        "inactive": _("The name or the password is wrong."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Sign-in name")

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username", "")
        try:
            attempt = _attempt(username, self.request)
        except UserError as error:
            _recorded(username, self.request, AuditEntry.Outcome.REFUSED)
            raise ValidationError(str(error), code=error.code) from error
        try:
            cleaned = super().clean()
        except ValidationError:
            _recorded(username, self.request, AuditEntry.Outcome.FAILED)
            raise
        sign_in.attempt_succeeded(attempt)
        address = _address(self.request)
        audit.record(by=self.get_user(), action="user.sign_in", target=username, address=address)
        return cleaned


def _attempt(username: str, request: HttpRequest | None) -> sign_in.Attempt:
    """Raises UserError sign_in_wait."""
    device = request.COOKIES.get(sign_in.DEVICE_COOKIE, "") if request else ""
    return sign_in.attempt_begin(username=username, address=_address(request), device=device)


def _address(request: HttpRequest | None) -> str:
    return request.META.get("REMOTE_ADDR", "") if request else ""


def _recorded(username: str, request: HttpRequest | None, outcome: AuditEntry.Outcome) -> None:
    """An unknown name is not kept: people type their password there."""
    known = User.objects.filter(username=username).exists()
    target, address = username if known else "", _address(request)
    audit.record(by=None, action="user.sign_in", target=target, outcome=outcome, address=address)


class OwnPasswordForm(StyledForm, PasswordChangeForm):
    """One's own new password; the old one is asked for, as often as a sign-in may be tried."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request.user, *args, **kwargs)
        self.request = request

    def clean_new_password1(self) -> str:
        password: str = self.cleaned_data["new_password1"]
        if self.user.check_password(password):
            raise ValidationError(
                _("This is the password you have now. Choose one that nobody else knows."), code="same"
            )
        return password

    def clean_old_password(self) -> str:
        try:
            attempt = _attempt(self.user.get_username(), self.request)
        except UserError as error:
            raise ValidationError(str(error), code=error.code) from error
        old: str = super().clean_old_password()
        sign_in.attempt_succeeded(attempt)
        return old


class PreferencesForm(StyledForm):
    """What a person chooses for themselves."""

    language = forms.ChoiceField(label=_("Language"), required=False)
    theme = forms.ChoiceField(label=_("Colours"), choices=THEMES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("As the browser asks for")), *settings.LANGUAGES]
        self.fields["language"].choices = choices  # type: ignore[attr-defined]
