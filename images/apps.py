"""The room that knows what exists, on which host, who may touch it, and the jobs that change it."""

import pkgutil
from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ImagesConfig(AppConfig):
    name = "images"

    def ready(self) -> None:
        from images import commands, removal  # noqa: F401 - removal and freshness register their operations
        from images.fleet.search_index import after_migrate
        from images.hosts import freshness  # noqa: F401

        for module in pkgutil.iter_modules(commands.__path__):
            import_module(f"images.commands.{module.name}")
        post_migrate.connect(after_migrate, sender=self, dispatch_uid="search index")
