"""The room that decides what should go, and records what happened when it went."""

from django.apps import AppConfig


class CleanupConfig(AppConfig):
    name = "cleanup"

    def ready(self) -> None:
        # images/ must not import this room, so it is told: of the operation here, and of the words of errors.
        from cleanup import executor  # noqa: F401
        from cleanup.problems import CLEANUP
        from images import problems

        problems.add(CLEANUP)
