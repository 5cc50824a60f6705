"""The steps of a build, gathered from what either builder tells, as the page draws them. Pure."""

import codecs
import re
import time
from collections import defaultdict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from images.engine.buildkit import Status, Told, Vertex, Warned
from images.meter import Meter
from images.secrets import Hiding, masked_text

MOST_STEPS = 400  # more are counted as one: a page of thousands helps nobody
NAME_LENGTH = 400
TAIL_LINES = 200  # kept of each step's log to read causes from; the log itself is the job's
LONGEST_LINE = 16_384  # what writes no line ends is cut here
_CLIPPED = (
    "[output clipped, log "  # BuildKit's word for what it leaves out, put wherever its limit was reached
)

_STAGE = re.compile(r"^\[([^\]]+)\]\s*(.*)$", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class _Stream:
    """A line that is not whole yet, as it came: pieces end anywhere, inside a character and inside a secret."""

    def __init__(self) -> None:
        self.partial = ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode


@dataclass(slots=True)
class Step:
    """One step. `state`: waiting, running, done, cached, failed or stopped."""

    number: int
    name: str
    kind: str = "step"  # or "context", "base", "internal", "export"
    stage: str = ""
    state: str = "waiting"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    line_count: int = 0
    error: str = ""
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)  # bytes done and in all, by part
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    # By who writes: what comes from two sides at once would be one muddled line.
    streams: defaultdict[Hashable, _Stream] = field(default_factory=lambda: defaultdict(_Stream))
    meter: Meter = field(default_factory=Meter)

    @property
    def done_bytes(self) -> int:
        return sum(done for done, _ in self.parts.values())

    @property
    def total_bytes(self) -> int:
        return sum(max(done, total) for done, total in self.parts.values())

    def as_json(self, now: float | None = None) -> dict[str, Any]:
        """`now` as time.monotonic tells it: the rate is measured by who draws the step."""
        if self.state == "running" and self.parts:
            self.meter.measure(self.done_bytes, time.monotonic() if now is None else now)
        moving = self.meter if self.state == "running" else Meter()
        seconds = None
        if self.started_at and self.ended_at:
            seconds = round((self.ended_at - self.started_at).total_seconds(), 2)
        return {
            "n": self.number, "name": self.name, "kind": self.kind, "stage": self.stage, "state": self.state,
            "started": self.started_at.isoformat() if self.started_at else "", "seconds": seconds,
            "done": self.done_bytes, "total": self.total_bytes, "lines": self.line_count, "error": self.error,
            "rate": moving.rate, "left": moving.left(self.done_bytes, self.total_bytes),
        }  # fmt: skip


Line = tuple[int, str]
"""The number of a step and a line of its log, without the line feed."""


class Steps:
    """Takes what is told piece by piece; each call gives the log lines that became complete."""

    def __init__(self, *, is_classic: bool = False, hide: Hiding | None = None) -> None:
        self.is_classic = is_classic
        self.hide = hide or Hiding()  # takes the build's own secrets out of what is kept
        self.image_id = ""  # what was built; "" until the builder has told
        self.steps: list[Step] = []
        self._by_key: dict[str, Step] = {}
        self._current: Step | None = None  # of the classic builder, which does one after the other

    def add(self, key: str, name: str, *, kind: str = "", state: str = "waiting") -> Step:
        """The step of this key, made when it is new."""
        if known := self._by_key.get(key):
            return known
        if len(self.steps) >= MOST_STEPS:
            self._by_key[key] = self.steps[-1]
            return self.steps[-1]
        found = _STAGE.match(name)
        stage, rest = (found[1], found[2]) if found else ("", name)
        step = Step(len(self.steps) + 1, self._kept(rest or name), kind or _kind(stage, rest), stage[:100])
        step.state = state
        if state == "running":
            step.started_at = datetime.now(UTC)
        self.steps.append(step)
        self._by_key[key] = step
        return step

    def finish(self, step: Step, state: str = "done", error: str = "") -> None:
        step.state, step.ended_at, step.error = state, datetime.now(UTC), self._kept(error)
        step.started_at = step.started_at or step.ended_at

    def _masked(self, text: str) -> str:
        """Without what was given as a secret, and what looks like one: instructions and commands hold some."""
        return masked_text(self.hide(text))

    def _kept(self, text: str) -> str:
        """A name or an error; masked before it is cut, while a secret is whole."""
        return self._masked(text)[:NAME_LENGTH]

    def take(self, told: Told) -> list[Line]:
        """Notes a piece of BuildKit's progress."""
        if isinstance(told, Vertex):
            self._take_vertex(told)
            return []
        step = self._by_key.get(told.vertex)
        if step is None:
            return []
        if isinstance(told, Status):
            if told.done_bytes or told.total_bytes:
                step.parts[told.key] = (told.done_bytes, told.total_bytes)
            return []
        if isinstance(told, Warned):
            return self._lines(step, _Stream(), f"warning: {told.text}\n")
        stream = step.streams[told.vertex, told.stream]
        return self._lines(step, stream, stream.decode(told.text))

    def _take_vertex(self, vertex: Vertex) -> None:
        step = self.add(vertex.digest, vertex.name)
        # A step is told anew when its cache is asked: the first beginning and the last end count.
        step.started_at = step.started_at or vertex.started_at
        step.ended_at = vertex.completed_at or step.ended_at
        if vertex.error:
            step.error = self._kept(vertex.error)
            # What runs beside the failing step is called off with it.
            step.state = "stopped" if "context canceled" in vertex.error else "failed"
        elif vertex.is_cached:
            step.state = "cached"
        elif vertex.completed_at:
            step.state = "done"
        elif vertex.started_at:
            step.state = "running"

    def take_classic(self, text: str) -> list[Line]:
        """Notes a piece of the classic builder's text, or Podman's."""
        text = _COLOUR.sub("", text)
        if begun := _CLASSIC_STEP.match(text):
            self._end_current("done")
            stage = f"stage {begun['stage']} " if begun["stage"] else ""
            name = f"[{stage}{begun['step']}] {begun['name'].strip()}"
            self._current = self.add(f"classic {len(self.steps)}", name, kind="step", state="running")
            return []
        step = self._current
        if step is None:
            step = self._current = self.add("classic", "builder", kind="internal", state="running")
        if _CLASSIC_CACHED.search(text):
            step.state = "cached"
        stream = step.streams["classic"]
        if not stream.partial and (_CLASSIC_NOISE.match(text) or not text.strip()):
            return []
        return self._lines(step, stream, text)

    def _end_current(self, state: str) -> None:
        if self._current and self._current.state in ("running", "cached"):
            self.finish(self._current, "cached" if self._current.state == "cached" else state)

    def _lines(self, step: Step, stream: _Stream, text: str) -> list[Line]:
        *whole, stream.partial = (stream.partial + text).split("\n")
        if len(stream.partial) > LONGEST_LINE + self.hide.longest:
            cut = self._cut(stream.partial)
            whole, stream.partial = [*whole, stream.partial[:cut]], stream.partial[cut:]
        for number, after in enumerate(whole[1:]):
            if after.startswith(_CLIPPED):
                whole[number] = self.hide.cut_off(whole[number])
        return [self._line(step, line) for line in whole]

    def _cut(self, text: str) -> int:
        """Where an endless line is cut: not inside a secret, and what may be half of one waits for its other half."""
        cut = len(text) - self.hide.longest
        for start, end in self.hide.spans(text):
            if start < cut < end:
                return start or end
        return cut

    def _line(self, step: Step, line: str) -> Line:
        # A progress bar in a terminal overwrites its line: what stood there last counts.
        line = self._masked(_COLOUR.sub("", line.rstrip("\r").rpartition("\r")[2]))
        step.line_count += 1
        step.tail.append(line[:1000])
        return step.number, line

    def close(self, *, is_built: bool, error: str = "") -> list[Line]:
        """At the end: what was not begun was not needed, or not reached. Gives the lines without an end."""
        left = []
        for step in self.steps:
            for stream in step.streams.values():
                if line := stream.partial + stream.decode(b"", True):
                    left.append(self._line(step, line))
            step.streams.clear()
        if self._current:
            self._end_current("done" if is_built else "failed" if error else "stopped")
            self._current.error = self._current.error or self._kept(error)
        for step in self.steps:
            if is_built and step.state in ("waiting", "running"):
                # BuildKit does not tell of steps whose outcome it found whole in its cache.
                step.state = "cached" if step.started_at is None else "done"
            elif step.state == "running":
                self.finish(step, "stopped")
        return left

    @property
    def failed(self) -> Step | None:
        """The step that failed first, if any."""
        return next((step for step in self.steps if step.state == "failed"), None)

    @property
    def last(self) -> Step | None:
        """The step that was under way last."""
        begun = [step for step in self.steps if step.started_at]
        return self._current or (begun[-1] if begun else None)

    def as_json(self) -> list[dict[str, Any]]:
        return [step.as_json() for step in self.steps]


# "Step 2/4 : RUN make" of Docker, "STEP 2/4: RUN make" or "[1/2] STEP 2/4: RUN make" of Podman.
_CLASSIC_STEP = re.compile(
    r"^(?:\[(?P<stage>\d+/\d+)\] )?step (?P<step>\d+(?:/\d+)?) ?: (?P<name>.*)$", re.IGNORECASE | re.DOTALL
)
_CLASSIC_CACHED = re.compile(r"^\s*(---> |-->\s*)using cache", re.IGNORECASE)
_CLASSIC_NOISE = re.compile(
    r"^\s*(---> |--> |---> *$|removing intermediate container|successfully (built|tagged))", re.IGNORECASE
)


def _kind(stage: str, name: str) -> str:
    if stage == "internal" and name.startswith("load metadata for "):
        return "metadata"
    if stage == "internal" or name.startswith("copy /context"):
        return "internal"
    return "export" if name.startswith(("exporting", "importing cache", "writing image")) else "step"
