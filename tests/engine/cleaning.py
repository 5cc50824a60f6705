"""What tests of cleanup on a real engine share: small images, policies for them, plans and runs carried out here."""

from typing import Any

from cleanup import planning
from cleanup.models import Item, Plan, PlanState, Policy, PolicyRule, Run
from cleanup.policies import plan_make
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images.jobs.life import job_carry_out
from images.models import Host, Job, User

BASE = Layer("base", 300_000)
TOOLS = Layer("tools", tools=True)


def app(version: str, *names: str, size: int = 50_000) -> Image:
    return Image([f"shop/app:{version}", *names], [BASE, Layer(f"app-{version}", size)])


def apps(count: int) -> list[Image]:
    return [app(f"1.{number}", size=10_000 + number) for number in range(count)]


def policy_for(host: Host, *rules: tuple[str, str, dict[str, Any]], **fields: Any) -> Policy:
    defaults = {"name": f"policy {host.pk}", "minimum_age_hours": 0}
    policy = Policy.objects.create(**(defaults | fields))
    policy.hosts.add(host)
    rules = rules or (("delete", "beyond_newest", {"count": 1, "order": "version"}),)
    for effect, kind, parameters in rules:
        PolicyRule.objects.create(policy=policy, effect=effect, kind=kind, parameters=parameters)
    return policy


def planned(policy: Policy, by: User) -> Plan:
    plan = plan_make(by=by, policy=policy)
    planning.plan_carry_out(plan.pk)
    plan.refresh_from_db()
    assert plan.state == PlanState.READY, plan.error_raw
    return plan


def carried_out(run: Run) -> Run:
    for job in Job.objects.filter(host_run__run=run):
        job_carry_out(job.pk)
    run.refresh_from_db()
    return run


def is_as_promised(run: Run, plan: Plan) -> bool:
    """To the byte with a graph driver, within the range with the containerd store."""
    if STORE == "containerd":
        return plan.promised_bytes <= (run.freed_bytes or 0) <= plan.promised_bytes_high
    return plan.promised_bytes == run.freed_bytes == plan.promised_bytes_high


def outcomes(plan: Plan) -> dict[str, tuple[str, str]]:
    items = Item.objects.filter(host_plan__plan=plan)
    return {item.name: (item.state, item.outcome_code) for item in items}


def names_on(engine: PrivateEngine) -> set[str]:
    with engine.client() as api:
        return {name for row in api.images() for name in row.get("RepoTags") or ()}
