"""How far a job is, in words and numbers; live.js says the same while the page is open."""

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from images.errors import Explanation, Text, explain
from images.models import ItemState, Job, JobItem, Registry, RemoteTag
from images.promises import Promise
from images.templatetags.drydock import duration, human_size

register = template.Library()

ITEM_LOOKS = {
    ItemState.PENDING: "muted",
    ItemState.RUNNING: "info",
    ItemState.REMOVED: "good",
    ItemState.GONE: "good",
    ItemState.UNTAGGED: "warning",
    ItemState.SKIPPED: "warning",
    ItemState.FAILED: "danger",
    ItemState.UNKNOWN: "warning",
}


@register.filter
def amount(value: float, unit: str) -> str:
    """A number of things, or of bytes."""
    return human_size(int(value)) if unit == "bytes" else f"{value:g}"


@register.filter
def job_rate(job: Job) -> str:
    """How fast it goes; empty when it does not run, all is there, or nothing is known yet."""
    is_whole = 0 < job.progress_total <= job.progress_done
    if job.state != "running" or job.progress_rate <= 0 or is_whole:
        return ""
    if job.progress_unit == "bytes":
        return _bytes_rate(job.progress_rate)
    return _("%(amount)s/s") % {"amount": f"{job.progress_rate:.3g}"}


def _bytes_rate(rate: float) -> str:
    return _("%(amount)s/s") % {"amount": human_size(int(rate))}


@register.filter
def job_left(job: Job) -> str:
    """How long it will take at the present rate; empty when nothing can be said."""
    if not job_rate(job) or not job.progress_total:
        return ""
    return _left((job.progress_total - job.progress_done) / job.progress_rate)


def _left(seconds: float) -> str:
    return _("%(duration)s left") % {"duration": duration(seconds)}


@register.filter
def job_took(job: Job) -> str:
    """How long it has been running, or ran."""
    if job.started_at is None:
        return "–"
    return duration(((job.ended_at or timezone.now()) - job.started_at).total_seconds())


@register.filter
def problem(row: Job | JobItem | Registry | RemoteTag) -> Explanation | None:
    """The stored error in words; None where there is none."""
    raw = "" if isinstance(row, RemoteTag) else row.error_raw
    return explain(row.error_code, row.error_values, raw) if row.error_code else None


@register.filter
def item_look(item: JobItem) -> str:
    return ITEM_LOOKS.get(ItemState(item.state), "muted")


_LAYER_STATES: dict[str, Text] = {
    "waiting": gettext_lazy("Waiting"),
    "downloading": gettext_lazy("Downloading"),
    "verifying": gettext_lazy("Checking"),
    "downloaded": gettext_lazy("Downloaded"),
    "extracting": gettext_lazy("Unpacking"),
    "pushing": gettext_lazy("Pushing"),
    "done": gettext_lazy("Done"),
    "exists": gettext_lazy("Already there"),
}


@register.filter
def layer_state(state: str) -> str:
    """What is happening to a layer of a pull or a push."""
    return str(_LAYER_STATES.get(state, state))


@register.filter
def pace(layer: dict[str, Any]) -> str:
    """How fast a layer or a step moves and how long it will take: "5.20 MB/s, 12 s left"; empty when it does not."""
    rate, left = layer.get("rate") or 0, layer.get("left")
    said = [_bytes_rate(rate) if rate >= 1 else "", "" if left is None or rate < 1 else _left(left)]
    return ", ".join(filter(None, said))


@register.filter
def unsized_count(layers: list[dict[str, Any]]) -> int:
    """How many layers wait of which the engine has not told the size: it does when one begins."""
    return sum(layer["state"] == "waiting" and not layer["total"] for layer in layers)


@register.filter
def result_bytes(job: Job, name: str) -> Any:
    """A number of bytes that the operation reported, such as "freed_bytes"; None when it did not."""
    value = job.result.get(name)
    return value if isinstance(value, int) else None


@register.filter
def promise(job: Job) -> Promise | None:
    """What its result says was promised; None where nothing was."""
    return Promise.of(job.result)


@register.filter
def is_promise_kept(job: Job) -> bool:
    promised, freed = promise(job), result_bytes(job, "freed_bytes")
    return promised is not None and freed is not None and promised.is_kept(freed)


@register.filter
def limit_at(registry: Registry) -> datetime | None:
    """When the registry told how many pulls are left."""
    return parse_datetime(registry.rate_limit.get("at", ""))


@register.filter
def has_facts(job: Job) -> bool:
    """Whether its result names an image, a digest, an account, or names that moved."""
    said = any(job.result.get(name) for name in ("image", "digest", "accounts", "moved"))
    return said or "account" in job.result


@register.filter
def short_id(engine_id: str) -> str:
    """An engine's ID as the docker CLI shortens it."""
    return engine_id.removeprefix("sha256:")[:12]
