"""What the overview tells, fact by fact."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from images.models import Copy, Host, Job, User
from tests import factories
from tests.images.telling.made import address, copy_of, page_of, ways_of, words_of
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(host: Host, vault: Host) -> Copy:
    """Two hosts with the same image, which one of them uses."""
    figures = {"total_bytes": 5000, "unused_bytes": 1000, "image_count": 1}
    Host.objects.update(state="online", state_since=NOW - timedelta(hours=7), synced_at=NOW, **figures)
    copy = copy_of(host, "shop/api:1", size=5000, arrived_at=NOW - timedelta(days=1))
    factories.make_copy(
        vault, "shop/api:1", image=copy.image, container_count=1, arrived_at=NOW - timedelta(days=2)
    )
    return copy


def test_overview_tells_what_there_is_and_what_could_be_freed(client: Client, ada: User, fleet: Copy) -> None:
    Job.objects.create(kind="pull", host=fleet.host, state="queued", subject="shop/api:2")
    page = page_of(client, "overview")
    tells(
        words_of(client, "overview"),
        "Overview Reclaimable now 2.00 kB unused, of 10.0 kB in all Images 1 2 copies on 2 hosts Hosts online 2 / 2 "
        "No host has a problem. Space on the hosts in use unused Host|Share|Total|Unused|State|",
        "|5.00 kB|1.00 kB|Online|",
        "Space by repository … All images Running now All jobs Pull shop/api:2 runner",
        "It waits for a worker.",
        "Newest images All images Image|Host|Size|Arrived|Use|",
        "|shop/api 1|runner|5.00 kB|1 d ago|Unused|shop/api 1|vault|5.00 kB|2 d ago|In use|",
    )
    tells(
        page,
        "<title>Overview",
        'aria-label="Search images" placeholder="Search images… (/)"',
        f'data-live="hosts inventory" data-live-refresh hx-get="{address("overview-figures")}"',
        f'data-live="jobs" data-live-refresh hx-get="{address("overview-jobs")}"',
        f'hx-get="{address("overview-space")}" hx-trigger="load"',
        'aria-label="5.00 kB in all, 1.00 kB unused"',
        'class="host-bar-total" width="100.00"',
        'class="host-bar-unused" width="20.00"',
    )
    assert ways_of(client, "overview").items() >= {
        "runner": address("host-detail", fleet.host_id),
        "All jobs": address("job-list"),
        "All images": address("image-list"),
        "shop/api 1": address("image-detail", fleet.image_id),
        "Pull shop/api:2": address("job-detail", Job.objects.get().pk),
    }.items()  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"build_cache_holds_layers": True}, "Reclaimable now ≤ 2.00 kB"),
        ({"build_cache_holds_layers": True}, "|5.00 kB|≤ 1.00 kB|"),
        ({"is_estimate": True}, "Reclaimable now ≈ 2.00 kB"),
        ({"state": "offline"}, "Hosts online 0 / 2"),
        ({"state": "offline"}, "went offline 7 h ago"),
        ({"is_enabled": False}, "2 hosts are switched off."),
        ({"state": "new"}, "Hosts online 0 / 2 2 hosts were not reached yet."),
    ],
)
def test_overview_tells_of_hosts_in_each_state(
    client: Client, ada: User, fleet: Copy, fields: dict[str, Any], told: str
) -> None:
    Host.objects.update(**fields)
    tells(words_of(client, "overview"), told)


def test_what_is_not_sure_of_a_host_that_is_off_is_no_matter_to_the_sum(
    client: Client, ada: User, fleet: Copy, vault: Host
) -> None:
    unsure = {"is_enabled": False, "is_estimate": True, "build_cache_holds_layers": True}
    Host.objects.filter(pk=vault.pk).update(**unsure)
    tells(words_of(client, "overview"), "Reclaimable now 1.00 kB unused, of 10.0 kB in all")


def test_overview_of_a_quiet_empty_fleet(client: Client, ada: User, host: Host) -> None:
    tells(
        words_of(client, "overview"),
        "Running now All jobs Nothing is running.",
        "No image is known yet. A host's first picture takes a few seconds.",
    )


def test_overview_without_hosts_tells_what_to_do(client: Client, ada: User) -> None:
    tells(
        words_of(client, "overview"),
        "Add your first host Drydock shows the images of every Docker engine you",
    )
    assert ways_of(client, "overview")["Add a host"] == address("host-add")
    signed_in(client, "viewer")
    tells(words_of(client, "overview"), "You see no host yet Ask an admin to put you into a team")


def test_many_hosts_lead_to_all_of_them(client: Client, ada: User) -> None:
    for number in range(13):
        factories.make_host(f"host-{number}")
    assert ways_of(client, "overview")["All 13 hosts"] == address("host-list")
