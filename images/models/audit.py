"""Who changed what, where, and whether it worked."""

from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models.host import Host

if TYPE_CHECKING:
    from images.models.people import Permission, User


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def visible_to(self, user: "User", permission: "Permission | str" = "view") -> Self:
        """Entries about hosts the user may view; entries about no host only for who manages teams."""
        from images import access

        return access.restrict_audit(self, user, permission)


class AuditEntry(models.Model):
    """One change. Rows are only added, and deleted by age alone; see forgetting.py."""

    class Outcome(models.TextChoices):
        DONE = "done", _("Done")
        STARTED = "started", _("Started")
        REFUSED = "refused", _("Refused")
        FAILED = "failed", _("Failed")

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    actor_name = models.CharField(
        max_length=150
    )  # stays readable after the person is gone; "" = Drydock itself
    action = models.CharField(max_length=50, db_index=True)  # "host.add", "job.remove", "run.start", ...
    target = models.CharField(max_length=450, blank=True, default="")
    host = models.ForeignKey(Host, models.SET_NULL, null=True, related_name="+")
    host_name = models.CharField(max_length=100, blank=True, default="")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.DONE)
    detail = models.JSONField(default=dict)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
