"""Policies: rules, the hosts they are for, and when they run."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models import Host, HostGroup


class Policy(models.Model):
    """What should go (delete rules), what must stay (keep rules), where, and when."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    description = models.TextField(_("description"), blank=True, default="")
    is_enabled = models.BooleanField(_("on"), default=True)

    all_hosts = models.BooleanField(_("all hosts"), default=False)
    groups = models.ManyToManyField(HostGroup, verbose_name=_("host groups"), related_name="+", blank=True)
    hosts = models.ManyToManyField(Host, verbose_name=_("hosts"), related_name="+", blank=True)

    minimum_age_hours = models.PositiveIntegerField(
        _("minimum age in hours"), default=24
    )  # since arrival on the host
    limit_items = models.PositiveIntegerField(_("at most this many images a run"), null=True, blank=True)
    limit_bytes = models.PositiveBigIntegerField(_("at most this many bytes a run"), null=True, blank=True)

    # Made for one look at one host, such as a prune: it is run by hand alone and not listed among the policies.
    is_one_off = models.BooleanField(default=False)

    schedule = models.CharField(
        _("schedule"), max_length=100, blank=True, default=""
    )  # cron; "" = only by hand
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    next_run_at = models.DateTimeField(null=True, db_index=True)

    # An edit raises the revision; an unattended run needs somebody to have looked at a plan of this revision.
    revision = models.PositiveIntegerField(default=1)
    seen_revision = models.PositiveIntegerField(default=0)
    seen_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    seen_at = models.DateTimeField(null=True)

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "policies"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def needs_a_look(self) -> bool:
        """Whether nobody has seen a plan of the policy as it stands now."""
        return self.seen_revision != self.revision

    @property
    def waits_for_a_look(self) -> bool:
        """Whether that keeps it from running by itself; what only people start has nothing to wait for."""
        return self.needs_a_look and bool(self.schedule)


class PolicyRule(models.Model):
    """One rule of a policy; `kind` is a name registered in rules.py, `parameters` are its fields."""

    class Effect(models.TextChoices):
        DELETE = "delete", _("Delete")
        KEEP = "keep", _("Keep")

    policy = models.ForeignKey(Policy, models.CASCADE, related_name="rules")
    effect = models.CharField(max_length=10, choices=Effect.choices)
    kind = models.CharField(max_length=30)
    parameters = models.JSONField(default=dict)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["effect", "position", "id"]

    def __str__(self) -> str:
        return f"{self.effect} {self.kind}"


class CleanupSwitch(models.Model):
    """The one switch that pauses all cleanup; a single row, absent until first used."""

    is_paused = models.BooleanField(default=False)
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return "paused" if self.is_paused else "running"
