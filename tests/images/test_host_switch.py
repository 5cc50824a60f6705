"""A host that was switched off: Drydock leaves it alone, says so, and takes it up again."""

from collections.abc import Iterator
from datetime import timedelta
from unittest import mock

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cleanup import settling
from cleanup.models import Item
from images import removal, restoring
from images.commands.copy import copy_again, copy_start
from images.engine.client import EngineCut
from images.errors import UserError
from images.hosts import changes, freshness
from images.jobs import life
from images.models import AuditEntry, Host, Job, JobItem, JobState, User
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return factories.make_host("runner")


@pytest.fixture(autouse=True)
def sent() -> Iterator[mock.Mock]:
    """Whatever would be opened here is none of a host's that is off."""
    with mock.patch("images.jobs.life.current_app.send_task") as send:
        yield send


def page(client: Client, host: Host) -> str:
    return " ".join(client.get(reverse("images:host-detail", args=[host.pk])).content.decode().split())


def switch(client: Client, host: Host, value: str) -> None:
    answer = client.post(reverse("images:host-switch", args=[host.pk]), {"is_enabled": value}, follow=True)
    assert answer.status_code == 200
    host.refresh_from_db()


def test_page_switches_a_host_off_and_on_and_the_log_says_who(
    client: Client, host: Host, admin: User
) -> None:
    assert "This host is switched off." not in page(client, host)
    switch(client, host, "")
    assert Host.objects.filter(is_enabled=False).exists()
    # What its watcher and the tick have not taken back yet.
    now = timezone.now()
    lease = now + timedelta(seconds=20)
    Host.objects.update(watcher_lease_until=lease, watched_since=now, use_known_since=now)
    shown = page(client, host)
    assert "This host is switched off." in shown
    assert "not followed while it is switched off" in shown
    assert "without a gap" not in shown
    assert "without a break" not in shown
    assert 'name="is_enabled" value="on"' in shown
    assert reverse("images:host-refresh", args=[host.pk]) not in shown
    assert "runner is switched off: Drydock does nothing there." in str(
        client.post(reverse("images:host-refresh", args=[host.pk]), follow=True).content.decode()
    )
    switch(client, host, "on")
    assert Host.objects.filter(is_enabled=True).exists()
    switch(client, host, "on")  # a second click changes nothing
    entries = AuditEntry.objects.filter(host=host).order_by("pk")
    assert [(entry.action, entry.actor_name) for entry in entries] == [
        ("host.off", admin.username), ("host.on", admin.username),
    ]  # fmt: skip


def test_who_may_not_manage_the_host_sees_that_it_is_off_and_no_switch(client: Client, host: Host) -> None:
    viewer = factories.make_user()
    factories.grant(viewer, "viewer")
    client.force_login(viewer)
    Host.objects.update(is_enabled=False)
    shown = page(client, host)
    assert "This host is switched off." in shown
    assert reverse("images:host-switch", args=[host.pk]) not in shown


def test_host_that_is_off_is_neither_read_nor_due_nor_cleaned_by_hand(host: Host, admin: User) -> None:
    copy = factories.make_copy(host, "app:1")
    Host.objects.update(is_enabled=False, synced_at=timezone.now() - timedelta(days=1))
    host.refresh_from_db()
    with mock.patch("images.hosts.freshness.open_engine") as opened:
        freshness.host_sync(host.pk)
    assert not opened.called
    assert not Host.objects.due_for_sync(timezone.now(), every=timedelta(minutes=10)).exists()
    with pytest.raises(UserError) as refused:
        removal.removal_start(by=admin, copies=[copy])
    assert refused.value.code == "host_switched_off"
    assert not Job.objects.exists()


def test_job_that_waited_fails_and_says_why(host: Host, admin: User) -> None:
    copy = factories.make_copy(host, "app:1")
    [job] = removal.removal_start(by=admin, copies=[copy])
    changes.host_switch(by=admin, host=host, is_enabled=False)
    with mock.patch("images.jobs.context.open_engine") as opened:
        life.job_carry_out(job.pk)
    assert not opened.called
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_switched_off")
    assert job.error_values == {"host": "runner"}


def test_nothing_is_given_back_on_a_host_that_is_off(host: Host, admin: User) -> None:
    """Both take references back to images that a removal, or a run, was cut off at."""
    now = timezone.now()
    Host.objects.update(state="online")
    job = Job.objects.create(kind="remove", host=host, state="lost", ended_at=now, parameters={"engine": "x"})
    values = {restoring.TAKEN: ["app:1"]}
    JobItem.objects.create(job=job, position=0, name="app:1", state="unknown", error_values=values)
    plan = rows.make_plan(rows.make_policy(hosts=[host]))
    rows.add_host(plan, host, removed=1, kept=0)
    Item.objects.update(state="unknown", journal=["app:1"], ended_at=now)
    with (
        mock.patch("images.restoring.open_engine", side_effect=EngineCut) as opened,
        mock.patch("cleanup.settling.open_engine", side_effect=EngineCut) as opened_too,
    ):
        for is_enabled, count in ((False, 0), (True, 1)):
            Host.objects.update(is_enabled=is_enabled)
            assert restoring.jobs_owing(now) == count
            restoring.references_restore(job.pk)
            settling.references_restore(host.pk)
            assert (opened.call_count, opened_too.call_count) == (count, count)


def test_copy_does_not_read_from_a_source_that_is_off(host: Host, admin: User) -> None:
    source = factories.make_host("source")
    copy = factories.make_copy(source, "app:1")
    [job] = copy_start(by=admin, copies=[copy], hosts=[host])
    Host.objects.filter(pk=source.pk).update(is_enabled=False)
    with mock.patch("images.jobs.context.open_engine") as opened:
        life.job_carry_out(job.pk)
    assert [call.args[0].address for call in opened.call_args_list] in ([], [host.address])
    job.refresh_from_db()
    assert (job.state, job.error_code) == (JobState.FAILED, "copy_no_source")
    with pytest.raises(UserError, match="switched off or not registered any more"):
        copy_again(admin, job)
    Host.objects.update(is_enabled=True)
    assert copy_again(admin, job).retry_of == job


def test_host_that_is_switched_on_is_looked_at_at_once(
    host: Host, admin: User, sent: mock.Mock, django_capture_on_commit_callbacks: object
) -> None:
    Host.objects.update(is_enabled=False, next_attempt_at=timezone.now() + timedelta(hours=1))
    host.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        changes.host_switch(by=admin, host=host, is_enabled=True)
    host.refresh_from_db()
    assert host.next_attempt_at is None
    assert sent.call_args.args == ("images.tasks.sync_host",)
    assert sent.call_args.kwargs["args"] == [host.pk]


COMMANDS = ("/images/remove/", "/references/", "/commands/", "/prune/")
"""What is sent to an engine; each stands on a page as the address of its question."""


@pytest.mark.parametrize("place", ["image", "host", "selection", "runs"])
def test_no_page_offers_commands_on_a_host_that_is_off(
    client: Client, host: Host, admin: User, place: str
) -> None:
    copy = factories.make_copy(host, "app:1")

    def shown() -> str:
        answer = {
            "image": lambda: client.get(reverse("images:image-detail", args=[copy.image_id])),
            "host": lambda: client.get(reverse("images:host-detail", args=[host.pk])),
            "selection": lambda: client.post(reverse("images:image-selection"), {"copies": str(copy.pk)}),
            "runs": lambda: client.get(reverse("cleanup:host-runs", args=[host.pk])),
        }[place]()
        return str(answer.content.decode())

    assert any(command in shown() for command in COMMANDS)
    Host.objects.update(is_enabled=False)
    page = shown()
    assert not [command for command in COMMANDS if command in page]
    if place != "runs":  # these are a part of the host's page, which says it
        assert "switched off" in page.lower()


def test_selection_leaves_out_what_is_on_a_host_that_is_off_and_says_so(
    client: Client, host: Host, admin: User
) -> None:
    off = factories.make_host("sleeper", is_enabled=False)
    image = factories.make_image(factories.make_layer(1000))
    copies = [factories.make_copy(each, "app:1", image=image) for each in (host, off)]
    ids = ",".join(str(copy.pk) for copy in copies)
    bar = client.post(reverse("images:image-selection"), {"copies": ids}).content.decode()
    assert "1 of these is on a host that is switched off" in bar
    question = client.post(reverse("images:image-remove"), {"copies": ids})
    assert [copy.host.name for copy in question.context["going"].copies] == ["runner"]
    assert "1 copy is on a host that is switched off" in question.content.decode()
    client.post(
        reverse("images:image-remove"), {"copies": ids, "confirm": "1", "seen": question.context["seen"]}
    )
    assert [job.host.name for job in Job.objects.all()] == ["runner"]


@pytest.mark.parametrize("kind", ["save", "copy"])
def test_content_is_not_taken_off_a_host_that_is_off(
    client: Client, host: Host, admin: User, kind: str
) -> None:
    off = factories.make_host("sleeper", is_enabled=False)
    copy = factories.make_copy(off, "app:1")
    question = client.get(reverse("images:command", args=[kind]) + f"?copy={copy.pk}").content.decode()
    assert "1 copy is left out: its host is switched off." in question
    client.post(reverse("images:command", args=[kind]), {"copies": str(copy.pk), "hosts": [host.pk]})
    assert not Job.objects.exists()


def test_list_says_which_of_its_hosts_is_off(client: Client, host: Host, admin: User) -> None:
    assert "Switched off" not in client.get(reverse("images:image-list")).content.decode()
    Host.objects.update(is_enabled=False)
    assert "Switched off" in client.get(reverse("images:image-list")).content.decode()


def test_list_of_hosts_tells_those_that_are_off_from_those_online(
    client: Client, host: Host, admin: User
) -> None:
    factories.make_host("sleeper", is_enabled=False)
    for state, expected in (("online", ["runner"]), ("off", ["sleeper"]), ("", ["runner", "sleeper"])):
        shown = client.get(reverse("images:host-list"), {"state": state}).context["hosts"]
        assert [each.name for each in shown] == expected
