"""What pages say of hosts, jobs, roles and actions, in the reader's language."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import ngettext

from images import audit
from images.jobs.operations import OPERATIONS
from images.models import Host, Job
from images.ssh_keys import HostKey
from images.templatetags.drydock import size

register = template.Library()


@register.filter
def host_key(line: str | None) -> HostKey | None:
    """The key of an ssh server from its line; None when there is none, or none that can be read."""
    try:
        return HostKey.of(line or "")
    except ValueError:
        return None


@register.filter
def in_set(value: Any, values: Any) -> bool:
    """`{{ person.pk|in_set:admin_ids }}`, where a template tag takes no `in`."""
    return value in values


@register.filter
def percent_of(part: int, whole: int) -> str:
    """For the width of a bar: 0 to 100 with a point, whatever the language; never more than the whole."""
    return f"{min(100 * part / whole, 100):.2f}" if whole else "0"


@register.filter
def svg(value: float, offset: float = 0) -> str:
    """A coordinate, with a point whatever the language."""
    return f"{value + offset:.1f}"


@register.filter
def job_name(job: Job) -> str:
    """What the job does, in the words of its operation."""
    known = OPERATIONS.get(job.kind)
    return str(known.label) if known else job.kind


@register.filter
def get(values: Mapping[Any, Any], key: Any) -> Any:
    """`{{ places|get:job.pk }}`: what is under a key, None when nothing is."""
    return values.get(key)


@register.filter
def job_subject(job: Job) -> str:
    """What the job is about: an image, a file, or how many images."""
    if job.subject or job.kind != "remove" or not job.progress_total:
        return job.subject
    return ngettext("%(n)s image", "%(n)s images", job.progress_total) % {"n": job.progress_total}


@register.filter
def action_name(action: str) -> str:
    return str(audit.ACTIONS.get(action, action))


@register.filter
def detail_pairs(detail: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names and values of an audit entry's detail: `.items` in a template would be the value of that name."""
    return list(detail.items())


@register.filter
def detail_value(value: Any) -> str:
    """A value of an audit entry's detail in one line."""
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "–"
    return "–" if value in ("", None) else str(value)


@register.filter
def engine_name(host: Host) -> str:
    """The product behind the host by its own name: "Docker 28.5.2", "Podman 5.8.6"; a dash when not known."""
    names = {"docker": "Docker", "podman": "Podman"}
    return f"{names.get(host.engine_kind, host.engine_kind)} {host.engine_version}".strip() or "–"


@register.filter
def unused(host: Host) -> str:
    """What removing every unused image would free there: exact, "≤" where a cache may hold layers back, "≈" else."""
    mark = "≤ " if host.build_cache_holds_layers else "≈ " if host.is_estimate else ""
    return format_html("{}{}", mark, size(host.unused_bytes))


@register.filter
def is_watched(host: Host) -> bool:
    """Whether a watcher holds the host's event stream now."""
    return host.is_watched(timezone.now())
