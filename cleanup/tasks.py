"""Celery's side of cleanup/: shells that call one service each, and what is asked on every tick."""

from typing import Any

from celery import shared_task

from cleanup import planning, runs, settling
from images.background import in_background
from images.tasks import on_tick


@shared_task
def make_plan(plan_id: int, **_: Any) -> None:
    # In a thread of its own: a plan for a large fleet must not hold up syncs, nor wait behind a long build.
    in_background(planning.plan_carry_out, plan_id)


@shared_task
def restore_references(host_id: int, **_: Any) -> None:
    in_background(settling.references_restore, host_id)


on_tick(planning.plans_due)
on_tick(runs.runs_due)
on_tick(settling.items_due)
on_tick(settling.plans_forget)
