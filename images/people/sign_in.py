"""Holds back the guessing of passwords, without giving anybody the means to lock somebody else out.

Every attempt is written before the password is looked at, so parallel guesses in several processes all count.
An attempt made while waiting is refused and not counted: the wait always ends. A browser that its person signed
in with before is counted apart, so that nobody else's attempts concern it. See docs/decisions/0008.
"""

import hashlib
import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core import signing
from django.utils import timezone

from images.errors import UserError
from images.models import User
from images.models.sign_in import SignInAttempt

WINDOW = timedelta(minutes=10)
PER_PERSON_AND_ADDRESS = 5
PER_DEVICE = 10
# Above these, guesses are only spaced out: behind a proxy that is not trusted everybody has one address.
PER_ADDRESS = 40
PER_NAME = 40
SPACING = timedelta(seconds=5)

DEVICE_COOKIE = "drydock_device"
DEVICE_AGE = timedelta(days=365)
_SALT = "images.sign_in.device"


@dataclass(frozen=True)
class _Limit:
    """So many attempts within the window; then one has to wait, either until it ends or only for SPACING."""

    key: str
    most: int
    is_loose: bool = False


@dataclass(frozen=True)
class Attempt:
    """What a try at signing in is counted by; its row for each, the one of the person first."""

    keys: tuple[str, ...]
    row_ids: tuple[int, ...]


def network_of(address: str) -> str:
    """The address, or for IPv6 its /64: one machine owns that many addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False))


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()


def device_cookie(user: User) -> str:
    """What a browser keeps after a sign-in: signed, and worth nothing once the password has changed."""
    value = {"user": user.pk, "password": _key(user.password), "id": secrets.token_urlsafe(12)}
    return signing.dumps(value, salt=_SALT)


def _known_device(cookie: str, username: str) -> str:
    """The device's ID when this person signed in with it before; else empty."""
    try:
        value = signing.loads(cookie, salt=_SALT, max_age=DEVICE_AGE)
    except signing.BadSignature:
        return ""
    user = User.objects.filter(pk=value["user"], username=username).first()
    return str(value["id"]) if user and value["password"] == _key(user.password) else ""


def attempt_begin(*, username: str, address: str, device: str = "") -> Attempt:
    """Counts the attempt. Raises UserError `sign_in_wait` when there were too many within the window.

    `device`: the cookie that the browser sent, whatever it holds.
    """
    now = timezone.now()
    SignInAttempt.objects.filter(at__lt=now - WINDOW).delete()
    limits = _limits(username, network_of(address), device)
    # Asked before anything is written: a flood of refused attempts must not count for a moment either.
    _refuse([_wait(limit, now) for limit in limits])
    rows = [SignInAttempt.objects.create(key=limit.key, at=now) for limit in limits]
    attempt = Attempt(tuple(limit.key for limit in limits), tuple(row.pk for row in rows))
    try:
        _refuse([_wait(limit, now, row.pk) for limit, row in zip(limits, rows, strict=True)])
    except UserError:
        SignInAttempt.objects.filter(pk__in=attempt.row_ids).delete()
        raise
    return attempt


def _limits(username: str, network: str, cookie: str) -> list[_Limit]:
    name = username.strip().casefold()
    if device := _known_device(cookie, username.strip()):
        return [_Limit(_key("device", device), PER_DEVICE)]
    return [
        _Limit(_key("person", name, network), PER_PERSON_AND_ADDRESS),
        _Limit(_key("address", network), PER_ADDRESS, is_loose=True),
        _Limit(_key("name", name), PER_NAME, is_loose=True),
    ]


def _wait(limit: _Limit, now: datetime, row_id: int | None = None) -> timedelta:
    """How long until one more attempt is allowed; zero when it is now.

    `row_id` is the attempt's own row: of those that came at once only the earlier ones stand in its way.
    """
    rows = SignInAttempt.objects.filter(key=limit.key, at__gt=now - WINDOW)
    if row_id is not None:
        rows = rows.filter(pk__lt=row_id)
    times = list(rows.order_by("-at", "-id").values_list("at", flat=True)[: limit.most])
    if len(times) < limit.most:
        return timedelta(0)
    until = times[0] + SPACING if limit.is_loose else times[-1] + WINDOW
    return max(until - now, timedelta(0))


def _refuse(waits: list[timedelta]) -> None:
    if longest := max(waits):
        raise UserError("sign_in_wait", minutes=max(1, -(-int(longest.total_seconds()) // 60)))


def attempt_succeeded(attempt: Attempt) -> None:
    """Forgets the person's failures, but of the rest only this attempt: an own account resets no count."""
    SignInAttempt.objects.filter(key=attempt.keys[0]).delete()
    SignInAttempt.objects.filter(pk__in=attempt.row_ids).delete()
