"""Settles items of which nobody knew whether the engine carried them out: the next look at the host tells."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from cleanup.models import HostRun, Item, RunState
from cleanup.runs import host_run_restate
from images.models import Copy, Host, HostState, ItemState

# A request sent to a stopped engine is carried out when it wakes, maybe just after its first list.
MARGIN = timedelta(seconds=10)


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
    present = set(
        Copy.objects.filter(host=host, engine_id__in=[item.engine_id for item in items]).values_list(
            "engine_id", flat=True
        )
    )
    settled = [item for item in items if _settle(item, host, item.engine_id in present)]
    Item.objects.bulk_update(settled, ["state", "outcome_code", "ended_at"], batch_size=200)
    for pk in {item.host_plan.host_run.pk for item in settled}:
        host_run_restate(HostRun.objects.select_related("job", "run").get(pk=pk))
    return len(settled)


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
