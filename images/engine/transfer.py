"""Pulls and pushes: what the engine tells line by line, typed, with every error an exception.

docker-py's own calls drop errors that come in the stream and wait for ever; these do neither.
"""

import contextlib
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from docker.auth import encode_header
from docker.errors import APIError

from images.engine.client import CONNECT_SECONDS, Engine
from images.engine.failures import failure, refused
from images.engine.quiet import Watch
from images.engine.stream import check_status, json_lines
from images.errors import UserError
from images.meter import Meter

# An engine tells at least every second how far it is; this long without a word and the registry hangs.
SILENT_SECONDS = 120.0
# It downloads three layers at a time and uploads five, of all transfers together: the others' layers wait in silence.
# (With the containerd store pushes do not queue; "Waiting" means for the registry there.)
QUEUED_SECONDS = 1800.0

Patience = Callable[[], float]
"""For how many seconds the registry may say nothing, as things stand."""


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
    patience: Patience = lambda: SILENT_SECONDS,
) -> Generator[Line]:
    """Has the engine pull; `tag` may be a digest, empty means every tag. Ends when all is there; closing it cancels.

    Raises UserError as `failures.failure` tells it; registry_silent when nothing was heard for longer than `patience`,
    host_timeout when the engine itself does not answer any more.
    """
    parameters = {"fromImage": repository, "tag": tag or None, "platform": platform or None}
    about = {"subject": subject, "host": host, "registry": registry}
    yield from _transfer(engine, "/images/create", parameters, credentials, patience, about)


def push(
    engine: Engine,
    repository: str,
    *,
    tag: str,
    credentials: Credentials | None = None,
    subject: str = "",
    host: str = "",
    registry: str = "",
    patience: Patience = lambda: SILENT_SECONDS,
) -> Generator[Line]:
    """Has the engine push one tag; closing it cancels. Raises UserError as `pull` does."""
    about = {"subject": subject, "host": host, "registry": registry}
    # An engine refuses a push without the header, also where no account is needed.
    yield from _transfer(engine, f"/images/{repository}/push", {"tag": tag}, credentials, patience, about)


def _transfer(
    engine: Engine,
    path: str,
    parameters: dict[str, Any],
    credentials: Credentials | None,
    patience: Patience,
    about: Mapping[str, str],
) -> Generator[Line]:
    def verdict(quiet_seconds: float) -> UserError | None:
        limit = patience()
        return UserError("registry_silent", seconds=f"{limit:g}", **about) if quiet_seconds > limit else None

    api = engine.api
    headers = credentials.header() if credentials else NO_ACCOUNT
    said: dict[str, Line] = {}
    with Watch(engine, verdict=verdict) as watch:
        try:
            # Engines answer a pull with nothing at all until the registry has told them something.
            response = api._post(
                api._url(path),
                params=parameters,
                headers=headers,
                stream=True,
                timeout=(CONNECT_SECONDS, None),
            )
            check_status(api, response)
        except APIError as error:
            raise refused(error, **about) from error
        # An engine whose answer nobody reads goes on; closing the connection ends what it does.
        with contextlib.closing(response):
            for line in json_lines(response):
                if text := _error(line):
                    raise failure(text, **about)
                told = _line(line)
                # With the containerd store an engine repeats itself ten times a second, also while nothing moves.
                if told != said.get(told.layer):
                    watch.note()
                said[told.layer] = told
                yield told


def _error(line: Mapping[str, Any]) -> str:
    detail = line.get("errorDetail") or {}
    return str(line.get("error") or detail.get("message") or "")


def _line(line: Mapping[str, Any]) -> Line:
    progress = line.get("progressDetail") or {}
    if progress.get("units"):
        # The containerd store (28) counts the seconds that it unpacks, and not bytes.
        progress = {}
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
    "extracting": "extracting", "loading layer": "extracting", "pull complete": "done", "already exists": "exists",
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
    is_queued: bool = False  # the engine is busy with others and has not begun with it
    meter: Meter = field(default_factory=Meter)

    @property
    def is_moving(self) -> bool:
        return self.state in ("downloading", "pushing")

    def measure(self, now: float) -> None:
        if self.is_moving:
            self.meter.measure(self.done_bytes, now)

    def as_json(self) -> dict[str, Any]:
        moving = self.meter if self.is_moving else Meter()
        return {
            "id": self.layer_id, "state": self.state, "done": self.done_bytes, "total": self.total_bytes,
            "extracted": self.extracted_bytes, "rate": moving.rate,
            "left": moving.left(self.done_bytes, self.total_bytes),
        }  # fmt: skip


class Layers:
    """Gathers the lines of a transfer into the state of each layer, in the order they were first named."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, is_queueing: bool = True) -> None:
        """`is_queueing`: whether "Waiting" means that the engine is busy with others."""
        self.clock, self._is_queueing = clock, is_queueing
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
        layer.is_queued = self._is_queueing and line.text.lower() == "waiting"
        if layer.is_moving:
            layer.done_bytes = line.done_bytes
            layer.total_bytes = max(line.total_bytes, layer.total_bytes, line.done_bytes)
            layer.measure(self.clock())
        elif state == "extracting":
            layer.extracted_bytes = line.done_bytes
            layer.total_bytes = max(line.total_bytes, layer.total_bytes)
            if line.text.lower() == "loading layer" and 0 < line.total_bytes <= line.done_bytes:
                layer.state = "done"  # a load says nothing else at the end of a layer
        if state in ("verifying", "downloaded", "extracting", "done"):
            layer.done_bytes = layer.total_bytes
        return True

    def patience(self) -> float:
        """For how long silence is no fault of the registry, in seconds."""
        open_layers = [layer for layer in self.layers.values() if layer.state not in ENDED]
        is_queued = bool(open_layers) and all(layer.is_queued for layer in open_layers)
        return QUEUED_SECONDS if is_queued else SILENT_SECONDS

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
        now = self.clock()
        for layer in self.layers.values():
            # Engines say nothing of a layer that has come to a halt: its rate must fall all the same.
            layer.measure(now)
        return [layer.as_json() for layer in self.layers.values()]
