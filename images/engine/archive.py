"""`docker save` and `docker load` as streams: archives out of an engine and into one, and who hangs is noticed.

docker-py's own calls wait for ever and drop errors that come in the stream; these do neither. A graph driver writes
the whole archive to its disk before it sends the first byte, and unpacks after it took the last: quiet for minutes is
no fault. So they are used inside a `quiet.Watch`.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from docker.errors import APIError, NotFound

from images.engine.client import CONNECT_SECONDS, Engine
from images.engine.quiet import ANSWER_SECONDS
from images.engine.stream import check_status, json_lines
from images.errors import UserError

_SEND_SECONDS = 900.0  # for one piece to be taken by a disk that is slow
_READ_BYTES = 256 * 1024

_SIGNS = (
    ("disk_full", ("no space left on device", "disk quota exceeded")),
    ("archive_broken", ("unexpected eof", "invalid tar header", "checksum", "invalid argument: unexpected",
                        "invalid diffid", "flate:", "gzip:", "short read", "zstd", "magic number")),
    ("archive_not_images", ("manifest.json", "repositories", "json: no such file", "invalid archive",
                            "unrecognized image format", "does not match any of the supported image formats",
                            "no such file or directory", "invalid manifest", "index.json", "not an oci")),
)  # fmt: skip
_LOADED = re.compile(r"^Loaded image(?:\(s\))?(?: ID)?: (.+)$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """One line of a load: how far a layer is, or a reference or ID that is there now."""

    layer: str = ""
    text: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    names: tuple[str, ...] = ()


def save(engine: Engine, names: Sequence[str], *, host: str = "") -> Iterator[bytes]:
    """The archive of these references or IDs, in pieces as they come.

    Raises UserError copy_gone (copy_source_gone without `host`) when one is not there, engine_refused, and faults
    of the connection as the SDK does.
    """
    api = engine.api
    try:
        response = api._get(
            api._url("/images/get"), params={"names": list(names)}, stream=True,
            timeout=(CONNECT_SECONDS, None),
        )  # fmt: skip
        check_status(api, response)
    except NotFound as error:
        raw = str(error.explanation or error)
        code = "copy_gone" if host else "copy_source_gone"
        raise UserError(code, subject=", ".join(names[:3]), host=host, raw=raw) from error
    except APIError as error:
        raise load_failure(str(error.explanation or error), host=host, code="engine_refused") from error
    with contextlib.closing(response):
        yield from response.raw.stream(_READ_BYTES, decode_content=False)


def load(engine: Engine, pieces: Iterable[bytes], *, host: str) -> Iterator[Loaded]:
    """Has the engine load an archive, and tells what it says. It begins once all pieces were taken.

    Raises UserError disk_full, archive_broken, archive_not_images or engine_refused; whatever `pieces` raises; and
    faults of the connection as the SDK does.
    """
    api = engine.api
    feed = _Feed(pieces)
    try:
        response = api._post(
            api._url("/images/load"), params={"quiet": 0}, data=feed, stream=True,
            headers={"Content-Type": "application/x-tar"}, timeout=(_SEND_SECONDS, None),
        )  # fmt: skip
        check_status(api, response)
    except APIError as error:
        raise load_failure(str(error.explanation or error), host=host) from error
    except requests.ConnectionError as error:
        # An engine that has read enough answers and closes; on TCP its answer may be lost with the reset.
        if feed.is_spent or not _answers(engine):
            raise
        raise UserError("archive_refused", host=host, raw=str(error)[:2000]) from error
    with contextlib.closing(response):
        for line in json_lines(response):
            detail = line.get("errorDetail") or {}
            if text := str(line.get("error") or detail.get("message") or ""):
                raise load_failure(text, host=host)
            yield _loaded(line)


class _Feed:
    """An iterable without a length, so that it is sent piece by piece; notes whether all was asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self.is_spent = pieces, False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if piece:  # an empty one would end a chunked request
                yield piece
        self.is_spent = True


def _answers(engine: Engine) -> bool:
    try:
        engine.ping(ANSWER_SECONDS)
    except UserError:
        return False
    return True


def load_failure(text: str, *, host: str, code: str = "engine_refused") -> UserError:
    """The problem that an engine's text about an archive speaks of."""
    low = text.lower()
    found = next((name for name, signs in _SIGNS if any(sign in low for sign in signs)), code)
    return UserError(found, raw=text[:4000], host=host)


def _loaded(line: Mapping[str, Any]) -> Loaded:
    progress = line.get("progressDetail") or {}
    text = str(line.get("stream") or line.get("status") or "").strip()
    found = _LOADED.match(text)
    return Loaded(
        layer=str(line.get("id") or ""),
        text=text,
        done_bytes=int(progress.get("current") or 0),
        total_bytes=int(progress.get("total") or 0),
        names=tuple(part.strip() for part in found[1].split(",")) if found else (),
    )


def tag(engine: Engine, engine_id: str, reference: str) -> None:
    """Gives an image one more name. Raises docker.errors.APIError."""
    repository, _, name = reference.rpartition(":")
    engine.api.tag(engine_id, repository, name)
