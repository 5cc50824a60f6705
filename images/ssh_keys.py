"""Keys of ssh: what a person pastes as a private key, and what a host shows as its own. Pure."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

# What ssh-keyscan is asked for and a person is shown: the first of these that a host has.
HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
_NAMES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
_FILES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


class KeyProblem(ValueError):
    """Why a text is no key that can be used: "public", "putty", "passphrase", "kind" or "unreadable"."""

    @property
    def reason(self) -> str:
        return str(self.args[0])


def private_key(text: str) -> str:
    """The key in the one form that every OpenSSH reads. Raises KeyProblem."""
    text = text.replace("\r\n", "\n").strip() + "\n"
    if text.startswith("PuTTY-User-Key-File"):
        raise KeyProblem("putty")
    if re.match(r"(ssh|ecdsa|sk)-\S+ AAAA", text) or "BEGIN PUBLIC KEY" in text:
        raise KeyProblem("public")
    key = _loaded(text.encode())
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeyProblem("kind")
    form, none = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none).decode()


def _loaded(data: bytes) -> object:
    is_openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        return load(data, password=None)
    except TypeError as error:
        raise KeyProblem("passphrase") from error
    except UnsupportedAlgorithm as error:
        raise KeyProblem("kind") from error
    except ValueError as error:
        is_protected = "password" in str(error).lower() or b"ENCRYPTED" in data
        raise KeyProblem("passphrase" if is_protected else "unreadable") from error


def public_line(private: str) -> str:
    """The line that belongs into authorized_keys for a key that `private_key` gave."""
    key = serialization.load_ssh_private_key(private.encode(), password=None)
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


def new_private_key() -> str:
    """A new key of the kind that is short, quick and safe."""
    form, none = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, form, none).decode()


@dataclass(frozen=True)
class HostKey:
    """The key by which a host proves who it is."""

    type: str
    body: str  # in base64

    @classmethod
    def of(cls, line: str) -> "HostKey":
        """From `type key` or a line of known_hosts, which begins with names. Raises ValueError."""
        words = line.split()
        at = next((number for number, word in enumerate(words) if word in HOST_KEY_TYPES), -1)
        if at < 0 or len(words) < at + 2:
            raise ValueError(line)
        try:
            data = base64.b64decode(words[at + 1], validate=True)
        except binascii.Error as error:
            raise ValueError(line) from error
        # The type stands in the key as well, behind its length.
        if not data[4:].startswith(words[at].encode()) or len(words[at + 1]) > 4000:
            raise ValueError(line)
        return cls(words[at], words[at + 1])

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen shows it: without padding."""
        digest = hashlib.sha256(base64.b64decode(self.body)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def name(self) -> str:
        """The type as ssh-keygen calls it."""
        return _NAMES.get(self.type, "ECDSA")

    @property
    def command(self) -> str:
        """What shows the fingerprint on the host itself."""
        return f"ssh-keygen -lf /etc/ssh/ssh_host_{_FILES.get(self.type, 'ecdsa')}_key.pub"

    def line(self, name: str) -> str:
        """A line of known_hosts."""
        return f"{name} {self.type} {self.body}"


def best(keys: list[HostKey], like: "HostKey | None" = None) -> HostKey:
    """The key to show, of the type of `like` where there is one. The list must not be empty."""
    same = [key for key in keys if like and key.type == like.type]
    return min(same or keys, key=lambda key: HOST_KEY_TYPES.index(key.type))
