"""Registries: accounts to pull and push with, and what a registry says of a tag."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models.fields import EncryptedTextField


class Registry(models.Model):
    """An account at a registry, used for every reference that begins with its prefix; the longest one wins."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    # "docker.io", "registry.example.com:5000", "ghcr.io/acme": a host, maybe with the beginning of a path.
    prefix = models.CharField(_("prefix"), max_length=255, unique=True)
    username = models.CharField(_("user name"), max_length=255, blank=True, default="")
    password = EncryptedTextField(_("password or token"), blank=True, default="")
    ca = models.TextField(_("CA certificate"), blank=True, default="")
    use_http = models.BooleanField(_("plain http"), default=False)
    added_at = models.DateTimeField(auto_now_add=True)

    # What the last try at it told.
    checked_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)
    error_raw = models.TextField(blank=True, default="")
    # How many pulls are left, where the registry tells: limit, remaining, window_seconds, at.
    rate_limit = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "registries"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


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
