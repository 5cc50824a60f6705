"""Holds back the guessing of passwords: how many attempts count, and how long one then has to wait.

Every attempt is written before the password is looked at, so parallel guesses in several processes all count.
An attempt made while waiting is refused and not counted: the wait always ends, even for an admin
under attack.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from images.errors import UserError
from images.models.sign_in import SignInAttempt

WINDOW = timedelta(minutes=10)
PER_PERSON_AND_ADDRESS = 5
PER_ADDRESS = 40  # an office behind one address makes honest mistakes, too


@dataclass(frozen=True)
class Attempt:
    """What a try at signing in is counted by, and its rows."""

    keys: tuple[str, str]
    row_ids: tuple[int, int]


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
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def attempt_begin(*, username: str, address: str) -> Attempt:
    """Counts the attempt. Raises UserError `sign_in_wait` when there were too many within the window."""
    now, network = timezone.now(), network_of(address)
    SignInAttempt.objects.filter(at__lt=now - WINDOW).delete()
    keys = (_key("person", username.strip().casefold(), network), _key("address", network))
    rows = [SignInAttempt.objects.create(key=key, at=now) for key in keys]
    attempt = Attempt(keys, (rows[0].pk, rows[1].pk))
    waits = [
        _wait(key, limit, now) for key, limit in zip(keys, (PER_PERSON_AND_ADDRESS, PER_ADDRESS), strict=True)
    ]
    if longest := max(waits):
        SignInAttempt.objects.filter(pk__in=attempt.row_ids).delete()
        raise UserError("sign_in_wait", minutes=max(1, -(-int(longest.total_seconds()) // 60)))
    return attempt


def _wait(key: str, limit: int, now: datetime) -> timedelta:
    """How long until fewer than `limit` attempts are left in the window; zero when this one is allowed.

    The newest row is the attempt itself, so the one at index `limit` is what has to grow old.
    """
    times = (
        SignInAttempt.objects.filter(key=key, at__gt=now - WINDOW)
        .order_by("-at", "-id")
        .values_list("at", flat=True)
    )
    blocking = next(iter(times[limit : limit + 1]), None)
    return timedelta(0) if blocking is None else max(blocking + WINDOW - now, timedelta(seconds=1))


def attempt_succeeded(attempt: Attempt) -> None:
    """Forgets the person's failures, but of the address only this attempt: an own account resets no count."""
    SignInAttempt.objects.filter(key=attempt.keys[0]).delete()
    SignInAttempt.objects.filter(pk=attempt.row_ids[1]).delete()
