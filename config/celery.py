"""Celery only wakes a worker: what there is to do, and who does it, is decided in the database.

Two queues, a worker process for each: `engine` for jobs of minutes to hours, `quick` for syncs, checks and ticks.
Both use threads: tasks wait for engines, and a cancel must reach the connection it cuts. What a quick task would
wait for runs in a thread of its own (`background.in_background`), so that the number of quick workers does not limit
how many hosts may hang; a task lost with its process is found again by the tick.
"""

import os
from datetime import timedelta

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("drydock")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _log_as_django_does(**_: object) -> None:
    """With a receiver here Celery leaves logging alone, and Django's LOGGING holds in workers too."""


TICK_SECONDS = 15
# A tick that no worker took in time is void: the next one asks the same.
app.conf.beat_schedule = {
    "tick": {
        "task": "images.tasks.tick",
        "schedule": timedelta(seconds=TICK_SECONDS),
        "options": {"expires": TICK_SECONDS},
    }
}
