"""Since when the events of a host are followed, and so last use is known; a gap makes it unknown."""

from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from images.models import Host


def watch_began(host: Host, connected_at: datetime, *, is_continuous: bool) -> None:
    """The events since `connected_at` are followed and the picture was taken after it.

    `is_continuous`: the engine still remembered an event from before the gap, so none in between was lost.
    """
    host.refresh_from_db(fields=["use_known_since", "use_known_before_gap"])
    before = host.use_known_since or host.use_known_before_gap
    since = before if is_continuous and before else connected_at
    Host.objects.filter(pk=host.pk).update(
        watched_since=connected_at, use_known_since=since, use_known_before_gap=None
    )


def use_unsure(host: Host) -> None:
    """A container used an image that could not be told: last use is known only from now on."""
    known = Host.objects.filter(pk=host.pk, use_known_since__isnull=False)
    known.update(use_known_since=timezone.now())


def watch_ended(hosts: QuerySet[Host]) -> int:
    """From now on uses may be missed on these hosts: last use is unknown until a watcher is back."""
    hosts.filter(use_known_since__isnull=False).update(
        use_known_before_gap=F("use_known_since"), use_known_since=None
    )
    return hosts.filter(watched_since__isnull=False).update(watched_since=None)


def watches_lapse(now: datetime) -> int:
    """Opens the gap for hosts whose watcher was killed and could not say so."""
    silent = Q(watcher_lease_until=None) | Q(watcher_lease_until__lt=now)
    known = Q(use_known_since__isnull=False) | Q(watched_since__isnull=False)
    return watch_ended(Host.objects.filter(silent & known))
