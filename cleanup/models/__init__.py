"""Everything cleanup/ stores."""

from cleanup.models.plan import HostPlan, Item, Plan, PlanState, Survivor
from cleanup.models.policy import CleanupSwitch, Policy, PolicyRule
from cleanup.models.run import HostRun, Run, RunState

__all__ = [
    "CleanupSwitch",
    "HostPlan",
    "HostRun",
    "Item",
    "Plan",
    "PlanState",
    "Policy",
    "PolicyRule",
    "Run",
    "RunState",
    "Survivor",
]
