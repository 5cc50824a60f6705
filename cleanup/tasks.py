"""Celery's side of cleanup/: shells that call one service each, and what is asked on every tick."""

from typing import Any

from celery import shared_task

from cleanup import planning, runs, settling
from images.tasks import on_tick


@shared_task
def make_plan(plan_id: int, **_: Any) -> None:
    planning.plan_carry_out(plan_id)


on_tick(planning.plans_due)
on_tick(runs.runs_due)
on_tick(settling.items_due)
