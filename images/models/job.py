"""Jobs: one operation on one host, and what came of each thing it touched."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models.fields import EncryptedTextField
from images.models.host import Host
from images.models.image import Copy

if TYPE_CHECKING:
    from images.models.people import Permission, User


class JobState(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    LOST = "lost", _("Lost")


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, user: "User", permission: "Permission | str" = "view") -> Self:
        """The jobs on hosts where the user has the permission."""
        from images import access

        return access.restrict_by_host(self, user, permission)

    def at(self, host_id: int) -> Self:
        """Those that keep this host busy."""
        return self.filter(models.Q(host=host_id) | models.Q(source=host_id))

    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)

    def running_first(self) -> Self:
        """Those that are under way, then the newest: many that wait must not push these out of sight."""
        return self.order_by(models.Case(models.When(state=JobState.RUNNING, then=0), default=1), "-id")

    def ended(self) -> Self:
        return self.exclude(state__in=OPEN_STATES)

    def silent_since(self, moment: datetime) -> Self:
        """Running jobs whose worker has not been heard of since `moment`."""
        return self.filter(state=JobState.RUNNING, heartbeat_at__lt=moment)


class Job(models.Model):
    """The row is the job; Celery only wakes a worker, which claims it by compare-and-swap."""

    kind = models.CharField(max_length=30)  # a name registered in operations.py
    host = models.ForeignKey(Host, models.CASCADE, related_name="jobs")
    # Where content comes from, if that is another host: the job counts there as well.
    source = models.ForeignKey(Host, models.SET_NULL, null=True, related_name="+")
    batch = models.UUIDField(null=True, db_index=True)  # the jobs that one click started on several hosts
    queue = models.CharField(max_length=10, default="engine")
    subject = models.CharField(max_length=450, blank=True, default="")  # what it is about: "shop/api:2.1.0"
    parameters = models.JSONField(default=dict)  # never a secret
    retry_of = models.ForeignKey("self", models.SET_NULL, null=True, related_name="retries")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="jobs")

    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    worker = models.CharField(max_length=100, blank=True, default="")  # the claim: who carries it out
    attempt = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    ended_at = models.DateTimeField(null=True)

    progress_done = models.PositiveBigIntegerField(default=0)
    progress_total = models.PositiveBigIntegerField(default=0)  # 0: not known
    progress_rate = models.FloatField(default=0)  # units a second, smoothed
    progress_unit = models.CharField(max_length=10, default="items")  # "items", "steps" or "bytes"
    detail = models.JSONField(default=dict)  # what the page draws while it runs: layers, steps
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=50, blank=True, default="")  # see problems/
    error_values = models.JSONField(default=dict)  # what the error's sentence names
    error_raw = models.TextField(blank=True, default="")

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "heartbeat_at"]),
            models.Index(fields=["host", "-id"]),
            models.Index(fields=["kind", "-id"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def host_ids(self) -> list[int]:
        """The hosts that it keeps busy."""
        return [pk for pk in (self.host_id, self.source_id) if pk]

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class ItemState(models.TextChoices):
    """What became of one thing a job or a run was to do."""

    PENDING = "pending", _("Waiting")
    RUNNING = "running", _("Working")
    REMOVED = "removed", _("Removed")
    UNTAGGED = "untagged", _("Untagged only")
    GONE = "gone", _("Gone already")
    SKIPPED = "skipped", _("Skipped")
    FAILED = "failed", _("Failed")
    UNKNOWN = "unknown", _("Unknown")


class JobItem(models.Model):
    """One thing a job works on, with its own result."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    copy = models.ForeignKey(Copy, models.SET_NULL, null=True, related_name="+")
    engine_id = models.CharField(max_length=100, blank=True, default="")
    name = models.CharField(max_length=450)
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.PENDING)
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)
    error_raw = models.TextField(blank=True, default="")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="job_item_position")]

    def __str__(self) -> str:
        return self.name


class JobSecret(models.Model):
    """What a job must know and nobody may read: taken by it once, and gone with its end at the latest."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=100)
    value = EncryptedTextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="job_secret_name")]

    def __str__(self) -> str:
        return self.name


class JobLog(models.Model):
    """Lines a job wrote, in chunks so that a long log is few rows."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="log")
    text = models.TextField()  # one or more lines, each ending with a line feed
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text[:50]
