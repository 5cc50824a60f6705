"""A policy, its plan and its run, as the tests of what pages tell have them."""

from datetime import timedelta
from typing import Any

from django.urls import reverse

from cleanup.models import Plan, Policy, Run, RunState
from images.models import Host
from tests.cleanup import rows
from tests.pages import NOW


def nightly(host: Host, **fields: Any) -> Policy:
    """Every night at 3 in Berlin, looked at."""
    defaults: dict[str, Any] = {
        "schedule": "0 3 * * *",
        "time_zone": "Europe/Berlin",
        "next_run_at": NOW + timedelta(hours=13),
        "description": "Keeps the runner small",
        "seen_revision": 1,
        "seen_at": NOW - timedelta(hours=2),
    }
    return rows.make_policy("Nightly", hosts=[host], **(defaults | fields))


def planned(host: Host, policy: Policy | None = None, **fields: Any) -> Plan:
    """Removes two images and keeps one."""
    plan = rows.make_plan(policy or nightly(host), **fields)
    rows.add_host(plan, host, removed=2)
    return plan


def ran(host: Host, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Run:
    return rows.make_run(planned(host), state, **fields)


def address(name: str, *args: Any) -> str:
    return reverse(f"cleanup:{name}", args=args)
