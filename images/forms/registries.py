"""Accounts at registries, and the question which one would be used."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from images.accounts.git_accounts import is_address
from images.forms.accounts import PLAIN, AccountForm, address_field, ca_field, username_field
from images.forms.base import StyledForm
from images.models import Registry
from images.references import InvalidReferenceError, parse

# What people copy from the browser or from docker login, and what it means in references.
_HUB_NAMES = {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"}


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


class RegistryForm(AccountForm):
    """An account at a registry, or a registry where nobody signs in."""

    NOT_A_PREFIX = _(
        "Write the registry's name, maybe with a port and the beginning of a path: docker.io, ghcr.io/acme or "
        "registry.example.com:5000."
    )
    KEPT = (*AccountForm.KEPT, "use_http")

    address = address_field(
        _("Registry"),
        "registry.example.com",
        _(
            "Such as docker.io, ghcr.io/acme or registry.example.com:5000. It is used for images whose name "
            "begins so; with a path, two accounts at one registry can stand side by side."
        ),
    )
    username = username_field(_("Empty: without an account."))
    ca = ca_field(
        _(
            "Only for a registry with a CA of your own. Drydock uses it for its own questions; engines read "
            "theirs on each host in /etc/docker/certs.d/."
        )
    )
    use_http = forms.BooleanField(
        label=_("Plain http: passwords and images travel readable for everybody on the way"), required=False
    )

    normal_prefix = staticmethod(normal_prefix)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("username"):
            self.keep_password(data, _("A user name needs its password or token."))
        elif data.get("password"):
            self.add_error("username", _("A password needs the user name it belongs to."))
        return data

    def stored_password(self, data: dict[str, Any]) -> str:
        kept = self.account
        if isinstance(kept, Registry) and data.get("use_http") and not kept.use_http:
            return ""
        return super().stored_password(data)


class TryOutForm(StyledForm):
    """Which account would be used for an image, or for a git repository."""

    used_for = forms.CharField(
        label=_("Which account would be used for …"),
        max_length=400,
        required=False,
        widget=forms.TextInput(attrs=PLAIN | {"placeholder": "ghcr.io/acme/api:1.4"}),
        help_text=_("The name of an image, or the https address of a git repository."),
    )

    def clean_used_for(self) -> str:
        text: str = self.cleaned_data["used_for"]
        if not text or is_address(text):
            return text
        try:
            parse(text)
        except InvalidReferenceError as error:
            raise ValidationError(
                _(
                    "This is neither an image reference, such as redis:7.4 or ghcr.io/acme/api:1.4, nor the https "
                    "address of a repository."
                ),
                code="invalid",
            ) from error
        return text
