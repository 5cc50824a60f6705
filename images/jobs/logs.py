"""Reads jobs' logs for a page: their end, the end of each step's part, lines that hold a word.

A log may be 50 MB, so nothing here reads all of it but the search, and that piece by piece.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Right

from images.models import Job

SHOWN = 64 * 1024  # characters of the log's end on the page
STEP_SHOWN = 3 * 1024  # of a step that went well; the whole is a link away...
TROUBLE_SHOWN = 16 * 1024  # ...and of one that failed or is under way
MOST_FOUND = 300
LINE_SHOWN = 600
CHUNKS_AT_ONCE = 4  # a chunk is up to 256 K characters
_NUMBERED = re.compile(r"(.*?)(\d+)/\d+$")  # "2/3", or "tools 2/4" in a stage with a name


def tail(job: Job) -> tuple[str, bool]:
    """The end of the log, beginning with a whole line, and whether something stands before it."""
    pieces: list[str] = []
    length = 0
    for text in job.log.order_by("-id").values_list("text", flat=True).iterator(chunk_size=CHUNKS_AT_ONCE):
        if length >= SHOWN:
            return "".join(reversed(pieces)), True
        pieces.append(text if length + len(text) <= SHOWN else cut(text, SHOWN - length))
        length += len(text)
    return "".join(reversed(pieces)), length > SHOWN


def cut(text: str, most: int) -> str:
    """The last `most` characters, from the next line on."""
    end = text[-most:] if most > 0 else ""
    return end.partition("\n")[2] if len(end) < len(text) and "\n" in end else end


def chunks(job: Job, step: int = 0) -> Iterator[str]:
    """The whole log, or a step's part of it, piece by piece."""
    rows = job.log.filter(text__startswith=f"#{step} ") if step else job.log.all()
    yield from rows.values_list("text", flat=True).iterator(chunk_size=CHUNKS_AT_ONCE)


@dataclass(frozen=True, slots=True)
class StepShown:
    """A step as the page draws it: `facts` of Steps.as_json, and the end of its log."""

    facts: dict[str, Any]
    state: str
    log: str = ""
    is_cut: bool = False

    @property
    def is_open(self) -> bool:
        return self.state == "failed"


def steps(job: Job) -> list[StepShown]:
    """What a build's page draws, without BuildKit's own chores as long as they go well: one query."""
    facts = _in_order(job.detail.get("steps") or [])
    ends = _ends(job, [pk for each in facts for pk in each.get("chunks", ())])
    shown = []
    for each in facts:
        state = _state(job, each["state"])
        if each["kind"] == "internal" and state not in ("failed", "running") and not each["lines"]:
            continue
        most = TROUBLE_SHOWN if state in ("failed", "running", "stopped") else STEP_SHOWN
        text = "".join(ends.get(pk, "") for pk in each.get("chunks", ()))
        end = cut(text, most)
        shown.append(StepShown(each, state, _unmarked(end), end.count("\n") < each["lines"]))
    return shown


def _in_order(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps of a stage one after the other: BuildKit may tell of a cached one after those that stand on it.

    Each stage keeps its places, so that nothing else moves.
    """
    places: dict[str, list[int]] = {}
    for place, each in enumerate(facts):
        if found := _NUMBERED.match(each["stage"]):
            places.setdefault(found[1], []).append(place)
    ordered = list(facts)
    for stage in places.values():
        told = sorted((facts[place] for place in stage), key=_number)
        for place, each in zip(stage, told, strict=True):
            ordered[place] = each
    return ordered


def _number(step: dict[str, Any]) -> int:
    found = _NUMBERED.match(step["stage"])
    return int(found[2]) if found else 0


def _state(job: Job, state: str) -> str:
    """A worker that was lost told of no end."""
    if job.is_open:
        return state
    return {"running": "stopped", "waiting": "skipped"}.get(state, state)


def _ends(job: Job, pks: list[int]) -> dict[int, str]:
    rows = job.log.filter(pk__in=pks) if pks else job.log.none()
    return dict(
        rows.annotate(end=Right("text", TROUBLE_SHOWN, output_field=TextField())).values_list("pk", "end")
    )


def _unmarked(text: str) -> str:
    """The lines without the number of their step."""
    return "\n".join(_parted(line)[1] for line in text.split("\n"))


def _parted(line: str) -> tuple[str, str]:
    mark, space, rest = line.partition(" ")
    return (mark[1:], rest) if space and mark.startswith("#") and mark[1:].isdecimal() else ("", line)


@dataclass(slots=True)
class Found:
    """The lines that hold a word, each with the number of its step, "" where it has none."""

    word: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    is_cut: bool = False


def search(job: Job, word: str) -> Found:
    """The first lines of the log that hold the word, in any case."""
    found = Found(word)
    low = word.casefold()
    rows = job.log.filter(text__icontains=word).values_list("text", flat=True)
    for text in rows.iterator(chunk_size=CHUNKS_AT_ONCE):
        for line in text.splitlines():
            step, rest = _parted(line)
            if low in rest.casefold():
                if len(found.lines) == MOST_FOUND:
                    found.is_cut = True
                    return found
                found.lines.append((step, rest[:LINE_SHOWN]))
    return found
