"""Runs: carrying out a plan."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from cleanup.models.plan import HostPlan, Plan, PlanState
from cleanup.models.policy import Policy
from images.models import Host, Job
from images.promises import Promise


class RunState(models.TextChoices):
    PLANNING = "planning", _("Making the plan")
    WAITING = "waiting", _("Waiting for approval")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    PARTIAL = "partial", _("Partial")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class Run(models.Model):
    """One carrying out of one plan, started by a person or by the schedule."""

    policy = models.ForeignKey(Policy, models.CASCADE, related_name="runs")
    plan = models.OneToOneField(Plan, models.PROTECT, null=True, related_name="run")
    slot = models.DateTimeField(null=True)  # the scheduled time; None when a person started it
    is_late = models.BooleanField(default=False)  # begun long after its slot
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.PLANNING)
    waiting_reason = models.CharField(max_length=30, blank=True, default="")  # a code: limit, unseen, paused
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    freed_bytes = models.BigIntegerField(
        null=True
    )  # sum of what was measured on the hosts; None: not measured

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["policy", "slot"], name="run_once_per_slot")]

    def __str__(self) -> str:
        return f"run #{self.pk}"

    @property
    def promise(self) -> Promise | None:
        """What its plan promises; None before there is one to read it from."""
        return self.plan.promise if self.plan and self.plan.state == PlanState.READY else None


class HostRun(models.Model):
    """A run's part on one host: one job, and the engine's own layer total before and after."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="host_runs")
    host_plan = models.OneToOneField(HostPlan, models.RESTRICT, related_name="host_run")  # goes with its host
    host = models.ForeignKey(Host, models.CASCADE, related_name="host_runs")
    job = models.OneToOneField(Job, models.SET_NULL, null=True, related_name="host_run")
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.RUNNING)
    bytes_before = models.PositiveBigIntegerField(null=True)
    bytes_after = models.PositiveBigIntegerField(null=True)
    freed_bytes = models.BigIntegerField(null=True)  # before - after, as the engine says
    was_disturbed = models.BooleanField(default=False)  # something else changed the host's images meanwhile

    class Meta:
        ordering = ["host__name"]
        constraints = [models.UniqueConstraint(fields=["run", "host"], name="host_once_per_run")]

    def __str__(self) -> str:
        return f"{self.run} on {self.host_id}"

    @property
    def promise(self) -> Promise:
        return self.host_plan.promise
