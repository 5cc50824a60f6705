"""Adding, editing and finding hosts."""

from decimal import Decimal
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from images import access, addresses
from images.forms import ssh
from images.forms.base import NameField, RowsField, SearchField, StyledForm, WholeRowForm
from images.models import Host, HostGroup, HostState, Permission, User
from images.models.host import HostQuerySet

GIGABYTE = 10**9
SWITCHED_OFF = "off"
_MOST_AT_ONCE = 50
_LONGEST_PEM = 64 * 1024  # a chain of several certificates is some 10 kB

KINDS = [
    ("unix", _("A socket on this machine: the engine beside Drydock")),
    ("tls", _("Over the network with TLS: both sides prove who they are by certificates")),
    ("ssh", _("Over ssh: no port of the engine is open, Drydock signs in with a key")),
    ("tcp", _("Over the network without TLS: whoever reaches the port controls that machine")),
]


def _pem(label: Any, help_text: Any = "", *, is_secret: bool = False) -> forms.CharField:
    attrs = {"rows": 4, "spellcheck": "false", "autocomplete": "off", "placeholder": "-----BEGIN …"}
    kind = SecretTextarea if is_secret else forms.Textarea
    widget = kind(attrs=attrs | {"class": "form-control mono"})
    return forms.CharField(
        label=label, help_text=help_text, required=False, max_length=_LONGEST_PEM, widget=widget
    )


def _upload(label: Any) -> forms.FileField:
    return forms.FileField(label=label, required=False, max_length=200)


class SecretTextarea(forms.Textarea):
    """Takes a secret and never gives it back, not even with an error."""

    def format_value(self, value: Any) -> str:
        return ""


class ConnectionForm(ssh.SshFields, StyledForm):
    """Where an engine is and how to talk to it; of a host that exists, an empty key means the stored one."""

    kind = forms.ChoiceField(
        label=_("How Drydock reaches it"), choices=KINDS, widget=forms.RadioSelect, initial="unix"
    )
    address = forms.CharField(
        label=_("Address"),
        max_length=255,
        required=False,
        help_text=_(
            "A path such as /var/run/docker.sock, a name or IP address with a port such as 10.0.0.5:2376, "
            "or for ssh user@10.0.0.5, maybe with a port and the path of the engine's socket."
        ),
        widget=forms.TextInput(
            attrs={"spellcheck": "false", "autocomplete": "off", "placeholder": addresses.SOCKET}
        ),
    )
    tls_ca = _pem(_("CA certificate"), _("What the engine's own certificate was signed with (ca.pem)."))
    tls_ca_file = _upload(_("or the file ca.pem"))
    tls_certificate = _pem(_("Client certificate"), _("What Drydock shows the engine (cert.pem)."))
    tls_certificate_file = _upload(_("or the file cert.pem"))
    tls_key = _pem(
        _("Client key"), _("It is stored encrypted and never shown again (key.pem)."), is_secret=True
    )
    tls_key_file = _upload(_("or the file key.pem"))
    ssh_key = _pem(
        _("Private key"),
        _("Without a passphrase. It is stored encrypted and never shown again."),
        is_secret=True,
    )
    ssh_key_file = _upload(_("or its file, such as id_ed25519"))
    ssh_made_key = ssh.hidden(4000)  # under seal
    ssh_host_key = ssh.hidden(5000)

    def __init__(self, *args: Any, user: User, host: Host | None = None, **kwargs: Any) -> None:
        self.host = host
        kwargs.setdefault("initial", _connection_of(host) if host else None)
        super().__init__(*args, **kwargs)
        if host is not None and not access.can_everywhere(user, Permission.MANAGE_HOST):
            # Another address is another engine: that is adding a host, and needs the right to add one.
            for name in ("kind", "address", "ssh_key", "ssh_key_file", "ssh_made_key", "ssh_host_key"):
                self.fields[name].disabled = True
            self.fields["address"].help_text = _("Only who manages all hosts may change the address.")
        for name in ("tls_key", "ssh_key"):
            if host is not None and getattr(host, name):
                self.fields[name].help_text = _("A key is stored. Leave this empty to keep it.")

    def clean(self) -> dict[str, Any]:
        super().clean()
        use_tls, use_ssh = (self.cleaned_data.get("kind") == kind for kind in ("tls", "ssh"))
        self.cleaned_data["use_tls"] = use_tls
        self._clean_address(use_tls)
        for name in ("tls_ca", "tls_certificate", "tls_key"):
            self.cleaned_data[name] = self._pem(name) if use_tls else ""
        if use_tls:
            self._check_pems()
        self.cleaned_data["ssh_key"] = self._clean_ssh_key(self._pem("ssh_key")) if use_ssh else ""
        self.cleaned_data["ssh_host_key"] = self._clean_ssh_host_key() if use_ssh else ""
        return self.cleaned_data

    def _clean_address(self, use_tls: bool) -> None:
        text, kind = self.cleaned_data.get("address", ""), self.cleaned_data.get("kind")
        problems = {"unix": _NOT_A_SOCKET, "ssh": ssh.NOT_AN_SSH_ADDRESS}
        try:
            if kind == "unix":
                address = addresses.socket_address(text or addresses.SOCKET)
            elif kind == "ssh":
                address = addresses.ssh_address(text)
            else:
                address = addresses.network_address(text, use_tls=use_tls)
        except ValueError:
            if "address" not in self.errors:
                self.add_error("address", problems.get(str(kind), _NOT_AN_ADDRESS))
        else:
            self.cleaned_data["address"] = address

    def _pem(self, name: str) -> str:
        """What was uploaded, else pasted, else (the key only) what is stored."""
        upload = self.cleaned_data.get(f"{name}_file")
        if upload is not None:
            if upload.size > _LONGEST_PEM:
                self.add_error(f"{name}_file", _("This file is too long to be a certificate or a key."))
                return ""
            return upload.read().decode("ascii", "replace")  # type: ignore[no-any-return]
        text: str = self.cleaned_data.get(name) or ""
        if not text and name == "tls_key" and self.host is not None:
            return self.host.tls_key
        return text

    def _check_pems(self) -> None:
        ca = self._certificate("tls_ca")
        certificate = self._certificate("tls_certificate")
        key = self._key()
        if "tls_key" in self.errors or "tls_certificate" in self.errors:
            return
        if (certificate is None) != (key is None):
            missing = "tls_key" if key is None else "tls_certificate"
            self.add_error(missing, _("A client certificate and its key come together."))
        elif certificate is not None and key is not None and _public(certificate) != _public(key):
            self.add_error("tls_key", _("This key does not belong to the client certificate."))
        if ca is None and certificate is None and "tls_ca" not in self.errors:
            self.add_error("tls_ca", _("Paste the certificates that were made for this engine."))

    def _certificate(self, name: str) -> x509.Certificate | None:
        text = self.cleaned_data[name]
        if not text:
            return None
        try:
            certificate = x509.load_pem_x509_certificates(text.encode())[0]
            certificate.public_key()  # raises as well
            return certificate
        except UnsupportedAlgorithm:
            self.add_error(name, _UNSUPPORTED)
        except ValueError:
            self.add_error(
                name,
                _("This is not a certificate in PEM form: it begins with “-----BEGIN CERTIFICATE-----”."),
            )
        return None

    def _key(self) -> Any:
        text = self.cleaned_data["tls_key"]
        if not text:
            return None
        try:
            return serialization.load_pem_private_key(text.encode(), password=None)
        except TypeError:
            self.add_error(
                "tls_key",
                _("This key is protected by a passphrase. Paste one without, it is stored encrypted."),
            )
        except ValueError:
            self.add_error("tls_key", _("This is not a private key in PEM form."))
        except UnsupportedAlgorithm:
            self.add_error("tls_key", _UNSUPPORTED)
        return None


_UNSUPPORTED = _("This kind of key is not supported. Use RSA, Ed25519, or a curve of NIST such as P-256.")
_NOT_A_SOCKET = _("Write the path of the engine's socket, such as /var/run/docker.sock.")
_NOT_AN_ADDRESS = _(
    "Write a name or an IP address and maybe a port from 1 to 65535, such as docker.example.org:2376."
)


def _public(holder: Any) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return holder.public_key().public_bytes(encoding, form)  # type: ignore[no-any-return]


def _connection_of(host: Host) -> dict[str, Any]:
    """What the form shows of a host; the private key is never among it."""
    scheme = host.address.partition(":")[0]
    kind = scheme if scheme in {"unix", "ssh"} else "tls" if host.use_tls else "tcp"
    return {
        "name": host.name,
        "kind": kind,
        "address": host.address,
        "tls_ca": host.tls_ca,
        "tls_certificate": host.tls_certificate,
        "ssh_host_key": host.ssh_host_key,
        "groups": host.groups.all(),
        "image_budget": Decimal(host.image_budget_bytes) / GIGABYTE if host.image_budget_bytes else None,
    }


LIMITS = ("most_transfers", "most_builds", "most_removals")


def _most(label: Any, help_text: Any = "") -> forms.IntegerField:
    """How many jobs of a sort a host does at once; left empty, as many as it did before."""
    return forms.IntegerField(
        label=label, help_text=help_text, required=False, min_value=1, max_value=_MOST_AT_ONCE
    )


class HostForm(ConnectionForm, WholeRowForm):
    """A host as a person describes it."""

    name = NameField(help_text=_("What your team calls this machine."))
    groups = RowsField(
        label=_("Groups"),
        queryset=HostGroup.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Teams get their rights, and policies their hosts, by group."),
    )
    image_budget = forms.DecimalField(
        label=_("Image budget in GB"),
        required=False,
        min_value=Decimal("0.1"),
        max_value=Decimal(10**6),
        help_text=_("How much its images should take at most. Engines do not tell the size of their disk."),
    )
    most_transfers = _most(_("Pulls and pushes at once"))
    most_builds = _most(_("Builds at once"))
    most_removals = _most(_("Removals at once"), _("One after another each can be measured for itself."))
    field_order = ["name", "kind", "address"]

    def __init__(self, *args: Any, user: User, host: Host | None = None, **kwargs: Any) -> None:
        super().__init__(*args, user=user, host=host, **kwargs)
        self.user = user
        for name in LIMITS:
            self.fields[name].initial = getattr(host or Host(), name)
        own = access.groups_for(user, Permission.MANAGE_HOST)
        self.fields["groups"].queryset = own  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Host.objects.filter(name__iexact=name)
        if self.host is not None:
            others = others.exclude(pk=self.host.pk)
        if others.exists():
            raise ValidationError(_("There is a host of this name already."), code="unique")
        return name

    def clean_groups(self) -> list[HostGroup]:
        """The groups chosen, and those it is in that this person has no say about."""
        chosen = list(self.cleaned_data["groups"])
        if self.host is None:
            return chosen
        own = {group.pk for group in access.groups_for(self.user, Permission.MANAGE_HOST)}
        groups = chosen + [group for group in self.host.groups.all() if group.pk not in own]
        try:
            access.check_group_change(self.user, self.host, groups)
        except PermissionDenied as error:
            raise ValidationError(str(error), code="forbidden") from error
        return groups

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if data.get("kind") == "ssh" and not (data["ssh_host_key"] or "ssh_host_key" in self.errors):
            self.add_error("ssh_host_key", ssh.NOT_CONFIRMED)
        return data

    def values(self) -> dict[str, Any]:
        """What the services of hosts take."""
        data, budget = self.cleaned_data, self.cleaned_data["image_budget"]
        names = (
            "name",
            "address",
            "use_tls",
            "tls_ca",
            "tls_certificate",
            "tls_key",
            "ssh_key",
            "ssh_host_key",
            "groups",
        )
        return {name: data[name] for name in names} | {
            "image_budget_bytes": int(budget * GIGABYTE) if budget else None,
            **{name: data[name] for name in LIMITS if data[name]},
        }


class HostFilterForm(StyledForm):
    q = SearchField()
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("Any state")), *HostState.choices, (SWITCHED_OFF, _("Switched off"))],
    )
    group = forms.ModelChoiceField(
        HostGroup.objects.none(), label=_("Group"), required=False, empty_label=_("All groups")
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["group"].queryset = access.groups_for(user, Permission.VIEW)  # type: ignore[attr-defined]

    def filter(self, hosts: HostQuerySet) -> HostQuerySet:
        self.is_valid()
        data = self.cleaned_data
        if text := data.get("q"):
            hosts = hosts.filter(
                Q(name__icontains=text) | Q(address__icontains=text) | Q(engine_version__icontains=text)
            )
        if data.get("state") == SWITCHED_OFF:
            hosts = hosts.filter(is_enabled=False)
        elif data.get("state"):
            # A host that is off keeps the state it was in, which says nothing by now.
            hosts = hosts.filter(state=data["state"], is_enabled=True)
        if data.get("group"):
            hosts = hosts.filter(groups=data["group"])
        return hosts
