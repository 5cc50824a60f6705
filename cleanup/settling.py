"""Settles items of which nobody knew whether the engine carried them out: the next look at the host tells."""

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from cleanup.models import HostRun, Item, Plan, RunState, Survivor
from cleanup.runs import host_run_restate
from images.claims import claimed
from images.engine.client import Connection, EngineCut, open_engine
from images.engine.remove import put_back
from images.errors import UserError
from images.hosts.identity import engine_check
from images.inventory.picture import images_refresh
from images.jobs.life import wake
from images.models import Copy, Host, HostState, ItemState, Reference

# A request sent to a stopped engine is carried out when it wakes, maybe just after its first list.
MARGIN = timedelta(seconds=10)
RESTORE_SECONDS = 120.0
PLANS_KEPT = timedelta(days=14)
FORGOTTEN_AT_ONCE = 2  # of a large fleet each is 200,000 rows


def plans_forget(now: datetime) -> int:
    """Deletes plans that expired a while ago and were never run, and why images stayed in those that were.

    A plan writes a row for every copy of the fleet: kept for ever they would outgrow everything else.
    """
    old = Plan.objects.filter(created_at__lt=now - PLANS_KEPT)
    unused = old.filter(run=None).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]
    survivors = Survivor.objects.filter(host_plan__plan__in=old.exclude(run=None))
    gone = Survivor.objects.filter(pk__in=list(survivors.values_list("pk", flat=True)[:5000])).delete()[0]
    return gone + Plan.objects.filter(pk__in=list(unused)).delete()[0]


def items_due(now: datetime) -> int:
    """Settles what can be settled, on every host that was read since."""
    unknown = Item.objects.filter(state=ItemState.UNKNOWN, host_plan__host__synced_at__gt=F("ended_at"))
    hosts = Host.objects.filter(pk__in=unknown.order_by().values("host_plan__host").distinct())
    return sum(items_settle(host) for host in hosts)


@transaction.atomic
def items_settle(host: Host) -> int:
    """Compares the host's unknown items with its inventory; how many were settled.

    What the inventory lacks was removed. What it still has was not, once the engine has been answering for a
    moment.
    """
    if host.synced_at is None or host.state != HostState.ONLINE:
        return 0
    items = list(
        Item.objects.filter(host_plan__host=host, state=ItemState.UNKNOWN, ended_at__lt=host.synced_at)
        .exclude(host_plan__host_run__state=RunState.RUNNING)
        .select_related("host_plan__host_run")
    )
    held = _references(host, items)
    cut_off = [item for item in items if set(item.journal) - held.get(item.engine_id, set(item.journal))]
    if cut_off:
        # These lost some references before they were refused or cut off: they get them back first.
        transaction.on_commit(lambda: wake("cleanup.tasks.restore_references", host.pk))
    settled = [item for item in items if item not in cut_off and _settle(item, host, item.engine_id in held)]
    Item.objects.bulk_update(settled, ["state", "outcome_code", "ended_at"], batch_size=200)
    for pk in {item.host_plan.host_run.pk for item in settled}:
        host_run_restate(HostRun.objects.select_related("job", "run").get(pk=pk))
    return len(settled)


def _references(host: Host, items: Iterable[Item]) -> dict[str, set[str]]:
    """The references that each item's copy has now; no entry for what is gone."""
    copies = Copy.objects.filter(host=host, engine_id__in=[item.engine_id for item in items])
    held: dict[str, set[str]] = {engine_id: set() for engine_id in copies.values_list("engine_id", flat=True)}
    names = Reference.objects.filter(copy__in=copies).values_list("copy__engine_id", "name")
    for engine_id, name in names:
        held[engine_id].add(name)
    return held


def references_restore(host_id: int) -> None:
    """Gives items of unknown outcome that are still there the references back that a run had taken."""
    with claimed(f"restore host {host_id}", RESTORE_SECONDS + 60) as is_mine:
        host = Host.objects.filter(pk=host_id, state=HostState.ONLINE, is_enabled=True).first()
        if host is not None and is_mine:
            _restore(host)


def _restore(host: Host) -> None:
    unknown = Item.objects.filter(host_plan__host=host, state=ItemState.UNKNOWN).select_related("host_plan")
    items = [item for item in unknown if item.journal]
    if not items:
        return
    with (
        contextlib.suppress(UserError, EngineCut),
        open_engine(Connection.of(host), deadline_seconds=RESTORE_SECONDS) as engine,
    ):
        for item in items:
            engine_check(host, engine, item.host_plan.engine_mark)
            lost = put_back(engine, item.engine_id, item.journal)
            item.journal, item.outcome_values = [], {"lost": ", ".join(lost)} if lost else {}
            item.save(update_fields=["journal", "outcome_values"])
        images_refresh(host, [item.engine_id for item in items], engine)


def _settle(item: Item, host: Host, is_present: bool) -> bool:
    assert host.synced_at
    assert item.ended_at
    awake_since = max(item.ended_at, host.state_since or item.ended_at)
    if is_present and host.synced_at < awake_since + MARGIN:
        return False
    item.state = ItemState.FAILED if is_present else ItemState.REMOVED
    item.outcome_code = "not_carried_out" if is_present else ""
    item.ended_at = timezone.now()
    return True
