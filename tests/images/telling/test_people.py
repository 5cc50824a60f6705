"""What the pages of people, teams, pins and the audit log tell, fact by fact."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from images import access, audit
from images.models import AuditEntry, Grant, Host, HostGroup, Permission, Pin, Role, Team, User
from tests import factories
from tests.images.telling.made import address, copy_of, page_of, ways_of, words_of
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db
LABELS = "|".join(str(permission.label) for permission in Permission)


@pytest.fixture
def bob(group: HostGroup) -> User:
    """May run things in one group; never signed in."""
    bob = factories.make_user("bob", email="bob@example.com", last_login=None)
    factories.grant(bob, "operator", group)
    return bob


def answers(role: str) -> str:
    held = access.BUILT_IN_ROLES[role][1]
    return "|".join("yes" if permission in held else "no" for permission in Permission)


# People and teams


def test_team_page_tells_who_there_is_and_what_teams_and_roles_allow(
    client: Client, ada: User, bob: User
) -> None:
    Team.objects.create(name="guests")
    User.objects.filter(pk=ada.pk).update(last_login=NOW - timedelta(hours=2))
    tells(
        words_of(client, "team"),
        "Team Add a team Add a person People Name|Sign-in name|Teams|Last signed in|State|",
        "|ada|ada|team of ada|2 h ago|Admin|",
        "|bob|bob|team of bob|never|",
        "Teams and what they may do Team|Members|Roles|guests|0|no role yet: its members see nothing|"
        "team of ada|1|Admin on all hosts|team of bob|1|Operator on ci|",
        f"What each role allows Role|{LABELS}|",
        f"|Operator|{answers('operator')}|",
        f"|Viewer|{answers('viewer')}|",
    )
    assert ways_of(client, "team").items() >= {
        "Add a team": address("team-add"),
        "Add a person": address("user-add"),
        "bob": address("user-detail", bob.pk),
        "team of bob": address("team-edit", bob.teams.get().pk),
    }.items()  # fmt: skip
    Team.objects.all().delete()
    User.objects.filter(pk=ada.pk).update(is_superuser=True)
    page = words_of(client, "team")
    tells(
        page, "|bob|bob|none|never|", "No teams yet Rights are given to teams: add one, put people into it,"
    )


def test_page_of_a_person_tells_who_it_is_and_what_they_may_do_where_and_why(
    client: Client, ada: User, bob: User, host: Host, vault: Host
) -> None:
    Grant.objects.create(team=bob.teams.get(), role=Role.objects.get(slug="viewer"))
    tells(
        words_of(client, "user-detail", bob.pk),
        "Team bob Change teams New password Deactivate Sign-in name|bob|State|",
        "|Email|bob@example.com|Last signed in|never|Teams|team of bob|",
        f"What may this person do? Where|{LABELS}|Because of|",
        f"|All hosts, and hosts to come|{answers('viewer')}|team of bob: Viewer|",
        f"|runner|{answers('operator')}|",
        f"|vault|{answers('viewer')}|team of bob: Viewer on all hosts|",
    )
    assert ways_of(client, "user-detail", bob.pk).items() >= {
        "Team": address("team"),
        "Change teams": address("user-teams", bob.pk),
        "New password": address("user-password", bob.pk),
        "Deactivate": address("user-active", bob.pk),
        "team of bob": address("team-edit", bob.teams.get().pk),
        "runner": address("host-detail", host.pk),
    }.items()  # fmt: skip
    tells(page_of(client, "user-detail", bob.pk), "<title>bob")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"is_active": False}, "What may this person do? Nothing: the account is deactivated."),
        ({"is_active": False}, "Activate Sign-in name"),
        ({"is_superuser": True}, "Everything on every host: this account is a superuser."),
        ({"is_superuser": True}, "|Superuser|"),
        ({"last_login": NOW - timedelta(days=3)}, "|Last signed in|3 d ago|"),
        ({"email": ""}, "|Sign-in name|bob|"),
    ],
)
def test_page_tells_of_a_person_in_each_state(
    client: Client, ada: User, bob: User, host: Host, fields: dict[str, Any], told: str
) -> None:
    User.objects.filter(pk=bob.pk).update(**fields)
    assert told.strip("|") in words_of(client, "user-detail", bob.pk)


def test_host_that_no_grant_reaches_is_told_so(
    client: Client, ada: User, bob: User, host: Host, vault: Host
) -> None:
    assert "|vault|" + "no|" * len(Permission) + "no grant reaches this host|" in words_of(
        client, "user-detail", bob.pk
    )
    bob.teams.clear()
    assert "|Teams|none|" in words_of(client, "user-detail", bob.pk)


# Pins


def test_list_of_pins_tells_what_where_why_who_and_until_when(client: Client, ada: User, host: Host) -> None:
    everywhere, here = copy_of(host, "shop/api:1"), copy_of(host, "shop/web:1")
    gone = factories.make_image()
    Pin.objects.create(image=everywhere.image, reason="audit", created_by=ada)
    Pin.objects.create(image=here.image, host=host, reason="demo", ends_at=NOW + timedelta(days=9))
    Pin.objects.create(image=gone, reason="old", created_by=ada)
    Pin.objects.update(created_at=NOW - timedelta(days=2))
    tells(
        words_of(client, "pin-list"),
        "Pins What somebody said must never be removed. Policies and people leave a pinned image alone; pin one on "
        "its own page.",
        "Image|Where|Reason|Pinned by|Since|Until|Actions|",
        "|shop/api:1|Every host|audit|ada|2 d ago|no end|Remove the pin “audit”|",
        "|shop/web:1|runner|demo|–|2 d ago|in 9 d|Remove the pin “demo”|",
        f"|{gone} on no host now|Every host|old|",
    )
    ways = ways_of(client, "pin-list")
    assert ways["shop/api:1"] == address("image-detail", everywhere.image_id)
    assert ways["runner"] == address("host-detail", host.pk)
    assert ways["Remove the pin “demo”"] == address("pin-remove", Pin.objects.get(reason="demo").pk)
    tells(page_of(client, "pin-list"), "<title>Pins", 'aria-label="Pins"')
    signed_in(client, "viewer")
    assert "Remove the pin" not in words_of(client, "pin-list")


def test_list_without_pins_tells_what_they_are_for(client: Client, ada: User) -> None:
    tells(
        words_of(client, "pin-list"),
        "Nothing is pinned Open an image and choose “Pin” when it must stay whatever a policy says.",
    )
    assert ways_of(client, "pin-list")["Go to the images"] == address("image-list")
    tells(words_of(client, "pin-list", q="x"), "No pin matches Change the search, the host or the state.")
    signed_in(client, "viewer")
    words = (
        "Nothing is pinned Whoever may remove images can pin one, so that it stays whatever a policy says."
    )
    assert words_of(client, "pin-list").endswith(words)


def test_question_of_a_pin_tells_what_it_does(client: Client, ada: User, host: Host) -> None:
    copy = copy_of(host, "shop/api:1")
    page = words_of(client, "pin-add", copy.image_id)
    tells(page, "shop/api:1", "Reason", "Cancel")
    pin = Pin.objects.create(image=copy.image, reason="audit", created_by=ada)
    tells(
        words_of(client, "pin-remove", pin.pk), "Reason|audit|Where|Every host|Pinned by|ada, now|", "Cancel"
    )
    Pin.objects.update(ends_at=NOW + timedelta(days=9))
    assert "|Until|in 9 d|" in words_of(client, "pin-remove", pin.pk)


# The audit log


def test_audit_log_tells_when_who_what_of_what_where_and_how_it_ended(
    client: Client, ada: User, host: Host
) -> None:
    audit.record(by=ada, action="host.edit", target="runner", host=host, address="unix:///run/x.sock")
    AuditEntry.objects.update(at=NOW - timedelta(hours=3))
    page = words_of(client, "audit-list")
    tells(
        page,
        "When|Who|What|Of what|Host|Outcome|Details|",
        "|3 h ago|ada|Edit a host|runner|runner|Done|Show address|unix:///run/x.sock|",
    )
    assert ways_of(client, "audit-list")["runner"] == address("host-detail", host.pk)
    tells(page_of(client, "audit-list"), "<title>Audit log", 'aria-label="Audit log"', "badge is-good")
    tells(
        words_of(client, "audit-list", q="nothing"),
        "Filter Clear Nothing fits these filters Take a filter away",
    )
    assert ways_of(client, "audit-list", q="nothing")["Clear"] == address("audit-list")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"outcome": "started"}, "|Started|"),
        ({"outcome": "refused"}, "|Refused|"),
        ({"outcome": "failed"}, "|Failed|"),
        ({"actor": None, "actor_name": "gone"}, "|now|gone|Edit a host|"),
        ({"actor": None, "actor_name": ""}, "|now|Drydock|Edit a host|"),
        ({"actor": None, "actor_name": "", "action": "user.sign_in"}, "|now|not signed in|Sign in|"),
        ({"host": None, "host_name": "gone-host"}, "|runner|gone-host|Done|"),
        ({"detail": {}}, "|Done||"),
    ],
)
def test_audit_log_tells_of_an_entry_in_each_state(
    client: Client, ada: User, host: Host, fields: dict[str, Any], told: str
) -> None:
    audit.record(by=ada, action="host.edit", target="runner", host=host)
    AuditEntry.objects.update(**fields)
    tells(words_of(client, "audit-list"), told)


def test_long_audit_log_leads_to_older_entries_and_back(client: Client, ada: User) -> None:
    for number in range(120):
        audit.record(by=ada, action="user.add", target=f"p{number}")
    ways = ways_of(client, "audit-list")
    assert "Newest" not in ways
    before = ways["Older"].partition("before=")[2]
    assert ways_of(client, "audit-list", before=before)["Newest"] == "?"
