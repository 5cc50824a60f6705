"""What the overview shows: sums over the hosts a person sees, and where the space goes."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Sum

from images.fleet.treemap import Box, treemap
from images.models import Copy, Host, HostState, Job, User

MAP_WIDTH, MAP_HEIGHT = 640, 260
_MAP_ENTRIES = 14  # more boxes can not be told apart
_LABEL_WIDTH, _LABEL_HEIGHT = 64, 34
_CHARACTER_WIDTH = 7.2  # of the label's font, on average


@dataclass(frozen=True)
class Summary:
    """The figures on top of the overview."""

    hosts: Sequence[Host]
    online_count: int
    off_count: int
    new_count: int
    copy_count: int
    image_count: int
    unused_bytes: int
    total_bytes: int
    is_estimate: bool
    is_up_to: bool
    worst: Host | None

    @property
    def largest_bytes(self) -> int:
        """What the longest bar stands for; never 0, it is the bars' maximum."""
        return (
            max((max(host.total_bytes, host.image_budget_bytes or 0) for host in self.hosts), default=0) or 1
        )


def summary(user: User) -> Summary:
    """Two queries, however many hosts."""
    hosts = list(
        Host.objects.visible_to(user).defer(
            "tls_ca", "tls_certificate", "tls_key", "ssh_key", "ssh_host_key", "error_raw"
        )
    )
    # What is known of a host that is off is how it was: it is neither online nor a problem, and frees nothing now.
    on = [host for host in hosts if host.is_enabled]
    offline = sorted((host for host in on if host.state == HostState.OFFLINE), key=_since)
    copies = Copy.objects.visible_to(user).listed()
    return Summary(
        hosts=sorted(hosts, key=lambda host: -host.total_bytes),
        online_count=sum(host.is_online for host in on),
        off_count=len(hosts) - len(on),
        new_count=sum(host.state == HostState.NEW for host in on),
        copy_count=sum(host.image_count for host in hosts),
        image_count=copies.aggregate(count=Count("image", distinct=True))["count"] or 0,
        unused_bytes=sum(host.unused_bytes for host in on),
        total_bytes=sum(host.total_bytes for host in hosts),
        is_estimate=any(host.is_estimate for host in on),
        is_up_to=any(host.build_cache_holds_layers for host in on),
        worst=offline[0] if offline else None,
    )


def _since(host: Host) -> str:
    return host.state_since.isoformat() if host.state_since else ""


@dataclass(frozen=True)
class Space:
    """A repository's box on the map of space."""

    repository: str
    total_bytes: int
    copy_count: int
    box: Box
    label: str
    shade: int

    @property
    def name(self) -> str:
        return self.repository or "<none>"

    @property
    def has_size(self) -> bool:
        return bool(self.label) and self.box.height >= _LABEL_HEIGHT + 14


def space_by_repository(user: User) -> list[Space]:
    """The largest repositories. A layer counts in each image that has it: the boxes are images, not disk."""
    rows = (
        Copy.objects.visible_to(user)
        .listed()
        .values_list("repository")
        .annotate(total=Sum("size_bytes"), count=Count("id"))
        .filter(total__gt=0)
        .order_by("-total")[:_MAP_ENTRIES]
    )
    entries = list(rows)
    boxes = treemap([total for _, total, _ in entries], MAP_WIDTH, MAP_HEIGHT)
    return [
        Space(name, total, count, box, _label(name or "<none>", box), number % 7)
        for number, ((name, total, count), box) in enumerate(zip(entries, boxes, strict=True))
    ]


def _label(name: str, box: Box) -> str:
    """The name, else as much of its end as fits; empty when the box is too small to read."""
    if box.width < _LABEL_WIDTH or box.height < _LABEL_HEIGHT:
        return ""
    room = int((box.width - 12) / _CHARACTER_WIDTH)
    return name if len(name) <= room else "…" + name[len(name) - room + 2 :]


def newest_copies(user: User, count: int = 8) -> Sequence[Copy]:
    copies = Copy.objects.visible_to(user).listed().select_related("host")
    return list(copies.order_by("-arrived_at", "-id").defer("search_text")[:count])


def open_jobs(user: User, count: int = 8) -> Sequence[Job]:
    jobs = Job.objects.visible_to(user).open().select_related("host", "created_by")
    return list(jobs.order_by("-state", "-id")[:count])
