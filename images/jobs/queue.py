"""The queue: which of the waiting jobs a worker takes, and the limits of each host.

A message to a worker means "there may be something to do": the worker asks here which job has its turn. Every job
brings one message, and every end of a limited job another one, so that none is forgotten; a worker that finds
every line full goes on to its next message and waits for nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.functional import Promise

from images.jobs import turns
from images.jobs.operations import OPERATIONS
from images.jobs.turns import Line, Load, Person, Waiting
from images.models import Host, HostState, Job, JobState, User

LOOKED_AT = 5000  # of a longer queue only its oldest jobs are weighed against each other
REMEMBERED = 300  # so many of the newest jobs tell who was served when


def limit_of(kind: str) -> str:
    """The field of Host that limits this kind; "" for none."""
    operation = OPERATIONS.get(kind)
    return operation.limit if operation else ""


def kinds_under(limit: str) -> list[str]:
    """The kinds that share a limit."""
    return [kind for kind, operation in OPERATIONS.items() if operation.limit == limit]


def line_of(pk: int, kind: str, host_id: int) -> Line:
    limit = limit_of(kind)
    return (host_id, limit, 0) if limit else (host_id, "", pk)


def has_room(host: Host, limit: str) -> bool:
    """Whether the host takes one more job under this limit; exact only while its row is locked."""
    running = Job.objects.at(host.pk).filter(state=JobState.RUNNING, kind__in=kinds_under(limit))
    return running.count() < _most(host, limit)


def _most(host: Host, limit: str) -> int:
    most: int = getattr(host, limit)
    return max(most, 1)


def candidates(job_id: int) -> list[int]:
    """The jobs that a worker woken for `job_id` should try to claim, best first."""
    woken = Job.objects.filter(pk=job_id).values_list("queue", "kind", "host_id").first()
    if woken is None:
        return []
    queue, kind, host_id = woken
    now = _Now(Job.objects.filter(queue=queue))
    ready = now.ready()
    if len(ready) < 2:
        return [job.pk for job in ready]
    return turns.for_worker(ready, now.load(queue=queue), line_of(job_id, kind, host_id))


def ready_jobs(queue: str) -> list[int]:
    """Every waiting job of the queue that its host would take now."""
    return [job.pk for job in _Now(Job.objects.filter(queue=queue)).ready()]


def next_in_line(job: Job) -> list[int]:
    """The jobs to be woken now that this one has ended; one for each place that it leaves and somebody waits for."""
    limit = limit_of(job.kind)
    if not limit:
        return []
    waiting = Job.objects.filter(state=JobState.QUEUED, kind__in=kinds_under(limit)).order_by("id")
    found = (waiting.at(host).values_list("pk", flat=True).first() for host in job.host_ids)
    return list(dict.fromkeys(pk for pk in found if pk))


class _Now:
    """The jobs that wait and run at this moment: a handful of queries, each asked for when it is needed."""

    def __init__(self, jobs: "QuerySet[Job]") -> None:
        rows = jobs.filter(state=JobState.QUEUED).order_by("id")
        values = rows.values_list("pk", "kind", "host_id", "source_id", "created_by", "host__state")[
            :LOOKED_AT
        ]
        self.waiting = [
            Waiting(
                pk, line_of(pk, kind, host), person, is_silent=state == HostState.OFFLINE,
                source=line_of(pk, kind, source) if source else None,
            )
            for pk, kind, host, source, person, state in values
        ]  # fmt: skip

    @cached_property
    def running(self) -> list[tuple[Line, str, Person]]:
        """The line, queue and person of every running job: no more than there are threads."""
        return [(line, queue, person) for line, _, queue, person in self._running]

    @cached_property
    def _running(self) -> list[tuple[Line, Line | None, str, Person]]:
        rows = Job.objects.filter(state=JobState.RUNNING).order_by()
        values = rows.values_list("pk", "kind", "host_id", "source_id", "queue", "created_by")
        return [
            (line_of(pk, kind, host), line_of(pk, kind, source) if source else None, queue, person)
            for pk, kind, host, source, queue, person in values
        ]

    @cached_property
    def served(self) -> list[tuple[datetime, Line, str, Person]]:
        """When which person was served last, oldest first."""
        rows = Job.objects.order_by("-id").values_list(
            "started_at", "pk", "kind", "host_id", "queue", "created_by"
        )
        found = [
            (started_at, line_of(pk, kind, host), queue, person)
            for started_at, pk, kind, host, queue, person in rows[:REMEMBERED]
            if started_at
        ]
        return sorted(found, key=lambda row: row[0])

    @cached_property
    def free(self) -> dict[Line, int]:
        """How many more jobs each limited line takes."""
        lines = {line for job in self.waiting for line in (job.line, job.source) if line and line[1]}
        limits = sorted({limit for _, limit, _ in lines})
        if not limits:
            return {}
        rows = Host.objects.filter(pk__in={host for host, _, _ in lines}).values_list("pk", *limits)
        free = {
            (pk, limit, 0): max(most, 1)
            for pk, *values in rows
            for limit, most in zip(limits, values, strict=True)
        }
        for line, source, _, _ in self._running:
            for each in (line, source):
                if each in free:
                    free[each] -= 1
        return free

    def load(self, *, line: Line | None = None, queue: str = "") -> Load:
        """What runs, and who was served when, in one line or by all workers of a queue."""
        return Load(
            Counter(who for on, where, who in self.running if on == line or where == queue),
            {who: at for at, on, where, who in self.served if on == line or where == queue},
        )

    def _loads(self) -> dict[Line, Load]:
        people: defaultdict[Line, set[Person]] = defaultdict(set)
        for job in self.waiting:
            for line in job.places:
                people[line].add(job.person)
        # One person's jobs are in order by age, whatever runs.
        return {line: self.load(line=line) for line, who in people.items() if len(who) > 1}

    def lines(self) -> dict[Line, list[Waiting]]:
        return turns.lines(self.waiting, self._loads())

    def queues(self) -> dict[Line, list[Waiting]]:
        return turns.queues(self.waiting, self._loads())

    def ready(self) -> list[Waiting]:
        return turns.heads(self.lines(), self.free) if self.waiting else []


@dataclass(frozen=True)
class Place:
    """Where a job stands in a host's queue, from 1, and what holds it up.

    The host is its own, or the one that its content comes from; None is such a one that nobody may name here.
    """

    place: int
    host: Host | None
    limit: str
    most: int  # so many at once; 0 where the host is not named

    @property
    def limit_name(self) -> "str | Promise":
        """What is limited, in words: "pulls and pushes at once"."""
        return Host._meta.get_field(self.limit).verbose_name  # type: ignore[union-attr]


def places(jobs: Iterable[Job], user: User | None = None) -> dict[int, Place]:
    """The place of each of these jobs that waits because a host does enough already.

    A handful of queries however many jobs; a job that only waits for a worker has no place. The jobs come with
    their hosts; a host that content comes from is named where the user may see it.
    """
    asked = {job.pk: job for job in jobs if job.state == JobState.QUEUED and limit_of(job.kind)}
    if not asked:
        return {}
    hosts = {host for job in asked.values() for host in job.host_ids}
    found = _held_up(_Now(Job.objects.filter(Q(host__in=hosts) | Q(source__in=hosts))))
    sources = {pk: line for pk, (_, line) in found.items() if pk in asked and line[0] != asked[pk].host_id}
    named = _seen({host for host, _, _ in sources.values()}, user)
    result: dict[int, Place] = {}
    for pk in asked.keys() & found.keys():
        n, (host_id, limit, _) = found[pk]
        host = named.get(host_id) if pk in sources else asked[pk].host
        result[pk] = Place(n, host, limit, _most(host, limit) if host else 0)
    return result


def _seen(host_ids: set[int], user: User | None) -> dict[int, Host]:
    return Host.objects.visible_to(user).in_bulk(host_ids) if host_ids and user else {}


def _held_up(now: _Now) -> dict[int, tuple[int, Line]]:
    """Which line holds each job up that no host takes now, and its place there; the longer one where two do."""
    ready = {job.pk: job for job in now.ready()}
    left = Counter(now.free)
    left.subtract(line for job in ready.values() for line in job.places if line in left)
    found: defaultdict[int, list[tuple[int, bool, Line]]] = defaultdict(list)
    for line, ordered in now.queues().items():
        if line in left and left[line] <= 0:
            waiting = (job for job in ordered if job.pk not in ready)
            for n, job in enumerate(waiting, 1):
                found[job.pk].append((n, line == job.line, line))
    return {pk: (n, line) for pk, ways in found.items() for n, _, line in [max(ways)]}


def worker_turns(jobs: Iterable[Job], held_up: Container[int]) -> dict[int, int]:
    """The turn of each of these jobs that waits for a worker alone, from 1, among all of its queue that do.

    `held_up` are those that wait for a host, see `places`. A handful of queries for each queue.
    """
    asked = {job.pk: job.queue for job in jobs if job.state == JobState.QUEUED and job.pk not in held_up}
    found: dict[int, int] = {}
    for queue in set(asked.values()):
        now = _Now(Job.objects.filter(queue=queue))
        ordered = turns.in_turn(now.ready(), now.load(queue=queue))
        # Workers leave hosts that do not answer for last.
        ordered.sort(key=lambda job: job.is_silent)
        found |= {job.pk: n for n, job in enumerate(ordered, 1)}
    return {pk: found[pk] for pk in asked.keys() & found.keys()}


def waits(jobs: Iterable[Job], user: User) -> dict[str, Any]:
    """For the template of a list of jobs: what each that waits is waiting for."""
    jobs = list(jobs)
    held_up = places(jobs, user)
    return {"places": held_up, "turns": worker_turns(jobs, held_up)}
