"""The sentences of cleanup/: rules, reasons, warnings and what is wrong with a field."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from images.errors import Lenient, Text, explain

RULE_LABELS: dict[str, Text] = {
    "dangling": _("Dangling"),
    "unused": _("Unused now"),
    "unused_for": _("Unused for some days"),
    "older_than": _("Older than some days"),
    "beyond_newest": _("Beyond the newest of a repository"),
    "tag_pattern": _("Tag pattern"),
    "keep_newest": _("Newest of a repository"),
    "keep_pattern": _("Tag or repository pattern"),
    "keep_label": _("Label"),
    "used_within": _("Used in the last days"),
}
RULE_HINTS: dict[str, Text] = {
    "dangling": _("Images without a tag."),
    "unused": _("Images that no container uses now, not even a stopped one."),
    "unused_for": _("No container used it for so long; one never used counts from its arrival on the host."),
    "older_than": _("Counted from the day it was built. An image without a build date is not selected."),
    "beyond_newest": _(
        "Per repository and host. Tags that are no versions, such as latest, are counted apart, by date."
    ),
    "tag_pattern": _("Only images of which every tag matches."),
    "keep_newest": _(
        "Per repository and host. Tags that are no versions, such as latest, are counted apart, by date."
    ),
    "keep_pattern": _("Images of which any tag or repository matches."),
    "keep_label": _("Images with this label: a key, or key=value."),
    "used_within": _("Images that a container used lately."),
}
FIELD_LABELS: dict[str, Text] = {
    "days": _("Days"),
    "count": _("How many"),
    "order": _("Newest by"),
    "pattern": _("Pattern"),
    "syntax": _("Written as"),
    "target": _("Compared with"),
    "label": _("Label"),
}
FIELD_HINTS: dict[str, Text] = {
    "pattern": _("For example pr-* or, as a regular expression, v[0-9]+-rc.*"),
    "label": _("For example keep or keep=true"),
}
CHOICE_LABELS: dict[str, Text] = {
    "version": _("version"),
    "date": _("build date"),
    "glob": _("wildcards (* and ?)"),
    "regex": _("regular expression"),
    "tag": _("the tag"),
    "repository": _("the repository"),
    "reference": _("repository:tag"),
}

ERRORS: dict[str, Text] = {
    "required": _("This is needed."),
    "too_long": _("At most %(detail)s characters."),
    "label_key": _("Write the label’s key, or key=value: without a key no image has it."),
    "not_a_number": _("Enter a whole number."),
    "out_of_range": _("Enter a number from %(minimum)s to %(maximum)s."),
    "bad_choice": _("Choose one of the list."),
    "unknown_rule": _("There is no such rule."),
    "bad_regex": _("This is no regular expression: %(detail)s"),
    "slow_regex": _("This expression takes too long on some names. Avoid repeats inside repeats."),
    "bad_cron_fields": _("Give five fields: minute, hour, day of month, month, day of week."),
    "bad_minute": _(
        "The minute “%(detail)s” can not be read: 0 to 59, a list (0,30), a range (0-29) or a step (*/15)."
    ),
    "bad_hour": _(
        "The hour “%(detail)s” can not be read: 0 to 23, a list (6,18), a range (9-17) or a step (*/6)."
    ),
    "bad_day": _(
        "The day of the month “%(detail)s” can not be read: 1 to 31, a list, a range, or L for the last one."
    ),
    "bad_month": _("The month “%(detail)s” can not be read: 1 to 12, a list or a range."),
    "bad_weekday": _(
        "The day of the week “%(detail)s” can not be read: 0 (Sunday) to 6, a list or a range (1-5)."
    ),
    "never_comes": _("This time never comes."),
    "bad_time_zone": _("There is no such time zone."),
    "name_taken": _("A policy of this name exists already."),
    "no_scope": _("Choose at least one host or host group, or all hosts."),
    "no_permission": _("You need the permission to edit policies on every host of the scope."),
    "no_delete_rule": _("Add at least one delete rule: keep rules alone remove nothing."),
    "too_many_rules": _("At most %(detail)s rules."),
    "rule_twice": _("The same rule is there already."),
}

WARNINGS: dict[str, Text] = {
    "takes_all_plan": _("The rules select every image here; only guards and keep rules hold some back."),
    "host_offline": _("The host is offline: nothing is removed there."),
    "host_disabled": _("The host is switched off: nothing is removed there."),
    "host_never_synced": _("The host was never read: nothing is known about its images."),
    "inventory_old": _(
        "The picture of this host is too old to tell what is in use: nothing is removed there."
    ),
    "plan_failed": _("This host could not be planned: nothing is removed there."),
}

PARENT = _("An untagged parent: it goes along with the last image that was built on it.")
_USE_UNKNOWN = _(
    "When it was last used is not known for the last %(days)s days, so the rule about use leaves it."
)
REASONS: dict[str, Text] = {
    "dangling": _("It has no tag."),
    "unused": _("No container uses it."),
    "unused_for:used": _("Last used %(ago)s days ago; the limit is %(days)s."),
    "unused_for:arrived": _("Never used since it arrived %(ago)s days ago; the limit is %(days)s."),
    "older_than": _("Built %(ago)s days ago; the limit is %(days)s."),
    "beyond_newest:version": _("Place %(place)s by version in %(repository)s; the newest %(count)s stay."),
    "beyond_newest:date": _("Place %(place)s by date in %(repository)s; the newest %(count)s stay."),
    "tag_pattern": _("%(name)s matches %(pattern)s."),
    "parent": PARENT,
    "pinned": _("Pinned: %(reason)s"),
    "in_use": _("In use by the container %(container)s."),
    "in_use:many": _("In use by %(count)s containers, among them %(container)s."),
    "wanted": _("A job needs it: #%(job)s."),
    "too_young": _("Arrived %(hours)s h ago; the minimum age is %(minimum)s h."),
    "too_young:0": _("Arrived less than 1 h ago; the minimum age is %(minimum)s h."),
    "keep_newest:version": _("Place %(place)s of the newest %(count)s by version in %(repository)s."),
    "keep_newest:date": _("Place %(place)s of the newest %(count)s by date in %(repository)s."),
    "keep_pattern": _("%(name)s matches %(pattern)s, which stays."),
    "keep_label": _("It has the label %(label)s."),
    "used_within": _("Used %(ago)s days ago, within %(days)s days."),
    "base": _("%(child)s is built on it and stays."),
    "base_kept": _("Its untagged parent %(parent)s must stay and would go along."),
    "use_unknown": _USE_UNKNOWN,
    "slow_pattern": _("The pattern %(pattern)s took too long, so it stays."),
    "not_selected": _("No delete rule selects it."),
}
REASON_LABELS: dict[str, Text] = {
    **RULE_LABELS,
    "parent": _("Parent that goes along"),
    "pinned": _("Pinned"),
    "in_use": _("In use"),
    "wanted": _("Needed by a job"),
    "too_young": _("Too young"),
    "base": _("Base of an image that stays"),
    "base_kept": _("Its parent must stay"),
    "use_unknown": _("Use not known"),
    "slow_pattern": _("Pattern too slow"),
    "not_selected": _("Not selected"),
}
WAITING: dict[str, Text] = {
    "limit": _("It removes more than the policy's limit."),
    "unseen": _("Nobody has looked at a plan of the policy as it stands now."),
    "paused": _("All cleanup is paused."),
}

NOT_BEGUN: dict[str, Text] = {
    "limit": _("It would have removed more than the policy's limit."),
    "unseen": _("Nobody had looked at a plan of the policy as it stood then."),
    "replaced": _("A later run of the same policy took its place."),
    "paused": _("All cleanup was paused."),
    "off": _("The policy was switched off."),
}


def _filled(text: Text, values: Mapping[str, Any]) -> str:
    return str(text) % Lenient(values)


def rule_label(kind: str) -> str:
    return str(RULE_LABELS.get(kind, kind))


def rule_hint(kind: str) -> str:
    return str(RULE_HINTS.get(kind, ""))


def rule_sentence(kind: str, parameters: Mapping[str, Any]) -> str:
    """A rule with its numbers, such as "Unused for 30 days"."""
    values = {name: str(CHOICE_LABELS.get(str(value), value)) for name, value in parameters.items()}
    values |= {name: str(parameters[name]) for name in ("pattern", "label") if name in parameters}
    days, count = _number(parameters, "days"), _number(parameters, "count")
    sentences: dict[str, Text] = {
        "dangling": _("Dangling images"),
        "unused": _("Images that no container uses"),
        "unused_for": ngettext("Unused for %(days)s day", "Unused for %(days)s days", days),
        "older_than": ngettext("Built more than %(days)s day ago", "Built more than %(days)s days ago", days),
        "beyond_newest": ngettext(
            "Beyond the newest %(count)s of a repository, by %(order)s",
            "Beyond the newest %(count)s of a repository, by %(order)s",
            count,
        ),
        "tag_pattern": _("All tags match %(pattern)s (%(target)s, %(syntax)s)"),
        "keep_newest": ngettext(
            "The newest %(count)s of a repository, by %(order)s",
            "The newest %(count)s of a repository, by %(order)s",
            count,
        ),
        "keep_pattern": _("%(pattern)s matches (%(target)s, %(syntax)s)"),
        "keep_label": _("With the label %(label)s"),
        "used_within": ngettext("Used in the last %(days)s day", "Used in the last %(days)s days", days),
    }
    return _filled(sentences.get(kind, kind), values)


def _number(parameters: Mapping[str, Any], name: str) -> int:
    try:
        return int(parameters.get(name) or 0)
    except (TypeError, ValueError):
        return 0


def reason(code: str, values: Mapping[str, Any]) -> str:
    """Why an item goes or a survivor stays, with its numbers."""
    detail = values.get("event") or values.get("order") or values.get("hours", "")
    many = code == "in_use" and str(values.get("count", 1)) not in {"1", ""}
    text = REASONS.get("in_use:many" if many else f"{code}:{detail}") or REASONS.get(code)
    return _filled(text, values) if text else explain(code, dict(values)).what


def reason_label(code: str) -> str:
    return str(REASON_LABELS.get(code, code))


def outcome(code: str, values: Mapping[str, Any]) -> str:
    """Why an item was skipped or failed: a guard's sentence or one of images/problems."""
    return reason(code, values) if code else ""


def warning(code: str, values: Mapping[str, Any] | None = None) -> str:
    return _filled(WARNINGS.get(code, code), values or {})


def error(code: str, values: Mapping[str, Any] | None = None) -> str:
    return _filled(ERRORS.get(code, code), values or {})


def waiting(code: str) -> str:
    return str(WAITING.get(code, code))


def not_begun(code: str) -> str:
    """Why a run ended without having begun; "" where it was neither held up nor stopped by itself."""
    return str(NOT_BEGUN.get(code, code))
