"""The room that decides what should go, and records what happened when it went."""

from django.apps import AppConfig


class CleanupConfig(AppConfig):
    name = "cleanup"

    def ready(self) -> None:
        # Registers the cleanup operation with the jobs of images/, which must not import this room.
        from cleanup import executor  # noqa: F401
