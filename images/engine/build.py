"""Builds: the engine's BuildKit without a session, or its classic builder; typed steps, errors in words.

Cutting the connection cancels the build in the engine. A step may be silent for hours, so the answer is waited
for without a limit while the engine answers to pings beside it.
"""

import contextlib
import json
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from docker.errors import APIError

from images.engine.build_failures import build_failure
from images.engine.buildkit import Malformed, told
from images.engine.client import CONNECT_SECONDS, Engine, open_engine
from images.engine.quiet import ANSWER_SECONDS, Watch
from images.engine.steps import Line, Steps
from images.engine.stream import json_lines
from images.errors import UserError

STOPPED = frozenset({"137", "143"})  # the exit codes of what was killed or told to end
STAYS_SECONDS, STAYS_TIMES = 3.0, 6  # how long an engine is watched after that, and how often

TRACE, IMAGE_ID = "moby.buildkit.trace", "moby.image.id"


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What `docker build` is told by its options."""

    tags: Sequence[str] = ()
    dockerfile: str = "Dockerfile"
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    network: str = ""
    platform: str = ""
    is_classic: bool = False

    def query(self) -> dict[str, Any]:
        return {
            "version": "1" if self.is_classic else "2",
            "t": list(self.tags),
            "dockerfile": self.dockerfile,
            "target": self.target or None,
            "buildargs": json.dumps(dict(self.build_args)) if self.build_args else None,
            "labels": json.dumps(dict(self.labels)) if self.labels else None,
            "nocache": "1" if self.no_cache else None,
            "pull": "1" if self.pull else None,
            "networkmode": self.network or None,
            "platform": self.platform or None,
            # Of the classic builder: containers of steps go, also of the one that fails.
            "rm": "1",
            "forcerm": "1",
        }


def build(
    engine: Engine, request: BuildRequest, context: Iterable[bytes], steps: Steps, *, host: str = ""
) -> Generator[list[Line]]:
    """Has the engine build; gives the log lines as they come, while `steps` follows.

    The image's ID is in `steps.image_id` at the end.

    `context` is a tar archive, sent as it is made; what it raises passes. Raises UserError build_*, registry_*,
    disk_full, engine_too_old; host_timeout when the engine stops answering, host_gone when it goes away.
    """
    with Watch(engine, fault_of=partial(away, engine=engine, host=host)) as watch:
        error = ""
        for line in _answer(engine, request, watch.seen(context), steps, host):
            watch.note()
            if error := str(line.get("error") or (line.get("errorDetail") or {}).get("message") or ""):
                break
            steps.image_id = _image_id(line) or steps.image_id
            if lines := _take(steps, line):
                yield lines
        if error or not steps.image_id:
            yield steps.close(is_built=False, error=error)
            if not error:
                raise UserError("host_gone", host=host, raw="The engine's answer ended before the build did.")
            raise failed(engine, error, steps, host=host)
        yield steps.close(is_built=True)


def failed(engine: Engine, words: str, steps: Steps, *, host: str) -> UserError:
    """What the builder's last words mean; host_* where its engine went away and took the step with it."""
    error = build_failure(words, steps, host=host)
    if error.values.get("exit_code") in STOPPED:
        try:
            _check_stays(engine)
        except UserError as silence:
            return away(silence, engine, host)
    return error


def _check_stays(engine: Engine) -> None:
    """Raises UserError host_* unless the engine answers, now and a little later.

    An engine that stops kills the steps first and ends afterwards. Asked by new connections: it takes no more of
    them, while it may answer on one that it knows until its very end.
    """
    for _ in range(STAYS_TIMES):
        with open_engine(engine.near, reach_seconds=ANSWER_SECONDS, timeout_seconds=ANSWER_SECONDS):
            time.sleep(STAYS_SECONDS / STAYS_TIMES)


def _answer(
    engine: Engine, request: BuildRequest, body: Iterable[bytes], steps: Steps, host: str
) -> Iterator[dict[str, Any]]:
    api = engine.api
    try:
        response = api._post(
            api._url("/build"),
            data=iter(body),
            params=request.query(),
            headers={"Content-Type": "application/x-tar"},
            stream=True,
            timeout=(CONNECT_SECONDS, None),
        )
        api._raise_for_status(response)
    except APIError as error:
        raise build_failure(str(error.explanation or error), steps, host=host) from error
    with contextlib.closing(response):
        yield from json_lines(response)


def _take(steps: Steps, line: Mapping[str, Any]) -> list[Line]:
    if line.get("id") == TRACE:
        try:
            return [each for piece in told(str(line.get("aux") or "")) for each in steps.take(piece)]
        except Malformed:
            return []
    if text := line.get("stream"):
        # BuildKit's own only says that it tagged what it made.
        return [] if not steps.is_classic else steps.take_classic(str(text))
    return []


def _image_id(line: Mapping[str, Any]) -> str:
    """The classic builder tells one for each stage: the last is the image."""
    aux = line.get("aux")
    found = str(aux.get("ID") or "") if isinstance(aux, Mapping) else ""
    return f"sha256:{found}" if found and ":" not in found else found


def away(error: Exception, engine: Engine, host: str) -> UserError:
    """Of an engine that has answered before: silent, or gone, whatever stands in its place now."""
    raw = getattr(error, "raw", "")
    if isinstance(error, UserError) and error.code != "host_timeout":
        return UserError("host_gone", host=host, raw=raw)
    return UserError(
        "host_timeout", address=engine.connection.address, seconds=f"{ANSWER_SECONDS:g}", raw=raw
    )
