"""Reads answers that an engine writes piece by piece: one JSON document a line, for as long as it lasts."""

import json
from collections.abc import Iterator
from typing import Any

_CHUNK_BYTES = 4096  # an upper limit; what has arrived is handed on at once


def json_lines(response: Any) -> Iterator[dict[str, Any]]:
    """The documents of a streamed answer; a line that is cut in two by a lost connection ends it."""
    for line in response.iter_lines(chunk_size=_CHUNK_BYTES):
        if line:
            try:
                yield json.loads(line)
            except ValueError:
                return
