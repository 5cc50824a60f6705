"""What the pause tells, fact by fact: as one reads it, with what one can click and where that leads."""

from datetime import timedelta

import pytest
from django.test import Client

from cleanup.models import CleanupSwitch
from images.models import Host, User
from tests.cleanup.pages import ways_of, words_of
from tests.cleanup.telling.made import address, ran
from tests.pages import NOW, signed_in, tells

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["policy-list", "run-list", "overview-fragment"])
def test_banner_tells_who_paused_when_why_and_what_it_means(client: Client, ada: User, name: str) -> None:
    switch = CleanupSwitch.objects.create(is_paused=True, reason="Audit week", changed_by=ada)
    CleanupSwitch.objects.update(changed_at=NOW - timedelta(hours=3))
    words = "Nothing is removed until it is resumed; runs that are under way stop within moments."
    tells(words_of(client, name), f"All cleanup is paused. By ada, 3 h ago. “Audit week” {words}")
    assert ways_of(client, name)["Resume cleanup"] == address("pause")
    CleanupSwitch.objects.filter(pk=switch.pk).update(reason="", changed_by=None)
    tells(words_of(client, name), f"All cleanup is paused. By –, 3 h ago. {words}")
    signed_in(client, "viewer")
    assert "Resume cleanup" not in ways_of(client, name)
    CleanupSwitch.objects.update(is_paused=False)
    assert "paused" not in words_of(client, name)


def test_banner_stands_on_every_page_of_what_it_stops(client: Client, ada: User, host: Host) -> None:
    run = ran(host)
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    for name, pk in (("policy", run.policy_id), ("plan", run.plan_id), ("run", run.pk)):
        tells(words_of(client, f"{name}-detail", pk), "All cleanup is paused.")


def test_pausing_tells_what_it_does_and_resuming_too(client: Client, ada: User) -> None:
    tells(
        words_of(client, "pause"),
        "Pause cleanup Pause all cleanup? No policy removes anything until somebody resumes it. Runs that are "
        "under way stop within moments. Previews still work. Reason",
        "Cancel Pause all cleanup",
    )
    assert ways_of(client, "pause")["Cancel"] == address("policy-list")
    CleanupSwitch.objects.create(is_paused=True, reason="Audit week")
    tells(
        words_of(client, "pause"),
        "Resume cleanup Resume all cleanup? Policies run again at their next scheduled time. A run that waits "
        "because of the pause goes on. Cancel Resume all cleanup",
    )
