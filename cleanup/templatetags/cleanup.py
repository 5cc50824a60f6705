"""What the pages of cleanup say again and again: states, promised bytes, the pause banner."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cleanup import listings, presets, wording
from cleanup.models import HostPlan, HostRun, Item, Policy, PolicyRule, Run, RunState, Survivor
from images import access
from images.models import ItemState, Permission
from images.templatetags.drydock import duration
from images.templatetags.jobs import ITEM_LOOKS

register = template.Library()

_RUN_LOOKS = {
    RunState.PLANNING: "info",
    RunState.WAITING: "warning",
    RunState.RUNNING: "info",
    RunState.SUCCEEDED: "good",
    RunState.PARTIAL: "warning",
    RunState.FAILED: "danger",
    RunState.CANCELLED: "muted",
    RunState.EXPIRED: "muted",
}


@register.filter
def run_badge(run: Run | HostRun) -> SafeString:
    look = _RUN_LOOKS.get(RunState(run.state), "muted")
    return format_html('<span class="badge is-{}">{}</span>', look, run.get_state_display())


@register.filter
def item_badge(state: str) -> SafeString:
    known = ItemState(state)
    return format_html('<span class="badge is-{}">{}</span>', ITEM_LOOKS[known], known.label)


@register.filter
def rule_sentence(rule: PolicyRule | dict[str, Any]) -> str:
    """Of a policy's rule, or of one as a plan froze it."""
    if isinstance(rule, dict):
        return wording.rule_sentence(rule["kind"], rule["parameters"])
    return wording.rule_sentence(rule.kind, rule.parameters)


@register.filter
def short_reference(reference: str) -> str:
    """A digest in the twelve digits people compare by."""
    name, separator, digest = reference.partition("@sha256:")
    return f"{name}@{digest[:12]}" if separator else reference


@register.filter
def why_goes(item: Item) -> str:
    return wording.reason("parent" if item.is_parent else item.rule_kind, item.reason)


@register.filter
def why_stays(survivor: Survivor) -> str:
    return wording.reason(survivor.reason_code, survivor.reason)


@register.filter
def outcome(item: Item) -> str:
    """What became of the item, when it did not simply go."""
    return wording.outcome(item.outcome_code, item.outcome_values)


@register.filter
def why_not_begun(run: Run) -> str:
    """Why it waits, or what ended it before it began; "" where nothing did."""
    if run.state == RunState.WAITING:
        was_unseen = run.waiting_reason == "unseen" and not run.policy.needs_a_look
        return wording.not_begun("unseen") if was_unseen else wording.waiting(run.waiting_reason)
    return wording.not_begun(run.waiting_reason) if run.ended_at and not run.started_at else ""


@register.filter
def warning_text(host_plan: HostPlan) -> str:
    """Why it loses nothing; else that the rules select all there is, when they do."""
    return wording.warning(host_plan.warning or ("takes_all_plan" if host_plan.takes_all else ""))


@register.simple_tag(takes_context=True)
def scope_words(context: dict[str, Any], policy: Policy) -> str:
    """The hosts a policy is for, by name as far as the reader may see them, and how many more there are.

    Its groups and hosts come from the prefetched rows.
    """
    if policy.all_hosts:
        return _("all hosts")
    user = context["request"].user
    own_groups = access.group_scope(user, Permission.VIEW)
    own_hosts = access.host_scope(user, Permission.VIEW)
    groups, hosts = list(policy.groups.all()), list(policy.hosts.all())
    words = [
        _("group %(name)s") % {"name": g.name} for g in groups if own_groups is None or g.pk in own_groups
    ]
    words += [host.name for host in hosts if own_hosts is None or host.pk in own_hosts]
    if more := len(groups) + len(hosts) - len(words):
        words.append(_("and %(count)s more") % {"count": more} if words else hidden_words(more))
    return ", ".join(words) or _("no host")


def hidden_words(count: int) -> str:
    return ngettext(
        "%(count)s host or group that you may not see",
        "%(count)s hosts or groups that you may not see",
        count,
    ) % {"count": count}


@register.filter
def schedule_words(policy: Policy) -> str:
    if not policy.schedule:
        return _("only when somebody starts it")
    words = presets.explain_schedule(policy.schedule, policy.time_zone, times=0).words
    return f"{words or policy.schedule} ({policy.time_zone})"


@register.filter
def next_run_local(policy: Policy) -> str:
    return presets.local_text(policy.next_run_at, policy.time_zone) if policy.next_run_at else ""


@register.filter
def images_count(count: int) -> str:
    return ngettext("%(count)s image", "%(count)s images", count) % {"count": f"{count:,}"}


@register.filter
def hosts_count(count: int) -> str:
    return ngettext("%(count)s host", "%(count)s hosts", count) % {"count": f"{count:,}"}


@register.filter
def run_duration(run: Run) -> str:
    """How long the work took; a dash before it began, and while it goes on."""
    if run.started_at is None or run.ended_at is None:
        return "–"
    return duration((run.ended_at - run.started_at).total_seconds())


@register.filter
def lateness(run: Run) -> str:
    """How long after its scheduled time it was made."""
    return duration((run.created_at - run.slot).total_seconds()) if run.slot else "–"


@register.inclusion_tag("cleanup/_pause_banner.html", takes_context=True)
def pause_banner(context: dict[str, Any]) -> dict[str, Any]:
    user = context["request"].user
    may_resume = access.can_everywhere(user, Permission.RUN_CLEANUP)
    return {"switch": listings.pause_switch(), "may_resume": may_resume}
