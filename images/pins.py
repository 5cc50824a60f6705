"""Pins: a person's "never remove this", on one host or everywhere."""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from images import access, audit
from images.models import Copy, Host, Image, Permission, Pin, User


@transaction.atomic
def pin_add(
    *, by: User, image: Image, host: Host | None, reason: str, ends_at: datetime | None = None
) -> Pin:
    """Pins the image, on every host when none is named. The caller has checked `may_pin`."""
    pin = Pin.objects.create(image=image, host=host, reason=reason, ends_at=ends_at, created_by=by)
    end = ends_at.isoformat() if ends_at else ""
    audit.record(by=by, action="pin.add", target=image_name(image, by), host=host, reason=reason, until=end)
    return pin


@transaction.atomic
def pin_remove(*, by: User, pin: Pin) -> None:
    """Takes the pin away; the audit log keeps what it said."""
    audit.record(
        by=by, action="pin.remove", target=image_name(pin.image, by), host=pin.host, reason=pin.reason
    )
    pin.delete()


def may_pin(user: User, host: Host | None) -> bool:
    """Who may remove the image there may also say that nobody should; everywhere needs it everywhere."""
    if host is None:
        return access.can_everywhere(user, Permission.REMOVE)
    return access.can(user, Permission.REMOVE, host)


def pin_hosts(user: User, image: Image) -> QuerySet[Host]:
    """The hosts that hold the image and on which the user may pin it."""
    holders = Copy.objects.filter(image=image).values("host_id")
    return Host.objects.visible_to(user, Permission.REMOVE).filter(pk__in=holders)


def image_name(image: Image, user: User) -> str:
    """What the image is called on the hosts that the user may see."""
    copy = Copy.objects.visible_to(user).filter(image=image).order_by("-repository", "id").first()
    return copy.name if copy else str(image)


def pins_listed(
    user: User, *, text: str = "", host: Host | None = None, ended: bool = False
) -> QuerySet[Pin]:
    """The pins a page shows, each with the name of its image; one query whatever their number.

    `host` gives the pins that hold there: its own, and those that hold everywhere. `ended` gives those whose
    end has passed, and is the only list that has them.
    """
    copies = Copy.objects.visible_to(user).filter(image=OuterRef("image"))
    named = copies.order_by("-repository", "id")
    pins = Pin.objects.visible_to(user).select_related("host", "image", "created_by")
    now = timezone.now()
    pins = pins.filter(ends_at__lte=now) if ended else pins.active(now)
    if host:
        pins = pins.filter(Q(host=host) | Q(host=None))
    if text:
        pins = pins.filter(
            Q(reason__icontains=text) | Exists(copies.filter(search_text__contains=text.lower()))
        )
    return pins.annotate(
        repository=Subquery(named.values("repository")[:1]),
        tag=Subquery(named.values("tag")[:1]),
        engine_id=Subquery(named.values("engine_id")[:1]),
    )
