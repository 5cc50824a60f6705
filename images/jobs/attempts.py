"""A transfer that a bad line has cut is tried again: what has come or gone by then, engine and registry keep."""

import time
from collections.abc import Callable
from typing import TypeVar

from images.engine.failures import RETRIED
from images.errors import UserError
from images.jobs.context import JobContext

ATTEMPTS = 3
PAUSE_SECONDS = 2.0

T = TypeVar("T")


def attempted(context: JobContext, once: Callable[[], T], log: Callable[[str], None]) -> T:
    """What `once` gives; `log` hears of each time that it is called again. Raises as `once` does at last."""
    for attempt in range(1, ATTEMPTS):
        try:
            return once()
        except UserError as error:
            if error.code not in RETRIED:
                raise
            log(f"{error.raw or error} - trying again ({attempt}/{ATTEMPTS - 1})")
        time.sleep(PAUSE_SECONDS)
        context.check()
    return once()
