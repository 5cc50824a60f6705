"""Who may move the bytes of which job. Reads the database; call it from a thread."""

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from django.core.exceptions import PermissionDenied
from django.http import Http404

from images import access
from images.jobs.life import job_give_up
from images.jobs.operations import OPERATIONS
from images.live.asgi import Refused, fresh_connections, sender_of, session_key
from images.live.listeners import Listener, listeners_again
from images.models import Job, JobState, User
from images.transfers.relay import RelayClosed

KINDS = {"GET": "save", "PUT": "load"}
NUMBER = re.compile(r"\b[0-9]{1,18}\b")
LOOK_SECONDS = 1.0  # how soon the end of a job ends its stream
RECHECK_SECONDS = 30.0  # how long a stream outlives the session it belongs to


@dataclass(frozen=True)
class Transfer:
    """A request that was let in: its session, and the jobs it moves bytes for.

    A load moves them for all of its batch, or those of it that the address names.
    """

    listener: Listener
    jobs: tuple[int, ...]
    file: str


@fresh_connections()
def transfer_of(scope: Any, pk: int) -> Transfer:
    """Checks as a view would: session, CSRF, the job visible, the permission held, and the job one's own.

    Raises Refused: 401 nobody, 403 not allowed or no token, 404 no such job, 409 the job has ended.
    """
    user = sender_of(scope)
    key = session_key(dict(scope["headers"]))
    listener = Listener(key, user.pk, user.get_session_auth_hash(), None)
    try:
        return _allowed(user, listener, pk, KINDS[scope["method"]], _named(scope))
    except Http404:
        raise Refused(404) from None
    except PermissionDenied:
        raise Refused(403) from None


def _named(scope: Any) -> list[int]:
    """The jobs of ?jobs=1,2."""
    [text, *_rest] = parse_qs(scope["query_string"].decode("latin-1")).get("jobs", [""])
    return [int(number) for number in NUMBER.findall(text)]


def _allowed(user: User, listener: Listener, pk: int, kind: str, named: Collection[int]) -> Transfer:
    job = access.access_job(user, pk, OPERATIONS[kind].permission)
    if job.kind != kind:
        raise Refused(404)
    if job.created_by_id != user.pk:
        raise Refused(403)
    jobs = Job.objects.filter(kind=kind, created_by=user)
    jobs = jobs.filter(batch=job.batch) if job.batch else jobs.filter(pk=pk)
    jobs = jobs.filter(pk__in=named) if named else jobs
    pks = jobs.open().filter(cancel_requested_at=None).order_by("pk").values_list("pk", flat=True)
    if not pks:
        raise Refused(409)
    return Transfer(listener, tuple(pks), str(job.parameters.get("file") or "images.tar"))


class Look:
    """Asked again and again while bytes move: whether job and session still live. Belongs to one end of a pipe."""

    def __init__(self, listener: Listener, job: int) -> None:
        self.listener, self.job = listener, job
        self.is_gone = False  # set by the request when the browser has left
        self._looked_at = 0.0
        self._rechecked_at = time.monotonic()

    def __call__(self) -> None:
        """Raises RelayClosed when it is over."""
        now = time.monotonic()
        if self.is_gone:
            raise RelayClosed("transfer_abandoned")
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look(now)

    @fresh_connections()
    def _look(self, now: float) -> None:
        if not states_of([self.job]):
            raise RelayClosed("transfer_stopped")
        if now - self._rechecked_at >= RECHECK_SECONDS:
            self._rechecked_at = now
            if listeners_again([self.listener]) == [None]:
                raise RelayClosed("transfer_signed_out")


@fresh_connections()
def states_of(jobs: Sequence[int]) -> dict[int, str]:
    """The state of each job that is not over and that nobody has asked to end."""
    rows = Job.objects.open().filter(pk__in=jobs, cancel_requested_at=None)
    return dict(rows.values_list("pk", "state"))


@fresh_connections()
def give_up(jobs: Sequence[int], code: str) -> None:
    """Ends jobs that no worker took in time; what a worker took meanwhile is left to it."""
    for job in Job.objects.filter(pk__in=jobs, state=JobState.QUEUED).select_related("host"):
        job_give_up(job, code)
