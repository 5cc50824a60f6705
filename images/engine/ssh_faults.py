"""What OpenSSH's client says, as one of images/problems. Its words were the same from OpenSSH 7 to 9."""

import re
from collections.abc import Sequence

from images.errors import UserError
from images.ssh_keys import HostKey

# The first that occurs in the text wins.
_SIGNS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("host_unknown_name", ("could not resolve hostname",)),
    ("host_ssh_refused", ("connection refused",)),
    ("host_ssh_timeout", ("timed out", "not responding")),
    ("host_ssh_auth", ("permission denied", "too many authentication failures")),
    ("host_no_ssh_client", ("no such file or directory: 'ssh'",)),
)
_CHANGED = ("identification has changed", "host key verification failed", "host key is known for")
_LOOKS = {"missing": "host_ssh_no_socket", "denied": "host_ssh_permission", "usable": "host_ssh_forwarding"}
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def not_started(text: str, address: str, host_key: str) -> UserError:
    """Why ssh ended before there was a way."""
    low = text.lower()
    if any(sign in low for sign in _CHANGED):
        found = _FINGERPRINT.search(text)
        return host_key_changed(address, host_key, found[0] if found else "?")
    code = next((code for code, signs in _SIGNS if any(sign in low for sign in signs)), "host_ssh_failed")
    return UserError(code, address=address, user=_user(address), seconds="10", raw=text[:4000])


def host_key_changed(address: str, expected: str, found: str) -> UserError:
    """`found` is the fingerprint. ssh's own text names files of Drydock that are nobody's business."""
    known = HostKey.of(expected)
    return UserError(
        "host_key_changed", address=address, expected=known.fingerprint, found=found, command=known.command
    )


def way_refused(text: str, address: str, looked: str) -> UserError:
    """ssh is connected, but the other side does not pass on to the engine; `looked` is what is at its path."""
    code = _LOOKS.get(looked, "host_ssh_no_way")
    path = re.sub(r"^ssh://[^/]*", "", address) or "/var/run/docker.sock"
    return UserError(code, address=address, user=_user(address), path=path, raw=text[:4000])


def _user(address: str) -> str:
    return address.removeprefix("ssh://").partition("@")[0]
