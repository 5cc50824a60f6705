"""What the list of hosts, a host and the host groups tell, fact by fact."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from images.errors import explain
from images.models import Host, HostGroup, Job, User
from tests import factories
from tests.images.telling.made import address, copy_of, page_of, ways_of, words_of
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db

FACTS: dict[str, Any] = {
    "address": "tcp://runner.example:2376", "use_tls": True, "engine_kind": "docker", "engine_version": "28.5.1",
    "api_version": "1.51", "store_kind": "graph", "storage_driver": "overlay2",
    "root_directory": "/var/lib/docker", "registry_mirrors": ["https://mirror.example"],
    "operating_system": "Debian 12", "architecture": "x86_64", "build_cache_bytes": 700,
    "image_count": 12, "container_count": 3, "total_bytes": 5000, "shared_bytes": 2000, "unused_bytes": 1000,
    "image_budget_bytes": 9000, "synced_at": NOW - timedelta(minutes=4), "last_event_at": NOW - timedelta(minutes=2),
    "use_known_since": NOW - timedelta(days=9), "watcher": "w", "watcher_lease_until": NOW + timedelta(minutes=1),
    "watched_since": NOW - timedelta(hours=7), "state_since": NOW - timedelta(hours=7),
}  # fmt: skip


@pytest.fixture
def runner(host: Host) -> Host:
    """Everything known of it; online and followed."""
    Host.objects.filter(pk=host.pk).update(**FACTS)
    host.refresh_from_db()
    return host


# A host


def test_host_tells_its_engine_its_bytes_and_how_fresh_that_is(
    client: Client, ada: User, runner: Host
) -> None:
    tells(
        words_of(client, "host-detail", runner.pk),
        "Hosts runner Its images Pull an image Build Refresh More Load images Check the connection Edit Switch off "
        "Remove Images 12 3 containers Space of its images 5.00 kB budget 9.00 kB Shared 2.00 kB in layers of more "
        "than one image Unused 1.00 kB freed if every unused image went Engine Online "
        "Engine|Docker 28.5.1|API version|1.51|Image store|graph driver (overlay2)|"
        "Images are stored in|/var/lib/docker|Registry mirrors|https://mirror.example|System|Debian 12, x86_64|"
        "Build cache|700 B|How Drydock sees it Address|tcp://runner.example:2376 TLS|Groups|ci|"
        "Added|now|Picture taken|4 min ago|Events|followed without a break; began 7 h ago|Last event|2 min ago|"
        "Use is known|without a gap; the record begins 9 d ago|",
        "Jobs All of its jobs No job has run on this host yet.",
    )
    tells(
        page_of(client, "host-detail", runner.pk),
        "<title>runner",
        f'data-live="host:{runner.pk}" data-live-refresh hx-get="{address("host-detail", runner.pk)}"',
        f'hx-post="{address("host-check", runner.pk)}" hx-target="#check"',
    )


def test_host_leads_to_all_that_can_be_done_there(client: Client, ada: User, runner: Host) -> None:
    here = f"?host={runner.pk}"
    ways = ways_of(client, "host-detail", runner.pk)
    assert ways.items() >= {
        "Hosts": address("host-list"),
        "Its images": address("image-list") + here,
        "Pull an image": address("command", "pull") + here,
        "Build": address("build-new") + here,
        "Load images": address("load") + here,
        "Edit": address("host-edit", runner.pk),
        "Remove": address("host-remove", runner.pk),
        "Refresh": address("host-refresh", runner.pk),
        "Switch off": address("host-switch", runner.pk),
        "ci": f"{address('host-list')}?group={runner.groups.get().pk}",
        "All of its jobs": address("job-list") + here,
    }.items()  # fmt: skip
    signed_in(client, "viewer")
    viewer = ways_of(client, "host-detail", runner.pk)
    assert set(viewer) == {"Hosts", "Its images", "Refresh", "ci", "All of its jobs"}
    assert "Check the connection" not in words_of(client, "host-detail", runner.pk)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"image_budget_bytes": None}, "Space of its images 5.00 kB every layer counted once"),
        ({"image_budget_bytes": 4000}, "Space of its images 5.00 kB budget 4.00 kB over it"),
        ({"is_estimate": True}, "Space of its images ≈ 5.00 kB"),
        ({"is_estimate": True}, "Unused ≈ 1.00 kB freed if"),
        ({"build_cache_holds_layers": True}, "Unused ≤ 1.00 kB up to: the build cache may hold layers back"),
        ({"container_count": 1}, "Images 12 1 container Space"),
        ({"registry_mirrors": []}, "|Registry mirrors|none|"),
        ({"store_kind": "", "api_version": ""}, "|API version|–|Image store|–|"),
        ({"root_directory": "", "operating_system": "", "architecture": ""}, "|Images are stored in|–|"),
        ({"operating_system": "", "architecture": ""}, "|System|–|Build cache|"),
        ({"use_tls": False, "address": "unix:///run/docker.sock"}, "|unix:///run/docker.sock|Groups|"),
        (
            {"use_tls": False},
            "Drydock talks to this engine without TLS: whoever reaches its port is root on that",
        ),
        ({"synced_at": None}, "|Picture taken|not yet|"),
        ({"watched_since": None}, "|Events|not followed at the moment: changes show at the next picture|"),
        (
            {"watcher_lease_until": None},
            "|Events|not followed at the moment: changes show at the next picture|",
        ),
        ({"use_known_since": None}, "|Use is known|not now: cleanup by last use keeps its images|"),
        ({"engine_kind": "podman"}, "Engine|Podman 28.5.1|"),
    ],
)
def test_host_tells_of_itself_in_each_state(
    client: Client, ada: User, runner: Host, fields: dict[str, Any], told: str
) -> None:
    Host.objects.filter(pk=runner.pk).update(**fields)
    tells(words_of(client, "host-detail", runner.pk), told)


def test_host_that_is_offline_tells_since_when_why_and_what_helps(
    client: Client, ada: User, runner: Host
) -> None:
    error = {
        "error_at": NOW,
        "error_code": "host_refused",
        "error_values": {"address": "x"},
        "error_raw": "ECONN",
    }
    Host.objects.filter(pk=runner.pk).update(state="offline", **error)
    page = words_of(client, "host-detail", runner.pk)
    tells(
        page,
        "This host went offline 7 h ago. What you see was taken 4 min ago. Drydock tries again by itself, about "
        "every half minute. ",
        "What the engine said ECONN",
    )
    told = explain("host_refused", {"address": "x"})
    assert told.cause in page
    assert told.remedy.replace("`", "") in page
    Host.objects.filter(pk=runner.pk).update(state="online")
    assert "|Last error|now " in words_of(client, "host-detail", runner.pk)
    Host.objects.filter(pk=runner.pk).update(state="offline", state_since=None, synced_at=None)
    tells(words_of(client, "host-detail", runner.pk), "This host is offline. Drydock tries again")


def test_host_that_is_off_tells_so_and_can_be_switched_on(client: Client, ada: User, runner: Host) -> None:
    Host.objects.filter(pk=runner.pk).update(is_enabled=False)
    tells(
        words_of(client, "host-detail", runner.pk),
        "This host is switched off. Drydock neither looks at it nor changes anything there; what you see is how it "
        "was. Switch on",
        "|Events|not followed while it is switched off|",
        "|Use is known|not now:",
    )
    ways = ways_of(client, "host-detail", runner.pk)
    assert ways["Switch on"] == address("host-switch", runner.pk)
    assert not {"Pull an image", "Build", "Refresh", "Load images", "Switch off"} & set(ways)
    assert {"Edit", "Remove"} <= set(ways)


def test_host_registered_twice_is_told_with_the_other(client: Client, ada: User, runner: Host) -> None:
    Host.objects.filter(pk=runner.pk).update(engine_id="same")
    twin = factories.make_host("double", engine_id="same", root_directory="/var/lib/docker")
    page = words_of(client, "host-detail", runner.pk)
    told = (
        "The same engine seems to be registered as well as: double. Its images would count twice; remove one"
    )
    assert told in page, page
    assert ways_of(client, "host-detail", runner.pk)["double"] == address("host-detail", twin.pk)


def test_host_tells_its_largest_images_and_its_jobs(client: Client, ada: User, runner: Host) -> None:
    copy = copy_of(runner, "shop/api:1", size=5000, own_bytes=4000)
    job = Job.objects.create(kind="pull", host=runner, state="queued", subject="shop/api:2", created_by=ada)
    page = words_of(client, "host-detail", runner.pk)
    tells(
        page,
        "Images that take most All of its images Image|Tags|Size|Own|State|Actions|",
        "|shop/api:1|shop/api:1|5.00 kB|4.00 kB|Unused|",
        "Jobs All of its jobs Job|State|Started by|When|Pull shop/api:2|Queued It waits for a worker.|ada|now|",
    )
    ways = ways_of(client, "host-detail", runner.pk)
    assert ways["All of its images"] == f"{address('image-list')}?host={runner.pk}"
    assert ways["shop/api:1"] == address("image-detail", copy.image_id)
    assert ways["Pull"] == address("job-detail", job.pk)
    tells(page_of(client, "host-detail", runner.pk), 'aria-label="Images that take most"')


# The list


def test_list_tells_of_each_host(client: Client, ada: User, runner: Host) -> None:
    tells(
        words_of(client, "host-list"),
        "Hosts Groups Add a host",
        "Name|State|Engine|Store|Images|Total|Unused|Picture taken|Groups|",
        "|runner tcp://runner.example:2376|Online|Docker 28.5.1|graph driver|12|5.00 kB|1.00 kB|4 min ago|ci|",
    )
    ways = ways_of(client, "host-list")
    assert ways.items() >= {
        "Groups": address("group-list"),
        "Add a host": address("host-add"),
        "runner": address("host-detail", runner.pk),
        "12": f"{address('image-list')}?host={runner.pk}",
    }.items()  # fmt: skip
    tells(page_of(client, "host-list"), "<title>Hosts", 'hx-get="/hosts/"')
    signed_in(client, "viewer")
    assert "Add a host" not in ways_of(client, "host-list")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"build_cache_holds_layers": True}, "|5.00 kB|≤ 1.00 kB|"),
        ({"is_estimate": True}, "|≈ 1.00 kB|"),
        ({"store_kind": ""}, "|Docker 28.5.1|–|12|"),
        ({"is_enabled": False}, "|Switched off|"),
        ({"state": "offline"}, "|Offline 7 h ago|"),
        ({"synced_at": None}, "|1.00 kB|not yet|ci|"),
    ],
)
def test_list_tells_of_a_host_in_each_state(
    client: Client, ada: User, runner: Host, fields: dict[str, Any], told: str
) -> None:
    Host.objects.filter(pk=runner.pk).update(**fields)
    tells(words_of(client, "host-list"), told)


def test_list_without_hosts_tells_what_to_do(client: Client, ada: User) -> None:
    tells(
        words_of(client, "host-list"),
        "Add your first host Drydock shows the images of every Docker engine you register. Begin with the one on "
        "this machine, or with any that listens on tcp.",
    )
    signed_in(client, "viewer")
    tells(
        words_of(client, "host-list"),
        "You see no host yet Ask an admin to put you into a team that has a role on some hosts.",
    )
    factories.make_host("runner")
    tells(
        words_of(client, "host-list", q="nothing"),
        "Filter Clear No host fits these filters Take a filter away.",
    )
    assert ways_of(client, "host-list", q="nothing")["Clear"] == address("host-list")


# Groups


def test_groups_tell_what_they_hold_and_who_has_which_role_there(
    client: Client, ada: User, runner: Host
) -> None:
    ci, production = runner.groups.get(), HostGroup.objects.create(name="production")
    bob = factories.make_user("bob")
    factories.grant(bob, "operator", ci)
    page = page_of(client, "group-list")
    tells(
        words_of(client, "group-list"),
        "Hosts Host groups Add a group Group|Hosts|Which|Who|Actions|",
        "|ci|1|runner|team of bob: Operator|",
        "|production|0|no hosts yet||",
    )
    tells(page, 'aria-label="Edit ci"', 'aria-label="Remove ci"', address("group-edit", ci.pk))
    tells(page, address("group-remove", production.pk), "<title>Host groups")
    assert ways_of(client, "group-list").items() >= {
        "Hosts": address("host-list"),
        "Add a group": address("group-add"),
        "ci": f"{address('host-list')}?group={ci.pk}",
        "runner": address("host-detail", runner.pk),
        "team of bob: Operator": address("team-edit", bob.teams.get().pk),
    }.items()  # fmt: skip
    signed_in(client, "viewer")
    assert "Add a group" not in ways_of(client, "group-list")
    tells(words_of(client, "group-list"), "Group|Hosts|Which|ci|1|runner|")


def test_without_groups_it_is_told_what_they_are_for(client: Client, ada: User) -> None:
    tells(
        words_of(client, "group-list"),
        "No groups yet Group hosts that belong together, such as “production” or “ci”. Teams get their rights, and "
        "policies their hosts, by group.",
    )
