"""The demo's policies, and the first plan of the one that frees most."""

from cleanup.models import Plan, PlanState, Policy
from cleanup.policies import PolicyInput, RuleInput, plan_make, policy_add
from images.models import HostGroup, User

NIGHTLY = PolicyInput(
    name="Nightly: dangling images",
    description="What rebuilding a tag leaves behind.",
    rules=[RuleInput("dangling", {})],
    all_hosts=True,
    minimum_age_hours=24,
    schedule="30 3 * * *",
    time_zone="Europe/Berlin",
)
SERIES = PolicyInput(
    name="Keep the newest three of each repository",
    description="Older versions can be pulled again from the registry.",
    rules=[
        RuleInput("beyond_newest", {"count": 3, "order": "version"}),
        RuleInput("keep_pattern", {"pattern": "stable", "syntax": "glob", "target": "tag"}),
    ],
    all_hosts=True,
    schedule="0 4 * * 0",
    time_zone="Europe/Berlin",
)
UNUSED = PolicyInput(
    name="Unused for 30 days",
    description="Nothing has run from it for a month, and nobody marked it to keep.",
    rules=[
        RuleInput("unused_for", {"days": 30}),
        RuleInput("keep_label", {"label": "keep=yes"}),
    ],
    minimum_age_hours=72,
    limit_items=50,
)


def write() -> None:
    """Adds them, as an admin would on the page, and asks for a plan."""
    from dataclasses import replace

    admin = User.objects.get(username="admin")
    groups = list(HostGroup.objects.filter(name__in=["production", "ci"]))
    for data in (NIGHTLY, SERIES):
        if not Policy.objects.filter(name=data.name).exists():
            policy_add(by=admin, data=data)
    if not Policy.objects.filter(name=UNUSED.name).exists():
        policy_add(by=admin, data=replace(UNUSED, groups=groups))
    plan_make(by=admin, policy=Policy.objects.get(name=UNUSED.name))


def has_plan() -> bool:
    return Plan.objects.exclude(state=PlanState.MAKING).exists()
