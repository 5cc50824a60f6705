"""Pulls and pushes: what the engine tells line by line, typed, with every error an exception.

docker-py's own calls drop errors that come in the stream and wait for ever; these do neither.
"""

import contextlib
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from docker.auth import encode_header
from docker.errors import APIError
from urllib3.exceptions import ReadTimeoutError

from images.engine.client import CONNECT_SECONDS, Engine
from images.engine.failures import failure, refused
from images.engine.stream import check_status, json_lines
from images.errors import UserError

# An engine tells at least every second how far it is; this long without a word and the registry, or it, hangs.
SILENT_SECONDS = 120.0
PING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account at a registry. The password stays out of repr."""

    username: str
    password: str
    registry: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r} at {self.registry!r})"

    def header(self) -> dict[str, Any]:
        fields = {"username": self.username, "password": self.password, "serveraddress": self.registry}
        return {"X-Registry-Auth": encode_header(fields)}


NO_ACCOUNT: dict[str, Any] = {"X-Registry-Auth": encode_header({})}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a transfer: what a layer does, or what the engine says about the whole."""

    layer: str = ""
    text: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    aux: Mapping[str, Any] = field(default_factory=dict)


def pull(
    engine: Engine,
    repository: str,
    *,
    tag: str = "",
    platform: str = "",
    credentials: Credentials | None = None,
    subject: str = "",
    host: str = "",
    registry: str = "",
) -> Generator[Line]:
    """Has the engine pull; `tag` may be a digest, empty means every tag. Ends when all is there; closing it cancels.

    Raises UserError as `failures.failure` tells it. When nothing is heard for SILENT_SECONDS: registry_silent
    where the engine itself still answers, else host_timeout.
    """
    parameters = {"fromImage": repository, "tag": tag or None, "platform": platform or None}
    yield from _transfer(
        engine, "/images/create", parameters, credentials, subject=subject, host=host, registry=registry
    )


def push(
    engine: Engine,
    repository: str,
    *,
    tag: str,
    credentials: Credentials | None = None,
    subject: str = "",
    host: str = "",
    registry: str = "",
) -> Generator[Line]:
    """Has the engine push one tag; closing it cancels. Raises UserError as `pull` does."""
    # An engine refuses a push without the header, also where no account is needed.
    yield from _transfer(
        engine,
        f"/images/{repository}/push",
        {"tag": tag},
        credentials,
        subject=subject,
        host=host,
        registry=registry,
    )


def _transfer(
    engine: Engine, path: str, parameters: dict[str, Any], credentials: Credentials | None, **about: str
) -> Generator[Line]:
    api = engine.api
    headers = credentials.header() if credentials else NO_ACCOUNT
    try:
        response = api._post(
            api._url(path),
            params=parameters,
            headers=headers,
            stream=True,
            timeout=(CONNECT_SECONDS, SILENT_SECONDS),
        )
        check_status(api, response)
    except APIError as error:
        raise refused(error, **about) from error
    except requests.ReadTimeout as error:
        # Engines answer a pull with nothing at all until the registry has told them something.
        raise _silence(engine, error, about) from error
    # An engine whose answer nobody reads goes on; closing the connection ends what it does.
    with contextlib.closing(response):
        for line in _heard(engine, response, about):
            if text := _error(line):
                raise failure(text, **about)
            yield _line(line)


def _heard(engine: Engine, response: Any, about: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The lines; silence of an engine that still answers when asked is the registry's silence."""
    try:
        yield from json_lines(response)
    except requests.ConnectionError as error:  # what docker-py's library makes of a read that took too long
        if not isinstance(error.args[0] if error.args else None, ReadTimeoutError):
            raise
        raise _silence(engine, error, about) from error


def _silence(engine: Engine, error: Exception, about: Mapping[str, str]) -> UserError:
    """Whose silence it is. Raises host_timeout when the engine does not answer either."""
    engine.ping(PING_SECONDS)
    return UserError("registry_silent", raw=str(error), seconds=f"{SILENT_SECONDS:g}", **about)


def _error(line: Mapping[str, Any]) -> str:
    detail = line.get("errorDetail") or {}
    return str(line.get("error") or detail.get("message") or "")


def _line(line: Mapping[str, Any]) -> Line:
    progress = line.get("progressDetail") or {}
    aux = line.get("aux")
    return Line(
        layer=str(line.get("id") or ""),
        text=str(line.get("status") or line.get("stream") or "").strip(),
        done_bytes=int(progress.get("current") or 0),
        total_bytes=int(progress.get("total") or 0),
        aux=aux if isinstance(aux, Mapping) else {},
    )


# What a layer's status means; the words are the same on every engine. Extraction counts from 0 again.
_STATES: Mapping[str, str] = {
    "pulling fs layer": "waiting", "waiting": "waiting", "preparing": "waiting",
    "downloading": "downloading", "verifying checksum": "verifying", "download complete": "downloaded",
    "extracting": "extracting", "pull complete": "done", "already exists": "exists",
    "pushing": "pushing", "pushed": "done", "layer already exists": "exists",
}  # fmt: skip
_MOUNTED = re.compile(r"^mounted from (.+)$", re.IGNORECASE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ENDED = frozenset({"done", "exists"})


@dataclass(slots=True)
class Layer:
    """How far one layer is. `done_bytes` of the transfer alone; a size of 0 is not known."""

    layer_id: str
    state: str = "waiting"
    done_bytes: int = 0
    total_bytes: int = 0
    extracted_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.layer_id, "state": self.state, "done": self.done_bytes, "total": self.total_bytes,
            "extracted": self.extracted_bytes,
        }  # fmt: skip


class Layers:
    """Gathers the lines of a transfer into the state of each layer, in the order they were first named."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.digest = ""
        self.tags: list[str] = []  # of a pull of every tag

    def take(self, line: Line) -> bool:
        """Notes a line; whether it was about a layer. Others are worth a line in the log."""
        state = _STATES.get(line.text.lower())
        if _MOUNTED.match(line.text):
            state = "exists"
        if line.layer and line.text.lower().startswith("pulling from"):
            self.tags.append(line.layer)  # "latest: Pulling from library/redis"
            return False
        if not line.layer or state is None:
            self._whole(line)
            return False
        layer = self.layers.setdefault(line.layer, Layer(line.layer))
        layer.state = state
        if state in ("downloading", "pushing"):
            layer.done_bytes = line.done_bytes
            layer.total_bytes = max(line.total_bytes, layer.total_bytes, line.done_bytes)
        elif state == "extracting":
            layer.extracted_bytes = line.done_bytes
            layer.total_bytes = max(line.total_bytes, layer.total_bytes)
        if state in ("verifying", "downloaded", "extracting", "done"):
            layer.done_bytes = layer.total_bytes
        return True

    def ended(self) -> None:
        """All went well: Podman (5.8) says "Download complete" of a layer and nothing after it."""
        for layer in self.layers.values():
            layer.state = layer.state if layer.state in ENDED else "done"

    def _whole(self, line: Line) -> None:
        """The digest of all: "Digest: sha256:..." of a pull, "latest: digest: sha256:... size: 528" of a push."""
        if "digest:" in line.text.lower() and (found := _DIGEST.search(line.text)):
            self.digest = found[0]
        if digest := line.aux.get("Digest"):
            self.digest = str(digest)

    @property
    def done_bytes(self) -> int:
        return sum(layer.done_bytes for layer in self.layers.values())

    @property
    def total_bytes(self) -> int:
        return sum(layer.total_bytes for layer in self.layers.values())

    def as_json(self) -> list[dict[str, Any]]:
        return [layer.as_json() for layer in self.layers.values()]
