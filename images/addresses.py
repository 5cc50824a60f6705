"""How a person writes the address of an engine, and how Drydock keeps it. Pure."""

import re
from dataclasses import dataclass

SOCKET = "unix:///var/run/docker.sock"
PLAIN_PORT, TLS_PORT = 2375, 2376
SSH_PORT, SSH_SOCKET = 22, "/var/run/docker.sock"
_NAME = re.compile(r"^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)$")
# The path is narrower than a path may be: ssh expands %, $ and ~ in it, and a colon would end it.
_SSH = re.compile(
    r"^(?:ssh://)?(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>\[[^\]]*\]|[^:/\[\]]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[A-Za-z0-9_./@+,=-]*)?$"
)


def socket_address(text: str) -> str:
    """`unix:///path` for a path or an address of one. Raises ValueError for anything else."""
    path = text.strip().removeprefix("unix://")
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise ValueError(text)
    return f"unix://{path}"


def network_address(text: str, *, use_tls: bool) -> str:
    """`tcp://host:port` for a name, an IP address, or an address of either; the port may be left out.

    Raises ValueError for anything else.
    """
    rest = re.sub(r"^(?:tcp|https?)://", "", text.strip()).rstrip("/")
    name, _, port = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not name:
        name, port = rest, ""
    number = (
        int(port) if port.isdecimal() and port.isascii() else TLS_PORT if use_tls and not port else PLAIN_PORT
    )
    if not _NAME.match(name) or (port and not port.isdecimal()) or not 0 < number < 65536:
        raise ValueError(text)
    return f"tcp://{name}:{number}"


@dataclass(frozen=True)
class SshAddress:
    """Whom ssh goes to as whom, and the engine's socket there. Nothing in it can be taken for an option."""

    user: str
    host: str  # an IPv6 address without brackets
    port: int
    path: str

    @property
    def text(self) -> str:
        """What is kept and shown: without port and path where they are the usual ones."""
        return f"ssh://{self.user}@{self.place}{'' if self.path == SSH_SOCKET else self.path}"

    @property
    def place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SSH_PORT else f"{host}:{self.port}"


def ssh_parts(text: str) -> SshAddress:
    """Reads `user@host`, maybe with a port and the path of the engine's socket. Raises ValueError."""
    found = _SSH.fullmatch(text.strip())
    if not found or not _NAME.fullmatch(found["host"]):
        raise ValueError(text)
    port = int(found["port"] or SSH_PORT)
    path = found["path"] if found["path"] not in {None, "/"} else SSH_SOCKET
    if not 0 < port < 65536 or path.endswith("/"):
        raise ValueError(text)
    return SshAddress(found["user"], found["host"].strip("[]"), port, path)


def ssh_address(text: str) -> str:
    """`ssh://user@host` for the same, with port and path where they are not the usual ones."""
    return ssh_parts(text).text
