"""Registries: accounts to pull and push with, and what a registry says of a tag."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models.account import Account


class Registry(Account):
    """An account at a registry; its prefix is such as "docker.io", "registry.example.com:5000", "ghcr.io/acme"."""

    use_http = models.BooleanField(_("plain http"), default=False)

    # What the last try at it told.
    checked_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)
    error_raw = models.TextField(blank=True, default="")
    # How many pulls are left, where the registry tells: limit, remaining, window_seconds, at.
    rate_limit = models.JSONField(default=dict)

    class Meta(Account.Meta):
        verbose_name_plural = "registries"


class RemoteTag(models.Model):
    """What a registry said a tag points at; asked for by digest only, one row for the whole fleet."""

    name = models.CharField(max_length=450, unique=True)  # in full: "docker.io/library/redis:7"
    digest = models.CharField(max_length=100, blank=True, default="")
    checked_at = models.DateTimeField(db_index=True)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
