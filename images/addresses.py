"""How a person writes the address of an engine, and how Drydock keeps it. Pure."""

import re

SOCKET = "unix:///var/run/docker.sock"
PLAIN_PORT, TLS_PORT = 2375, 2376
_NAME = re.compile(r"^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)$")


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
