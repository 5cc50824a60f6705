"""Whose turn it is: the order in which jobs that wait are taken up, fair between people. Pure.

Jobs of one host that count against one limit are a line. In a line the person with the fewest running jobs
comes first, then who was served longest ago, then the oldest job: so one who asked for a hundred pulls does
not keep the single pull of somebody else waiting. A worker that is free takes the head of a line, and among
the lines again that of the person with the fewest running jobs. Lines of hosts that do not answer come last:
each of their jobs would hold the worker for a while, for nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

Person = int | None
"""A user's id; None is Drydock itself, which is one person among the others."""

Line = tuple[int, str, int]
"""Host, name of the limit, and 0; a job without a limit is a line of its own: (host, "", its id)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits."""

    pk: int
    line: Line
    person: Person
    source: Line | None = None  # of the host its content comes from, where it takes a place as well
    is_silent: bool = False  # its host did not answer when it was last looked at

    @property
    def places(self) -> list[Line]:
        """The lines that it takes a place in, its own first."""
        return [self.line, self.source] if self.source else [self.line]


@dataclass(frozen=True)
class Load:
    """What runs, and who was served when; both by person."""

    running: Mapping[Person, int] = field(default_factory=dict)
    served: Mapping[Person, datetime] = field(default_factory=dict)

    def of(self, person: Person) -> int:
        return self.running.get(person, 0)

    def rank(self, person: Person) -> float:
        """Lower for who was served longer ago; lowest for who never was."""
        moment = self.served.get(person)
        return moment.timestamp() if moment else 0.0


def in_turn(waiting: Iterable[Waiting], load: Load) -> list[Waiting]:
    """The jobs of one line in the order in which they will be taken up if nothing else comes."""
    own: defaultdict[Person, int] = defaultdict(int)
    ranked: list[tuple[tuple[int, bool, float, int], Waiting]] = []
    for job in sorted(waiting, key=lambda job: job.pk):
        nth = own[job.person]
        own[job.person] += 1
        # Who gets a turn on the way counts as served last from then on.
        ranked.append(((load.of(job.person) + nth, nth > 0, load.rank(job.person), job.pk), job))
    return [job for _, job in sorted(ranked, key=lambda pair: pair[0])]


def lines(waiting: Iterable[Waiting], loads: Mapping[Line, Load]) -> dict[Line, list[Waiting]]:
    """Every line in its order."""
    found: defaultdict[Line, list[Waiting]] = defaultdict(list)
    for job in waiting:
        found[job.line].append(job)
    return {line: in_turn(jobs, loads.get(line, Load())) for line, jobs in found.items()}


def heads(ordered: Mapping[Line, Sequence[Waiting]], free: Mapping[Line, int]) -> list[Waiting]:
    """Of each line as many as its host still takes; all of a line that `free` does not name.

    One whose source is busy lets those behind it go first.
    """
    left, found = dict(free), list[Waiting]()
    for jobs in ordered.values():
        for job in jobs:
            places = [line for line in job.places if line in left]
            if all(left[line] > 0 for line in places):
                found.append(job)
                for line in places:
                    left[line] -= 1
    return found


def queues(waiting: Iterable[Waiting], loads: Mapping[Line, Load]) -> dict[Line, list[Waiting]]:
    """As `lines`, but each with every job that takes a place there: those too whose content comes from its host."""
    found: defaultdict[Line, list[Waiting]] = defaultdict(list)
    for job in waiting:
        for line in job.places:
            found[line].append(job)
    return {line: in_turn(jobs, loads.get(line, Load())) for line, jobs in found.items()}


def for_worker(ready: Sequence[Waiting], load: Load, woken_for: Line) -> list[int]:
    """The jobs a free worker should try to take, best first.

    `load` is that of all workers of the queue. Among people who have equally much running, the line that the
    worker was woken for comes first.
    """
    places = {job.pk: n for n, job in enumerate(ready)}  # keeps the order within each line
    return [
        job.pk
        for job in sorted(
            ready,
            key=lambda job: (
                job.is_silent, load.of(job.person), job.line != woken_for, load.rank(job.person), places[job.pk],
            ),
        )
    ]  # fmt: skip
