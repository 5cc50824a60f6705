"""The audit page: what it shows to whom, and its filters."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from images import audit
from images.jobs.operations import OPERATIONS
from images.models import AuditEntry, HostGroup
from images.views.audit import PAGE_SIZE
from tests import factories

pytestmark = pytest.mark.django_db


def page(client: Client, query: str = "") -> str:
    response = client.get(f"/audit/{query}")
    assert response.status_code == 200
    return response.content.decode()


def test_every_action_that_is_recorded_has_a_name() -> None:
    calls = re.compile(r'action=(?:"([a-z_.]+)"(?: if [^,]+ else "([a-z_.]+)")?)')
    found = set()
    for folder in ("images", "cleanup"):
        for path in Path(settings.BASE_DIR, folder).rglob("*.py"):
            if "record(" in (text := path.read_text()):
                found |= {name for match in calls.finditer(text) for name in match.groups() if name}
    assert found - set(audit.ACTIONS) == set()


def test_entry_says_who_did_what_to_what(admin_client: Client) -> None:
    host = factories.make_host("runner")
    audit.record(
        by=factories.make_user("ada"), action="host.add", target="runner", host=host, address="unix:///x"
    )
    text = page(admin_client)
    assert all(part in text for part in ("ada", "Add a host", "runner", "unix:///x", 'is-good">Done<'))


def test_details_may_have_any_name(admin_client: Client) -> None:
    """A run records how many `items` it has; a template takes that word for a method."""
    audit.record(
        by=factories.make_admin("dana"), action="run.start", target="nightly", items=5, keys=["a", "b"]
    )
    found = page(admin_client)
    assert re.search(r"items</dt><dd[^>]*>5</dd>", found)
    assert re.search(r"keys</dt><dd[^>]*>a, b</dd>", found)


def test_viewer_sees_the_entries_of_the_hosts_they_see(client: Client) -> None:
    group = HostGroup.objects.create(name="ci")
    ada = factories.make_user("ada")
    factories.grant(ada, "viewer", group)
    audit.record(by=None, action="host.edit", target="own-target", host=factories.make_host(groups=(group,)))
    audit.record(
        by=None, action="host.edit", target="foreign-target", host=factories.make_host("hidden-host")
    )
    audit.record(by=None, action="team.add", target="team-target")
    client.force_login(ada)
    text = page(client)
    assert "own-target" in text
    assert "foreign-target" not in text
    assert "team-target" not in text
    assert "hidden-host" not in text


def test_filters_leave_what_fits(admin_client: Client) -> None:
    ada, host = factories.make_user("ada"), factories.make_host("runner")
    audit.record(by=ada, action="host.edit", target="first", host=host)
    audit.record(by=None, action="team.add", target="second", outcome="failed")
    old = audit.record(by=None, action="team.add", target="third")
    AuditEntry.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=9))
    today = timezone.localdate().isoformat()
    wanted = {
        f"?person={ada.pk}": {"first"},
        "?action=team.add": {"second", "third"},
        f"?host={host.pk}": {"first"},
        "?outcome=failed": {"second"},
        "?q=IRS": {"first"},
        f"?since={today}": {"first", "second"},
        f"?until={(timezone.localdate() - timedelta(days=1)).isoformat()}": {"third"},
    }
    for query, names in wanted.items():
        rows = page(admin_client, query).split("<tbody>")[1]
        assert {name for name in ("first", "second", "third") if f">{name}<" in rows} == names, query


@pytest.mark.parametrize(
    "query", ["?since=yesterday", "?host=x", "?person=0", "?before=x", "?before=" + "9" * 40, "?action=no"]
)
def test_senseless_filter_does_not_break_the_page(admin_client: Client, query: str) -> None:
    audit.record(by=None, action="host.edit", target="first")
    page(admin_client, query)


def test_older_pages_follow_without_a_gap(admin_client: Client) -> None:
    for number in range(PAGE_SIZE + 3):
        audit.record(by=None, action="host.edit", target=f"entry-{number}-")
    first = page(admin_client)
    match = re.search(r"\?before=(\d+)", first)
    assert match
    second = page(admin_client, match[0])
    shown = [sum(f"entry-{n}-" in text for text in (first, second)) for n in range(PAGE_SIZE + 3)]
    assert set(shown) == {1}


def test_empty_log_and_empty_result_say_different_things(admin_client: Client) -> None:
    assert "Nothing has been changed yet" in page(admin_client)
    assert "Nothing fits these filters" in page(admin_client, "?q=nothing")


def test_page_needs_the_same_queries_for_many_entries(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    for _ in range(30):
        audit.record(by=factories.make_user(), action="host.edit", host=factories.make_host())
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        page(admin_client)


def test_job_is_called_what_its_operation_is_called(admin_client: Client) -> None:
    audit.record(by=None, action="job.remove", target="#1")
    rows = page(admin_client, "?action=job.remove").split("<tbody>")[1]
    assert str(OPERATIONS["remove"].label) in rows
