"""What a person sent or had fetched for a build: an archive, kept in a folder that web and workers share."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class UploadState(models.TextChoices):
    RECEIVING = "receiving", _("Receiving")
    FETCHING = "fetching", _("Fetching")
    READY = "ready", _("Ready")
    REFUSED = "refused", _("Refused")


class Upload(models.Model):
    """A build context. Its bytes are the file named by `id` in the spool; both go after a while."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    name = models.CharField(
        max_length=255, blank=True, default=""
    )  # as the browser named it, or the repository
    size_bytes = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=UploadState.choices, default=UploadState.RECEIVING)
    # What the context holds, see contexts/archive.py; while it is fetched: git_url and branch.
    summary = models.JSONField(default=dict)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)
    error_raw = models.TextField(blank=True, default="")  # git's own words

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name or str(self.id)
