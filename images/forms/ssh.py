"""The part of a host's form that is about ssh: the private key, and the host key that a person confirms."""

from typing import Any

from cryptography.fernet import InvalidToken
from django import forms
from django.utils.translation import gettext_lazy as _

from images.addresses import SSH_SOCKET, ssh_parts
from images.models import Host
from images.models.fields import opened, sealed
from images.ssh_keys import HostKey, KeyProblem, private_key, public_line

NOT_AN_SSH_ADDRESS = _(
    "Write it as user@machine, such as drydock@10.0.0.5 or drydock@docker.example.org:2222."
)
NO_KEY = _("Paste the private key that this user's authorized_keys knows, or have Drydock make one.")
NOT_CONFIRMED = _(
    "Check the connection first: it shows the fingerprint of the host's key. Compare it and confirm it, then save."
)
NOT_A_HOST_KEY = _("This is not the host key of an ssh server. Check the connection again.")
MADE_SECONDS = 24 * 3600  # how long a key that was made waits to be used

_WHY: dict[str, Any] = {
    "public": _("This is the public half. Paste the private key: it begins with “-----BEGIN”."),
    "putty": _("This is a key of PuTTY. Export it with PuTTYgen as an OpenSSH key."),
    "passphrase": _("This key is protected by a passphrase. Paste one without, it is stored encrypted."),
    "kind": _("This kind of key can not be used here. Use Ed25519, ECDSA or RSA."),
    "unreadable": _(
        "This is not a private key of OpenSSH: it begins with “-----BEGIN OPENSSH PRIVATE KEY-----”."
    ),
}


class SshFields:
    """What a form with the fields ssh_key, ssh_made_key and ssh_host_key does with them."""

    host: Host | None
    cleaned_data: dict[str, Any]
    add_error: Any

    def _clean_ssh_key(self, pasted: str) -> str:
        """What was pasted, else what Drydock made for this form, else what is stored; "" with an error beside it."""
        stored = self.host.ssh_key if self.host else ""
        try:
            made = opened(self.cleaned_data.get("ssh_made_key") or "", MADE_SECONDS)
        except InvalidToken:
            made = ""
        if pasted.strip():
            try:
                return private_key(pasted)
            except KeyProblem as problem:
                self.add_error("ssh_key", _WHY[problem.reason])
                return ""
        if not (made or stored):
            self.add_error("ssh_key", NO_KEY)
        return made or stored

    def _clean_ssh_host_key(self) -> str:
        """`type key`, "" when none was confirmed; what was confirmed for another machine does not count."""
        text: str = self.cleaned_data.get("ssh_host_key") or ""
        if not text:
            return ""
        try:
            key = HostKey.of(text)
        except ValueError:
            self.add_error("ssh_host_key", NOT_A_HOST_KEY)
            return ""
        line = f"{key.type} {key.body}"
        is_stored = self.host is not None and line == self.host.ssh_host_key
        return "" if is_stored and not self._is_same_place() else line

    def _is_same_place(self) -> bool:
        try:
            here, there = ssh_parts(self.cleaned_data["address"]), ssh_parts(self.host.address)  # type: ignore[union-attr]
        except (KeyError, ValueError):
            return False
        return (here.host, here.port) == (there.host, there.port)


def restriction(path: str) -> str:
    """What stands before the key in authorized_keys, so that it opens the engine's socket and nothing else."""
    return f'restrict,port-forwarding,command="/bin/false",permitopen="[{path}]:*"'


def made(key: str, address: str) -> dict[str, str]:
    """What a page shows of a key that was made: the line for authorized_keys, and the key itself under seal."""
    try:
        path = ssh_parts(address).path
    except ValueError:
        path = SSH_SOCKET  # no address is written yet
    return {"public": f"{restriction(path)} {public_line(key)} drydock", "sealed": sealed(key)}


def hidden(most: int) -> forms.CharField:
    return forms.CharField(required=False, max_length=most, widget=forms.HiddenInput)
