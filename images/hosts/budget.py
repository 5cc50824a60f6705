"""What a host's images may take at most, against what is about to come.

Only what is certain counts: a pull stops once the compressed bytes that are still to come do not fit any more, which
is less than they take unpacked; a copy knows the layers that its target lacks; an archive that is larger than the
whole budget fits in no case. What nobody could know before is said afterwards.
"""

from collections.abc import Iterable

from django.db.models import Sum

from images.errors import UserError
from images.models import Copy, Host, Job, JobState, Layer

BRINGING = ("pull", "load", "copy")


def budget_check(host: Host, coming_bytes: int, subject: str) -> None:
    """Raises UserError image_over_budget when what is there and what comes are more than the host may hold."""
    budget = host.image_budget_bytes
    if budget and coming_bytes and host.total_bytes + coming_bytes > budget:
        raise UserError(
            "image_over_budget", host=host.name, subject=subject, budget=_gigabytes(budget),
            used=_gigabytes(host.total_bytes), coming=_gigabytes(coming_bytes),
        )  # fmt: skip


def earlier_bring(job: Job) -> int:
    """What jobs that were asked for earlier still bring to the same host, as far as it is known."""
    others = Job.objects.filter(
        host=job.host_id, state=JobState.RUNNING, kind__in=BRINGING, progress_unit="bytes"
    )
    left = others.filter(pk__lt=job.pk).values_list("progress_total", "progress_done")
    return sum(max(total - done, 0) for total, done in left)


def over_budget(host: Host) -> dict[str, int]:
    """For the result of a job that brought something: by how many bytes the host is over its budget by now."""
    host.refresh_from_db(fields=["total_bytes", "image_budget_bytes"])
    over = host.total_bytes - host.image_budget_bytes if host.image_budget_bytes else 0
    return {"over_budget_bytes": over} if over > 0 else {}


def lacking_bytes(source: Host, engine_ids: Iterable[str], target: Host) -> int:
    """What the layers of these images take that the target has in no image, by the source's sizes."""
    images = Copy.objects.filter(host=source, engine_id__in=list(engine_ids)).values("image_id")
    layers = Layer.objects.filter(store_kind=source.store_kind, image_layers__image__in=images)
    held = Layer.objects.filter(image_layers__image__copies__host=target).values("chain_id")
    lacking = Layer.objects.filter(pk__in=layers.values("pk")).exclude(chain_id__in=held)
    return int(lacking.aggregate(total=Sum("size_bytes"))["total"] or 0)


def _gigabytes(size_bytes: int) -> str:
    """As the host's form says the budget; small sizes with as many digits as they need."""
    return f"{size_bytes / 1e9:.3g} GB"
