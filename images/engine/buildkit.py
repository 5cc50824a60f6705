"""Reads BuildKit's progress: a protobuf StatusResponse in each line of the engine's answer.

A reader of the wire format is forty lines and knows the handful of fields that are drawn; the library would
need generated modules of somebody else's project, or as many lines to describe the messages to it. Unknown
fields are passed over, as newer engines send more.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Vertex:
    """One step: told again whenever something about it changes."""

    digest: str
    name: str = ""
    is_cached: bool = False
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a part of a step is, such as a layer that comes or is exported; in bytes."""

    key: str
    vertex: str
    name: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """What a step wrote; pieces end where the engine cut them, not at lines. `stream`: 1 or 2, its stdout or stderr."""

    vertex: str
    text: bytes = b""
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Warned:
    """What BuildKit holds against the Dockerfile."""

    vertex: str
    text: str = ""


Told = Vertex | Status | Log | Warned


class Malformed(ValueError):
    """The bytes are no protobuf message."""


def told(aux: str) -> Iterator[Told]:
    """What one `moby.buildkit.trace` line says. Raises Malformed."""
    try:
        data = base64.b64decode(aux)
    except ValueError as error:
        raise Malformed(str(error)) from error
    makers: dict[int, Callable[[bytes], Told]] = {1: _vertex, 2: _status, 3: _log, 4: _warning}
    for number, value in fields(data):
        if number in makers and isinstance(value, bytes):
            yield makers[number](value)


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in their order: number and value. Raises Malformed."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        length = 8 if kind == _FIXED64 else 4
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind not in (_FIXED64, _FIXED32):
            raise Malformed(f"wire type {kind}")
        if at + length > end:
            raise Malformed("the message is cut off")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise Malformed("a number is cut off")


def _message(data: bytes) -> dict[int, int | bytes]:
    """The last value of each field: none of those that are read here is repeated."""
    return dict(fields(data))


def _text(message: dict[int, int | bytes], number: int) -> str:
    value = message.get(number, b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _number(message: dict[int, int | bytes], number: int) -> int:
    value = message.get(number, 0)
    return value if isinstance(value, int) else 0


def _moment(message: dict[int, int | bytes], number: int) -> datetime | None:
    """A google.protobuf.Timestamp; None where it is missing."""
    value = message.get(number)
    if not isinstance(value, bytes):
        return None
    parts = _message(value)
    return _EPOCH + timedelta(seconds=_number(parts, 1), microseconds=_number(parts, 2) // 1000)


def _vertex(data: bytes) -> Vertex:
    message = _message(data)
    return Vertex(
        digest=_text(message, 1),
        name=_text(message, 3),
        is_cached=bool(_number(message, 4)),
        started_at=_moment(message, 5),
        completed_at=_moment(message, 6),
        error=_text(message, 7),
    )


def _status(data: bytes) -> Status:
    message = _message(data)
    return Status(
        key=_text(message, 1),
        vertex=_text(message, 2),
        name=_text(message, 3),
        done_bytes=_number(message, 4),
        total_bytes=_number(message, 5),
        is_complete=8 in message,
    )


def _log(data: bytes) -> Log:
    message = _message(data)
    text = message.get(4, b"")
    return Log(_text(message, 1), text if isinstance(text, bytes) else b"", _number(message, 3))


def _warning(data: bytes) -> Warned:
    message = _message(data)
    return Warned(_text(message, 1), _text(message, 3))
