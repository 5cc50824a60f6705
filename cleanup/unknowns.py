"""What a plan could not know, in sentences for its page."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from cleanup.models import Plan
from cleanup.rules import REGISTRY
from images import access
from images.models import Host, HostState, Permission, User

NAMES_SHOWN = 8


def plan_unknowns(user: User, plan: Plan) -> list[str]:
    """One sentence for each thing that is not known on some of the plan's hosts, with their names.

    Of hosts that the plan leaves out only that; of last use only where a rule asks for it.
    """
    left_out = [
        each.host
        for each in access.restrict_by_host(
            plan.host_plans.left_out().select_related("host"), user, Permission.VIEW
        )
    ]
    planned = plan.host_plans.filter(warning="").select_related("host")
    hosts = [each.host for each in access.restrict_by_host(planned, user, Permission.VIEW)]
    asks_for_use = any(REGISTRY[rule["kind"]].needs_use for rule in plan.rules)
    sentences = (
        (
            _("Left out, so nothing goes there now, and this does not show what would: %(hosts)s."),
            left_out,
        ),
        (
            _("Offline now, so the picture may be old and nothing can be removed there: %(hosts)s."),
            [host for host in hosts if host.state == HostState.OFFLINE],
        ),
        (
            _("Last use is not known, so rules about use select nothing there: %(hosts)s."),
            [host for host in hosts if asks_for_use and host.use_known_since is None],
        ),
        (
            _("The engine tells sizes only roughly, so the bytes are estimates: %(hosts)s."),
            [host for host in hosts if host.is_estimate],
        ),
    )
    return [sentence % {"hosts": _names(found)} for sentence, found in sentences if found]


def _names(hosts: Sequence[Host]) -> str:
    names = [host.name for host in hosts[:NAMES_SHOWN]]
    if len(hosts) > NAMES_SHOWN:
        names.append(_("and %(count)s more") % {"count": len(hosts) - NAMES_SHOWN})
    return ", ".join(names)
