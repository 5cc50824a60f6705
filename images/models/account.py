"""What accounts at registries and git accounts have in common."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models.fields import EncryptedTextField


class Account(models.Model):
    """Somebody at another machine, used for every name that begins with the prefix; the longest one wins."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    # A host, maybe with its port and the beginning of a path.
    prefix = models.CharField(_("prefix"), max_length=255, unique=True)
    username = models.CharField(_("user name"), max_length=255, blank=True, default="")
    password = EncryptedTextField(_("password or token"), blank=True, default="")
    ca = models.TextField(_("CA certificate"), blank=True, default="")
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
