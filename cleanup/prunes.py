"""Everything unused on one host: `docker image prune`, with the preview, the guards and the record of a policy.

What is asked for once is a policy too, for one host and without a schedule: so its plan is made by the same
planner, frozen, run by the same executor and remembered as a run. It is not listed among the policies.
"""

from django.db import transaction

from cleanup.models import Plan, Policy, PolicyRule
from cleanup.policies import plan_make
from images.models import Host, User

# Docker's own words for it, by the kind of the one rule.
COMMANDS = {"dangling": "docker image prune", "unused": "docker image prune -a"}


@transaction.atomic
def prune_plan(*, by: User, host: Host, kind: str) -> Plan:
    """Has the plan made of removing what is dangling, or all that is unused. `kind` is a key of COMMANDS.

    The caller has checked the permission to run cleanup on the host.
    """
    # Two clicks at once make one policy, not two.
    Host.objects.select_for_update(no_key=True).only("pk").get(pk=host.pk)
    known = Policy.objects.filter(is_one_off=True, hosts=host, rules__kind=kind).first()
    return plan_make(by=by, policy=known or _policy(by, host, kind))


def _policy(by: User, host: Host, kind: str) -> Policy:
    # No minimum age: somebody looks at the list before anything goes, as with Docker's own command.
    policy = Policy.objects.create(
        name=_free_name(f"{COMMANDS[kind]}: {host.name}"[:90]),
        is_one_off=True,
        is_enabled=False,
        minimum_age_hours=0,
        created_by=by,
    )
    policy.hosts.add(host)
    PolicyRule.objects.create(policy=policy, effect=PolicyRule.Effect.DELETE, kind=kind)
    return policy


def _free_name(name: str) -> str:
    """Names are unique; a host that was renamed may have left its old name with its policy."""
    free, number = name, 2
    while Policy.objects.filter(name=free).exists():
        free, number = f"{name} ({number})", number + 1
    return free
