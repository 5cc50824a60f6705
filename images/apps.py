"""The room that knows what exists, on which host, who may touch it, and the jobs that change it."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ImagesConfig(AppConfig):
    name = "images"

    def ready(self) -> None:
        from images import hosts, removal  # noqa: F401 - they register their operations
        from images.search_index import after_migrate

        post_migrate.connect(after_migrate, sender=self, dispatch_uid="search index")
