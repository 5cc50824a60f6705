"""Answers that may take hours: an engine that has been quiet is asked whether it still answers, and cut off if not."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from docker.errors import APIError

from images.engine.client import Engine
from images.errors import UserError

QUIET_SECONDS = 20.0
ANSWER_SECONDS = 10.0
MOST_MISSED = 2  # a busy engine may miss one

Verdict = Callable[[float], UserError | None]
"""What to say of so many seconds of quiet where the engine itself answers; None while there is reason to wait."""


class Watch:
    """Used around a request. `note` is called for all that moves, either way.

    On leaving, the fault that was found replaces the error that the cut gave rise to.
    """

    def __init__(
        self,
        *engines: Engine,
        verdict: Verdict = lambda seconds: None,
        fault_of: Callable[[UserError], UserError] = lambda error: error,
    ) -> None:
        """`fault_of` says what it means that an engine does not answer any more."""
        self.fault: UserError | None = None
        self._engines, self._verdict, self._fault_of = engines, verdict, fault_of
        self._ended = threading.Event()
        self._heard_at = self._asked_at = time.monotonic()
        self._missed = 0
        self._thread = threading.Thread(target=self._run, name="quiet-watch", daemon=True)

    def note(self) -> None:
        self._heard_at = time.monotonic()

    def seen(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.note()
            yield piece

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._ended.set()
        if self.fault and isinstance(error, Exception):
            raise self.fault from error

    def _run(self) -> None:
        while not self.fault and not self._ended.wait(min(0.5, QUIET_SECONDS)):
            now = time.monotonic()
            verdict = self._verdict(now - self._heard_at)
            if verdict is None and now - max(self._heard_at, self._asked_at) < QUIET_SECONDS:
                continue
            if self._all_answer() and verdict:
                self._give_up(verdict)

    def _all_answer(self) -> bool:
        self._asked_at = time.monotonic()
        for engine in self._engines:
            try:
                engine.ping(ANSWER_SECONDS)
            except UserError as error:
                self._miss(self._fault_of(error))
                return False
            except APIError as error:
                self._miss(UserError("unexpected", raw=str(error)[:500]))
                return False
        self._missed = 0
        return True

    def _miss(self, fault: UserError) -> None:
        self._missed += 1
        if self._missed >= MOST_MISSED:
            self._give_up(fault)

    def _give_up(self, fault: UserError) -> None:
        if self._ended.is_set():
            return
        self.fault = fault
        for engine in self._engines:
            engine.cut()
