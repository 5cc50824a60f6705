"""Threads for what waits for engines and registries: one that hangs must not hold up a worker's next task."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

logger = logging.getLogger(__name__)

MOST_THREADS = 250  # each costs a thread that sleeps

_threads = threading.BoundedSemaphore(MOST_THREADS)


def in_background(function: Callable[[T], None], argument: T) -> None:
    """Calls it in a thread with a database connection of its own; in this one when there are too many."""
    if not _threads.acquire(blocking=False):
        function(argument)
        return
    name = f"{function.__name__}-{argument}"
    threading.Thread(target=_alone, args=(function, argument), name=name, daemon=True).start()


def _alone(function: Callable[[T], None], argument: T) -> None:
    try:
        function(argument)
    except Exception:
        logger.exception("%s(%s) failed", function.__name__, argument)
    finally:
        connection.close()
        _threads.release()
