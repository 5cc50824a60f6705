"""What the forms of accounts have in common, at registries and of git."""

from typing import TYPE_CHECKING, Any, ClassVar

from cryptography import x509
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from images.accounts.prefixes import host_of
from images.forms.base import NameField, WholeRowForm
from images.models.account import Account

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise

PLAIN = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}


def address_field(label: "Words", placeholder: str, hint: "Words") -> forms.CharField:
    widget = forms.TextInput(attrs=PLAIN | {"placeholder": placeholder})
    return forms.CharField(label=label, max_length=255, widget=widget, help_text=hint)


def username_field(hint: "Words") -> forms.CharField:
    widget = forms.TextInput(attrs=PLAIN)
    return forms.CharField(
        label=_("User name"), max_length=255, required=False, widget=widget, help_text=hint
    )


def ca_field(hint: "Words") -> forms.CharField:
    look = PLAIN | {"rows": 4, "placeholder": "-----BEGIN …", "class": "form-control mono"}
    return forms.CharField(
        label=_("CA certificate"),
        required=False,
        max_length=64 * 1024,
        widget=forms.Textarea(attrs=look),
        help_text=hint,
    )


class AccountForm(WholeRowForm):
    """One account. Of one that exists, an empty password means the stored one, for the same place and person.

    Subclasses add what differs in words: `address`, `username` and `ca`.
    """

    NOT_A_PREFIX: ClassVar["Words"]
    KEPT: ClassVar[tuple[str, ...]] = ("name", "username", "password", "ca")
    """What the services take as it is; the address they take as the prefix."""

    field_order = ("name", "address", "username", "password", "ca")
    name = NameField(
        help_text=_("What your team calls it. Jobs say which account they used."),
    )
    password = forms.CharField(
        label=_("Password or token"),
        max_length=20_000,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("It is stored encrypted and never shown again."),
    )

    def __init__(self, *args: Any, account: Account | None = None, **kwargs: Any) -> None:
        self.account = account
        if account is not None:
            initial = {name: getattr(account, name) for name in self.KEPT if name != "password"}
            kwargs.setdefault("initial", initial | {"address": account.prefix})
        super().__init__(*args, **kwargs)
        if account is not None and account.password:
            self.fields["password"].help_text = _("One is stored. Leave this empty to keep it.")

    @staticmethod
    def normal_prefix(text: str) -> str:
        """The address as it is stored. Raises ValueError for what nothing begins with."""
        raise NotImplementedError

    def clean_address(self) -> str:
        try:
            return self.normal_prefix(self.cleaned_data["address"])
        except ValueError as error:
            raise ValidationError(self.NOT_A_PREFIX, code="invalid") from error

    def clean_ca(self) -> str:
        text: str = self.cleaned_data["ca"]
        if text:
            try:
                x509.load_pem_x509_certificates(text.encode())
            except ValueError as error:
                raise ValidationError(
                    _("This is not a certificate in PEM form: it begins with “-----BEGIN CERTIFICATE-----”."),
                    code="invalid",
                ) from error
        return text

    def keep_password(self, data: dict[str, Any], missing: "Words") -> None:
        """Takes the stored password where none was typed; without one it says what is `missing`."""
        if data.get("password"):
            return
        data["password"] = self.stored_password(data)
        if not data["password"] and not self.errors:
            is_for_another = self.account is not None and self.account.password
            again = _("The stored one belongs to another place or person. Enter the password again.")
            self.add_error("password", again if is_for_another else missing)

    def stored_password(self, data: dict[str, Any]) -> str:
        """The stored password, for the place and the person it was entered for.

        Who may edit must not be able to have it sent somewhere else, nor readable.
        """
        kept = self.account
        if kept is None or kept.username != data.get("username"):
            return ""
        return kept.password if host_of(data.get("address", "")) == host_of(kept.prefix) else ""

    def values(self) -> dict[str, Any]:
        """What the services of accounts take."""
        return {name: self.cleaned_data[name] for name in self.KEPT} | {
            "prefix": self.cleaned_data["address"]
        }
