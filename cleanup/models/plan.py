"""Plans: the frozen list of what a policy would remove, and why everything else stays."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cleanup.models.policy import Policy
from images.models import Copy, Host, ItemState
from images.promises import Promise


class PlanState(models.TextChoices):
    MAKING = "making", _("Being made")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")


class Plan(models.Model):
    """Made once by the planner, never changed; a run may do less than it says, never more."""

    policy = models.ForeignKey(Policy, models.CASCADE, related_name="plans")
    policy_revision = models.PositiveIntegerField()
    rules = models.JSONField(default=list)  # the rules as they stood: effect, kind, parameters
    state = models.CharField(max_length=10, choices=PlanState.choices, default=PlanState.MAKING)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    claimed_at = models.DateTimeField(null=True)  # a worker makes it; renewed host by host, so silence shows
    made_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    item_count = models.PositiveIntegerField(default=0)
    kept_count = models.PositiveIntegerField(default=0)
    promised_bytes = models.PositiveBigIntegerField(default=0)
    promised_bytes_high = models.PositiveBigIntegerField(
        default=0
    )  # equals promised_bytes where bytes are exact
    is_up_to = models.BooleanField(default=False)  # that of one of its hosts is
    error_raw = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"plan #{self.pk}"

    @property
    def promise(self) -> Promise:
        return Promise(self.promised_bytes, self.promised_bytes_high, self.is_up_to)

    @property
    def sees_a_host(self) -> bool:
        """Whether it shows of some host what would go there; costs a query."""
        return self.host_plans.filter(warning="").exists()

    @property
    def is_expired(self) -> bool:
        """Too old to be run; one that was never made has no end and counts as that too."""
        return self.expires_at is None or self.expires_at <= timezone.now()


class HostPlanQuerySet(models.QuerySet["HostPlan"]):
    def left_out(self) -> Self:
        """Hosts that the plan was meant for and about which too little was known; not those switched off."""
        return self.exclude(warning__in=("", "host_disabled"))


class HostPlan(models.Model):
    """A plan's part for one host."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="host_plans")
    host = models.ForeignKey(Host, models.CASCADE, related_name="+")
    item_count = models.PositiveIntegerField(default=0)
    kept_count = models.PositiveIntegerField(default=0)
    promised_bytes = models.PositiveBigIntegerField(default=0)
    promised_bytes_high = models.PositiveBigIntegerField(default=0)
    is_up_to = models.BooleanField(default=False)  # the build cache may hold layers back
    engine_mark = models.CharField(max_length=32, blank=True, default="")  # the engine it was made for
    inventory_at = models.DateTimeField(null=True)  # how old the picture was that the plan is made from
    warning = models.CharField(
        max_length=50, blank=True, default=""
    )  # a code: why this host was left out, say
    takes_all = models.BooleanField(default=False)  # the delete rules alone select every image of the host

    objects = HostPlanQuerySet.as_manager()

    class Meta:
        ordering = ["host__name"]
        constraints = [models.UniqueConstraint(fields=["plan", "host"], name="host_once_per_plan")]

    def __str__(self) -> str:
        return f"{self.plan} on {self.host_id}"

    @property
    def promise(self) -> Promise:
        return Promise(self.promised_bytes, self.promised_bytes_high, self.is_up_to)


class Item(models.Model):
    """One copy that a plan removes, and what became of it when the plan was run."""

    host_plan = models.ForeignKey(HostPlan, models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()  # order of removal: children before parents
    copy = models.ForeignKey(Copy, models.SET_NULL, null=True, related_name="+")
    engine_id = models.CharField(max_length=100)
    name = models.CharField(max_length=450)
    references = models.JSONField(default=list)  # every tag and digest, to bring the image back by
    size_bytes = models.PositiveBigIntegerField(default=0)
    frees_bytes = models.PositiveBigIntegerField(
        default=0
    )  # of the promised bytes, those that go with this item
    is_parent = models.BooleanField(default=False)  # an untagged parent that goes along with its last child
    rule_kind = models.CharField(max_length=30, blank=True, default="")
    reason = models.JSONField(default=dict)  # the numbers in the rule's sentence

    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.PENDING)
    # Written before the first request: references that may be taken away, to be restored if removal is refused.
    journal = models.JSONField(default=list)
    outcome_code = models.CharField(max_length=50, blank=True, default="")  # why it was skipped or failed
    outcome_values = models.JSONField(default=dict)
    outcome_raw = models.TextField(blank=True, default="")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["host_plan", "engine_id"], name="item_once_per_host_plan")
        ]
        indexes = [
            # Few, and asked for at every tick.
            models.Index(fields=["host_plan"], name="item_unknown", condition=Q(state=ItemState.UNKNOWN)),
        ]

    def __str__(self) -> str:
        return self.name


class Survivor(models.Model):
    """One copy that stays, and the reason."""

    host_plan = models.ForeignKey(HostPlan, models.CASCADE, related_name="survivors")
    copy = models.ForeignKey(Copy, models.SET_NULL, null=True, related_name="+")
    engine_id = models.CharField(max_length=100)
    name = models.CharField(max_length=450)
    size_bytes = models.PositiveBigIntegerField(default=0)
    reason_code = models.CharField(max_length=30)  # a keep rule's kind, a guard's name, or "not_selected"
    reason = models.JSONField(default=dict)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name
