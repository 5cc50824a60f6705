"""What Drydock knows in the demo beside what it reads from the engines: people, groups, dates of use."""

import fnmatch
import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from config.demo.engines import PrivateEngine
from images.hosts.changes import host_add
from images.models import Copy, Grant, Host, HostGroup, Image, Role, Team, User

KNOWN_DAYS = 120
GROUPS = {"prod-eu-1": "production", "prod-eu-2": "production", "ci-runner-1": "ci"}
COLLEAGUE = "sam"

# By the first pattern that matches: how many days ago it came to the host, and was last used (None: never).
USE: list[tuple[str, float, float | None]] = [
    ("shop/api:1.*", 118, 96),
    ("shop/api:2.0.*", 110, 35),
    ("shop/api:2.2.0-rc1", 3, None),
    ("shop/web:3.4.*", 119, 41),
    ("shop/web:3.5.*", 39, 11),
    ("shop/worker:2.0.*", 94, 33),
    ("shop/reports:*", 119, 112),
    ("research/recommender:*", 117, 88),
    ("nginx:1.21", 119, 64),
    ("registry.example.com/ci/*", -1, None),  # as old as it is on the runner; used on its first day only
    ("", 8, 8),
]


def people(password_file: Path) -> tuple[str, str]:
    """The admin and a colleague with limited rights; gives the password of both, the same at every start."""
    if not password_file.exists():
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(9))
    password = password_file.read_text().strip()
    if not User.objects.filter(username="admin").exists():
        User.objects.create_superuser("admin", password=password)
        sam = User.objects.create_user(COLLEAGUE, password=password, first_name="Sam", last_name="Okafor")
        team = Team.objects.create(name="Shop developers")
        team.members.add(sam)
        _grant(team, "operator", "ci")
        _grant(team, "viewer", "production")
    return "admin", password


def _grant(team: Team, role: str, group: str) -> None:
    found, _ = HostGroup.objects.get_or_create(name=group)
    Grant.objects.create(team=team, role=Role.objects.get(slug=role), group=found)


def hosts(engines: Iterable[PrivateEngine]) -> list[Host]:
    """Registers the engines that are not registered yet."""
    admin = User.objects.get(username="admin")
    for engine in engines:
        if not Host.objects.filter(name=engine.name).exists():
            group, _ = HostGroup.objects.get_or_create(name=GROUPS[engine.name])
            host_add(by=admin, name=engine.name, address=engine.address, groups=(group,))
    return list(Host.objects.filter(name__in=GROUPS))


def are_watched() -> bool:
    """Whether every host has been read and is followed, so that dates written now will stay."""
    now = timezone.now()
    return all(host.synced_at and host.is_watched(now) for host in Host.objects.filter(name__in=GROUPS))


def dates() -> None:
    """Writes when each copy came and was last used. Running containers' images are used now, as read."""
    now = timezone.now()
    for copy in Copy.objects.filter(host__name__in=GROUPS).select_related("image"):
        arrived_days, used_days = _use(copy)
        copy.arrived_at = copy.first_seen_at = now - timedelta(days=arrived_days)
        if used_days is not None and not copy.container_count:
            copy.last_used_at = now - timedelta(days=used_days)
        copy.save(update_fields=["arrived_at", "first_seen_at", "last_used_at"])
        if copy.built_at and copy.built_at > copy.arrived_at:
            # Built on the spot by a classic build, which takes no date.
            built = copy.arrived_at - timedelta(minutes=5)
            Image.objects.filter(pk=copy.image_id).update(built_at=built)
            Copy.objects.filter(image=copy.image_id).update(built_at=built)
    know_use_since()


def know_use_since() -> None:
    """Nothing used these engines while they were stopped, so their history has no gap."""
    since = timezone.now() - timedelta(days=KNOWN_DAYS)
    Host.objects.filter(name__in=GROUPS).update(use_known_since=since)


def _use(copy: Copy) -> tuple[float, float | None]:
    name = f"{copy.repository}:{copy.tag}" if copy.repository else ""
    arrived, used = next((a, u) for pattern, a, u in USE if not pattern or fnmatch.fnmatch(name, pattern))
    built = copy.image.built_at
    age = (timezone.now() - built).total_seconds() / 86400 if built else arrived
    if arrived < 0:
        return min(age, KNOWN_DAYS - 1), min(age, KNOWN_DAYS - 1)
    # Nothing arrives before it is built, except what is built on the spot.
    return min(arrived, max(age, 1.5)), used and min(used, max(age, 1.5))


def is_done(mark: Path, write: Callable[[], None]) -> None:
    """Calls `write` once for the life of the demo's data."""
    if not mark.exists():
        write()
        mark.touch()
