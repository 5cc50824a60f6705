"""`manage.py watch`: follows the events of every host until it is told to end."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from images.hosts.watch import Watcher


class Command(BaseCommand):
    help = "Follows the events of all hosts. Several may run: they share the hosts out among themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        watcher = Watcher(alive=settings.DATA_DIR / "watch")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: watcher.stop())
        watcher.run()
