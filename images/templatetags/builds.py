"""Steps of a build and findings in a Dockerfile, in words."""

from typing import Any

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from images.contexts.hadolint import UNREADABLE, Finding
from images.errors import Text
from images.jobs.logs import StepShown
from images.templatetags.drydock import duration

register = template.Library()

_STATES: dict[str, Text] = {
    "waiting": gettext_lazy("Waiting"),
    "running": gettext_lazy("Working"),
    "done": gettext_lazy("Done"),
    "cached": gettext_lazy("Cached"),
    "failed": gettext_lazy("Failed"),
    "stopped": gettext_lazy("Stopped"),
    "skipped": gettext_lazy("Not reached"),
}
_LOOKS = {"running": "info", "done": "good", "cached": "muted", "failed": "danger", "stopped": "warning"}
_ICONS = {
    "running": "hourglass", "done": "circle-check", "cached": "history", "failed": "circle-x",
    "stopped": "player-stop",
}  # fmt: skip
_LEVELS = {"error": "danger", "warning": "warning"}


@register.filter
def step_name(step: StepShown) -> str:
    """What the step does; instructions are named by themselves."""
    kind, name = step.facts["kind"], step.facts["name"]
    if kind == "context":
        return _("Send the context")
    if kind == "fetch":
        return _("Fetch %(address)s") % {"address": name}
    if kind == "base":
        return _("Pull the base image %(name)s") % {"name": name}
    if kind == "metadata":
        return _("Look up the base image %(name)s") % {"name": name.rpartition(" ")[2]}
    return str(name)


@register.filter
def step_state(step: StepShown) -> str:
    return str(_STATES.get(step.state, step.state))


@register.filter
def step_look(step: StepShown) -> str:
    return _LOOKS.get(step.state, "muted")


@register.filter
def step_icon(step: StepShown) -> str:
    return _ICONS.get(step.state, "clock")


@register.filter
def step_took(step: StepShown) -> str:
    """How long it took, or how long it has been at it; empty before it begins and for what was cached."""
    seconds = step.facts.get("seconds")
    if seconds is None and step.state == "running" and (began := parse_datetime(step.facts["started"])):
        seconds = (timezone.now() - began).total_seconds()
    if seconds is None or step.state == "cached":
        return ""
    return _("%(n)s s") % {"n": f"{seconds:.1f}"} if seconds < 10 else duration(seconds)


@register.filter
def finding_look(level: str) -> str:
    return _LEVELS.get(level, "info")


@register.filter
def are_harmless(findings: list[Finding]) -> bool:
    """Whether the builder can read every line, whatever else was found."""
    return all(finding.code != UNREADABLE for finding in findings)


@register.filter
def step_count(steps: list[StepShown], state: str) -> int:
    return sum(step.state == state for step in steps)


@register.filter
def layers_added(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those entries of an image's history that added bytes or ran something, newest last."""
    return [layer for layer in layers if layer["bytes"] or layer["by"]]
