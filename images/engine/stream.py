"""Reads answers that an engine writes piece by piece: one JSON document a line, for as long as it lasts."""

import json
from collections.abc import Iterator
from typing import Any

from docker.errors import APIError

_CHUNK_BYTES = 4096  # an upper limit; what has arrived is handed on at once


def check_status(api: Any, response: Any) -> None:
    """Raises docker.errors.APIError with the engine's text where the answer's status says that it failed."""
    try:
        api._raise_for_status(response)
    except KeyError as error:
        # Podman (4 to 5.8) refuses a push with {"error": ...}; docker-py looks for a "message" in it and stumbles.
        text = str(response.json().get("error") or response.text)
        raise APIError(text, response=response, explanation=text) from error


def json_lines(response: Any) -> Iterator[dict[str, Any]]:
    """The documents of a streamed answer; a line that is cut in two by a lost connection ends it."""
    for line in response.iter_lines(chunk_size=_CHUNK_BYTES):
        if line:
            try:
                yield json.loads(line)
            except ValueError:
                return
