"""Who may see and do what with policies, plans and runs; the grants themselves are those of images/access.py.

Invisible is 404: a policy is visible to who sees a host of its scope, a plan or run to who sees a host it is
for. Doing needs the permission on every host concerned.
"""

from collections.abc import Iterable

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from cleanup.models import HostPlan, HostRun, Plan, PlanState, Policy, Run
from images import access
from images.models import Host, Permission, User


def visible_policies(user: User, permission: Permission | str = Permission.VIEW) -> QuerySet[Policy]:
    """Policies of which at least one host is in the user's sight."""
    scope = access.host_scope(user, permission)
    if scope is None:
        return Policy.objects.all()
    if not scope:
        return Policy.objects.none()
    groups = Policy.groups.through.objects.filter(policy=OuterRef("pk"), hostgroup__hosts__in=scope)
    hosts = Policy.hosts.through.objects.filter(policy=OuterRef("pk"), host__in=scope)
    return Policy.objects.filter(Q(all_hosts=True) | Exists(groups) | Exists(hosts))


def listed_policies(user: User) -> QuerySet[Policy]:
    """Visible policies that people made; without those that stand behind a prune of one host."""
    return visible_policies(user).filter(is_one_off=False)


def visible_plans(user: User) -> QuerySet[Plan]:
    """Plans with a host in sight; one still in the making, or without hosts, goes by its policy."""
    scope = access.host_scope(user, Permission.VIEW)
    if scope is None:
        return Plan.objects.all()
    parts = HostPlan.objects.filter(plan=OuterRef("pk"))
    seen = Exists(parts.filter(host__in=scope))
    is_hostless = ~Exists(parts) | Q(state=PlanState.MAKING)
    return Plan.objects.filter(seen | (is_hostless & Q(policy__in=visible_policies(user))))


def visible_runs(user: User) -> QuerySet[Run]:
    """Runs with a host in sight; one without hosts yet goes by its policy."""
    scope = access.host_scope(user, Permission.VIEW)
    if scope is None:
        return Run.objects.all()
    parts = HostPlan.objects.filter(plan=OuterRef("plan"))
    seen = Exists(parts.filter(host__in=scope)) | Exists(
        HostRun.objects.filter(run=OuterRef("pk"), host__in=scope)
    )
    return Run.objects.filter(seen | (~Exists(parts) & Q(policy__in=visible_policies(user))))


def policy_hosts(policy: Policy) -> QuerySet[Host]:
    """Every host in the policy's scope, switched-off ones included."""
    if policy.all_hosts:
        return Host.objects.all()
    groups = policy.groups.through.objects.filter(policy=policy).values("hostgroup_id")
    hosts = policy.hosts.through.objects.filter(policy=policy).values("host_id")
    return Host.objects.filter(Q(groups__in=groups) | Q(pk__in=hosts)).distinct()


def watching_hosts(policy: Policy, plan: Plan | None) -> list[int]:
    """The ids of the hosts of which one has to be in sight to hear of this plan, or of a run of it."""
    if plan and plan.state != PlanState.MAKING:
        hosts = list(plan.host_plans.values_list("host_id", flat=True))
        if hosts:
            return hosts
    return list(policy_hosts(policy).values_list("pk", flat=True))


def can_on_policy(user: User, policy: Policy, permission: Permission | str) -> bool:
    """Whether the permission holds on every host of the scope, also those to come in its groups."""
    if access.can_everywhere(user, permission):
        return True
    if policy.all_hosts:
        return False
    groups = set(policy.groups.values_list("pk", flat=True))
    own = set(access.groups_for(user, permission).values_list("pk", flat=True))
    return groups <= own and _can_on(user, policy.hosts.values_list("pk", flat=True), permission)


def can_preview(user: User, policy: Policy) -> bool:
    """A preview goes through every host of the policy: it is for who may do something with the result."""
    return any(can_on_policy(user, policy, p) for p in (Permission.EDIT_POLICIES, Permission.RUN_CLEANUP))


def can_on_plan(user: User, plan: Plan, permission: Permission | str) -> bool:
    """Whether the permission holds on every host of the plan; a plan without hosts goes by its policy."""
    hosts = list(plan.host_plans.values_list("host_id", flat=True))
    return _can_on(user, hosts, permission) if hosts else can_on_policy(user, plan.policy, permission)


def can_on_run(user: User, run: Run, permission: Permission | str) -> bool:
    return (
        can_on_plan(user, run.plan, permission) if run.plan else can_on_policy(user, run.policy, permission)
    )


def _can_on(user: User, hosts: Iterable[int], permission: Permission | str) -> bool:
    return all(access.can(user, permission, host) for host in hosts)


def _require(is_allowed: bool, permission: Permission | str) -> None:
    if not is_allowed:
        raise PermissionDenied(
            _("This needs the permission “%(permission)s” on all its hosts. Ask an admin for it.")
            % {"permission": Permission(permission).label}
        )


def access_policy(
    user: User, pk: int, permission: Permission | str = Permission.VIEW, *, one_off: bool = False
) -> Policy:
    """The policy, or Http404 when invisible, PermissionDenied when visible but not allowed.

    What stands behind a prune has no page of its own; only a new preview of it (`one_off`) may be asked for.
    """
    policies = visible_policies(user) if one_off else listed_policies(user)
    policy = policies.filter(pk=pk).first()
    if policy is None:
        raise Http404
    _require(permission == Permission.VIEW or can_on_policy(user, policy, permission), permission)
    return policy


def access_preview(user: User, pk: int) -> Policy:
    """The policy for who may make a preview of it."""
    policy = access_policy(user, pk, one_off=True)
    _require(can_preview(user, policy), Permission.RUN_CLEANUP)
    return policy


def access_plan(user: User, pk: int, permission: Permission | str = Permission.VIEW) -> Plan:
    plan = visible_plans(user).select_related("policy", "created_by").filter(pk=pk).first()
    if plan is None:
        raise Http404
    _require(permission == Permission.VIEW or can_on_plan(user, plan, permission), permission)
    return plan


def access_run(user: User, pk: int, permission: Permission | str = Permission.VIEW) -> Run:
    related = ("policy", "plan", "plan__policy", "started_by", "approved_by")
    run = visible_runs(user).select_related(*related).filter(pk=pk).first()
    if run is None:
        raise Http404
    _require(permission == Permission.VIEW or can_on_run(user, run, permission), permission)
    return run
