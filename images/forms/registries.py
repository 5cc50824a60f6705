"""Accounts at registries, and the question which one would be used."""

import re
from typing import Any

from cryptography import x509
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from images.forms.base import StyledForm
from images.models import Registry
from images.references import InvalidReferenceError, parse

_PLAIN = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}
# What people copy from the browser or from docker login, and what it means in references.
_HUB_NAMES = {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"}
_NOT_A_PREFIX = _(
    "Write the registry's name, maybe with a port and the beginning of a path: docker.io, ghcr.io/acme or "
    "registry.example.com:5000."
)


def normal_prefix(text: str) -> str:
    """ "https://GHCR.io/acme/" -> "ghcr.io/acme". Raises ValueError for what no reference begins with."""
    bare = re.sub(r"^https?://", "", text.strip(), flags=re.IGNORECASE).strip("/")
    host, _slash, path = bare.partition("/")
    host, path = host.lower(), re.sub(r"^v[12](/|$)", "", path).strip("/")
    host = "docker.io" if host in _HUB_NAMES else host
    prefix = f"{host}/{path}" if path else host
    try:
        parsed = parse(f"{prefix}/x")
    except InvalidReferenceError as error:
        raise ValueError(str(error)) from error
    if parsed.registry != host or parsed.tag or parsed.digest:
        raise ValueError(f"“{host}” is not the name of a registry")
    return prefix


class RegistryForm(StyledForm):
    """One account. Of one that exists, an empty password means the stored one, for the same place and person."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What your team calls it. Jobs say which account they used."),
    )
    address = forms.CharField(
        label=_("Registry"),
        max_length=255,
        widget=forms.TextInput(attrs=_PLAIN | {"placeholder": "registry.example.com"}),
        help_text=_(
            "Such as docker.io, ghcr.io/acme or registry.example.com:5000. It is used for images whose name "
            "begins so; with a path, two accounts at one registry can stand side by side."
        ),
    )
    username = forms.CharField(
        label=_("User name"), max_length=255, required=False, widget=forms.TextInput(attrs=_PLAIN),
        help_text=_("Empty: without an account."),
    )  # fmt: skip
    password = forms.CharField(
        label=_("Password or token"),
        max_length=20_000,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("It is stored encrypted and never shown again."),
    )
    ca = forms.CharField(
        label=_("CA certificate"),
        required=False,
        max_length=64 * 1024,
        widget=forms.Textarea(
            attrs=_PLAIN | {"rows": 4, "placeholder": "-----BEGIN …", "class": "form-control mono"}
        ),
        help_text=_(
            "Only for a registry with a CA of your own. Drydock uses it for its own questions; engines read "
            "theirs on each host in /etc/docker/certs.d/."
        ),
    )
    use_http = forms.BooleanField(
        label=_("Plain http: passwords and images travel readable for everybody on the way"), required=False
    )

    def __init__(self, *args: Any, registry: Registry | None = None, **kwargs: Any) -> None:
        self.registry = registry
        if registry is not None:
            names = ("name", "username", "ca", "use_http")
            initial = {name: getattr(registry, name) for name in names} | {"address": registry.prefix}
            kwargs.setdefault("initial", initial)
        super().__init__(*args, **kwargs)
        if registry is not None and registry.password:
            self.fields["password"].help_text = _("One is stored. Leave this empty to keep it.")

    def clean_address(self) -> str:
        try:
            return normal_prefix(self.cleaned_data["address"])
        except ValueError as error:
            raise ValidationError(_NOT_A_PREFIX, code="invalid") from error

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

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        username, password = data.get("username", ""), data.get("password", "")
        if password and not username:
            self.add_error("username", _("A password needs the user name it belongs to."))
        elif not username:
            data["password"] = ""
        elif not password:
            data["password"] = self._stored(data)
            if not data["password"] and not self.errors:
                self.add_error("password", self._why_again())
        return data

    def _stored(self, data: dict[str, Any]) -> str:
        """The stored password, for the place and the person it was entered for.

        Who may edit must not be able to have it sent somewhere else, nor readable.
        """
        kept = self.registry
        if kept is None or kept.username != data["username"] or (data.get("use_http") and not kept.use_http):
            return ""
        same = data.get("address", "").partition("/")[0] == kept.prefix.partition("/")[0]
        return kept.password if same else ""

    def _why_again(self) -> Any:
        if self.registry is not None and self.registry.password:
            return _("The stored one belongs to another place or person. Enter the password again.")
        return _("A user name needs its password or token.")

    def values(self) -> dict[str, Any]:
        """What the services of registries take."""
        names = ("name", "username", "password", "ca", "use_http")
        return {name: self.cleaned_data[name] for name in names} | {"prefix": self.cleaned_data["address"]}


class TryOutForm(StyledForm):
    """Which account would be used for a reference."""

    reference = forms.CharField(
        label=_("Which account would be used for …"),
        max_length=400,
        required=False,
        widget=forms.TextInput(attrs=_PLAIN | {"placeholder": "ghcr.io/acme/api:1.4"}),
    )

    def clean_reference(self) -> str:
        text: str = self.cleaned_data["reference"]
        if text:
            try:
                parse(text)
            except InvalidReferenceError as error:
                raise ValidationError(
                    _("This is not an image reference, such as redis:7.4 or ghcr.io/acme/api:1.4."),
                    code="invalid",
                ) from error
        return text
