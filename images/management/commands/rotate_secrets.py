"""`manage.py rotate_secrets`: encrypts every stored secret with the newest key, so that older ones can go."""

from typing import Any

from django.core.management.base import BaseCommand

from images.rotation import secrets_rotate


class Command(BaseCommand):
    help = (
        "Encrypts every stored secret anew with the first of ENCRYPTION_KEYS. "
        "Once it has run, and every program was started with both keys before, the older keys can be dropped."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for name, count in secrets_rotate().items():
            self.stdout.write(f"{name}: {count}")
