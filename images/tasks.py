"""Celery's side: shells that call one service each. Arguments are ids; a missing row is normal."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from images import claims, forgetting, remote_tags, restoring
from images.accounts import registries
from images.background import in_background
from images.hosts import checks, freshness, last_use
from images.jobs import life
from images.models import Host
from images.transfers import git_looks, uploads

logger = logging.getLogger(__name__)

SYNC_EVERY = timedelta(minutes=10)  # events keep the picture fresh; this catches what they missed

TICKS: list[Callable[[datetime], object]] = []


def on_tick(function: Callable[[datetime], object]) -> Callable[[datetime], object]:
    """Has the function called with the present time every 15 s. Two ticks at once must be harmless."""
    TICKS.append(function)
    return function


@shared_task
def carry_out(job_id: int, **_: Any) -> None:
    """A quick job gets a thread of its own, as syncs do: one that waits for an engine holds up no other."""
    if life.is_quick(job_id):
        in_background(life.job_carry_out, job_id)
    else:
        life.job_carry_out(job_id)


@shared_task
def sync_host(host_id: int, **_: Any) -> None:
    """In a thread of its own, as all that waits for engines, registries or git: what hangs holds up no other task."""
    in_background(freshness.host_sync, host_id)


@shared_task
def check_address(check_id: int, **_: Any) -> None:
    in_background(checks.address_check_carry_out, check_id)


@shared_task
def fetch_repository(upload_id: str, **_: Any) -> None:
    in_background(git_looks.git_look_carry_out, upload_id)


@shared_task
def try_registry(registry_id: int, **_: Any) -> None:
    in_background(registries.registry_try_carry_out, registry_id)


@shared_task
def ask_registry(registry_id: int, **_: Any) -> None:
    in_background(remote_tags.registry_ask, registry_id)


@shared_task
def restore_references(job_id: int, **_: Any) -> None:
    in_background(restoring.references_restore, job_id)


@shared_task
def tick(**_: Any) -> None:
    """Asks the database what is due. One failing question must not keep the others from being asked."""
    now = timezone.now()
    for function in TICKS:
        try:
            function(now)
        except Exception:
            logger.exception("%s failed on this tick", function.__name__)


on_tick(life.jobs_reap)
on_tick(life.jobs_redispatch)
on_tick(life.secrets_forget)
on_tick(last_use.watches_lapse)
on_tick(checks.checks_again)
on_tick(checks.checks_forget)
on_tick(forgetting.jobs_forget)
on_tick(forgetting.entries_forget)
on_tick(forgetting.images_forget)
on_tick(restoring.jobs_owing)
on_tick(registries.registries_retry)
on_tick(remote_tags.tags_ask_due)
on_tick(git_looks.looks_again)
on_tick(uploads.uploads_forget)
on_tick(claims.claims_forget)


@on_tick
def sync_due_hosts(now: datetime) -> int:
    """Wakes a sync for every host whose picture is old and which is not waiting out a failure."""
    due = Host.objects.due_for_sync(now, every=SYNC_EVERY)
    return sum(life.wake("images.tasks.sync_host", pk) for pk in due.values_list("pk", flat=True))
