"""Pins: who may add and remove them, and what the pages say."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from images import pins
from images.models import AuditEntry, Copy, HostGroup, Image, Pin
from tests import factories
from tests.pages import signed_in

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def copy(group: HostGroup) -> Copy:
    return factories.make_copy(factories.make_host("runner", groups=(group,)), "acme/api:1.4.0")


@pytest.fixture
def elsewhere(copy: Copy) -> Copy:
    """The same image on a host outside the group."""
    return factories.make_copy(factories.make_host("prod"), "acme/api:1.4.0", image=copy.image)


def add(client: Client, image: Image, **data: str) -> Any:
    values = {"where": "all", "reason": "The release of May runs on it"} | data
    return client.post(reverse("images:pin-add", args=[image.pk]), values)


def test_maintainer_pins_an_image_on_one_host(client: Client, copy: Copy, group: HostGroup) -> None:
    user = signed_in(client, "maintainer", group)
    add(client, copy.image, where=str(copy.host_id))
    pin = Pin.objects.get()
    assert (pin.host, pin.image, pin.created_by) == (copy.host, copy.image, user)
    entry = AuditEntry.objects.get(action="pin.add")
    assert (entry.target, entry.host, entry.detail["reason"]) == ("acme/api:1.4.0", copy.host, pin.reason)


def test_pin_does_not_end_where_no_calendar_goes(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    assert (
        "Ensure this value is less than or equal to"
        in add(client, copy.image, until="9999-12-31").content.decode()
    )
    assert not Pin.objects.exists()
    add(client, copy.image, until="2999-12-31")
    assert Pin.objects.get().ends_at


def test_same_pin_is_set_once(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    add(client, copy.image)
    assert "The image is pinned there for this reason already." in add(client, copy.image).content.decode()
    assert Pin.objects.count() == 1
    add(client, copy.image, where=str(copy.host_id))
    add(client, copy.image, reason="Another release runs on it too")
    assert Pin.objects.count() == 3
    Pin.objects.update(ends_at=timezone.now() - timedelta(days=1))
    add(client, copy.image)
    assert Pin.objects.count() == 4


def test_pin_everywhere_needs_the_permission_everywhere(client: Client, copy: Copy, group: HostGroup) -> None:
    signed_in(client, "maintainer", group)
    response = add(client, copy.image, where="all")
    assert response.context["form"].errors["where"]
    assert not Pin.objects.exists()


def test_maintainer_of_all_hosts_pins_everywhere(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    add(client, copy.image, where="all")
    assert Pin.objects.get().host is None


def test_pin_on_a_host_of_somebody_else_is_refused(
    client: Client, copy: Copy, elsewhere: Copy, group: HostGroup
) -> None:
    signed_in(client, "maintainer", group)
    assert add(client, copy.image, where=str(elsewhere.host_id)).context["form"].errors["where"]
    assert not Pin.objects.exists()


def test_viewer_cannot_pin(client: Client, copy: Copy) -> None:
    signed_in(client, "viewer")
    assert add(client, copy.image).status_code == 403


def test_pin_dialog_of_an_invisible_image_is_not_found(
    client: Client, elsewhere: Copy, group: HostGroup
) -> None:
    hidden = factories.make_copy(elsewhere.host, "secret/thing:1")
    signed_in(client, "maintainer", group)
    assert client.get(reverse("images:pin-add", args=[hidden.image_id])).status_code == 404


@pytest.mark.parametrize("reason", ["", "   "])
def test_pin_without_a_reason_is_refused_next_to_the_field(client: Client, copy: Copy, reason: str) -> None:
    signed_in(client, "maintainer")
    response = add(client, copy.image, reason=reason)
    assert 'id="id_reason_error"' in response.content.decode()
    assert not Pin.objects.exists()


def test_pin_that_ends_in_the_past_is_refused(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    yesterday = timezone.localdate() - timedelta(days=1)
    assert "This day has passed." in add(client, copy.image, until=yesterday.isoformat()).content.decode()


def test_pin_holds_through_its_last_day(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    today = timezone.localdate()
    add(client, copy.image, until=today.isoformat())
    pin = Pin.objects.get()
    assert pin.ends_at
    assert timezone.localdate(pin.ends_at) == today
    assert pin.ends_at > timezone.now()


def test_dialog_is_a_fragment_for_htmx_and_a_page_without_a_script(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    url = reverse("images:pin-add", args=[copy.image_id])
    fragment = client.get(url, headers=HTMX).content.decode()
    assert "<dialog data-open" in fragment
    assert "<html" not in fragment
    page = client.get(url).content.decode()
    assert "<html" in page
    assert "<dialog" not in page


def test_dialog_preselects_the_host_it_was_opened_for(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    url = reverse("images:pin-add", args=[copy.image_id])
    page = client.get(f"{url}?host={copy.host_id}").content.decode()
    assert f'<option value="{copy.host_id}" selected>' in page


def test_htmx_pin_reloads_the_page_it_was_made_on(client: Client, copy: Copy) -> None:
    signed_in(client, "maintainer")
    url = reverse("images:pin-add", args=[copy.image_id])
    response = client.post(url, {"where": "all", "reason": "keep"}, headers=HTMX)
    assert response.headers["HX-Refresh"] == "true"


def test_removing_a_pin_is_recorded(client: Client, copy: Copy) -> None:
    user = signed_in(client, "maintainer")
    pin = pins.pin_add(by=user, image=copy.image, host=copy.host, reason="for now")
    client.post(reverse("images:pin-remove", args=[pin.pk]))
    assert not Pin.objects.exists()
    assert AuditEntry.objects.get(action="pin.remove").detail == {"reason": "for now"}


def test_pin_for_every_host_is_removed_only_with_the_permission_everywhere(
    client: Client, copy: Copy, group: HostGroup
) -> None:
    pin = pins.pin_add(by=factories.make_admin(), image=copy.image, host=None, reason="law")
    signed_in(client, "maintainer", group)
    assert client.post(reverse("images:pin-remove", args=[pin.pk])).status_code == 403
    assert Pin.objects.exists()


def test_pin_on_an_invisible_host_is_not_found(client: Client, elsewhere: Copy, group: HostGroup) -> None:
    pin = pins.pin_add(by=factories.make_admin(), image=elsewhere.image, host=elsewhere.host, reason="law")
    signed_in(client, "maintainer", group)
    assert client.get(reverse("images:pin-remove", args=[pin.pk])).status_code == 404


def test_viewer_cannot_remove_a_pin(client: Client, copy: Copy) -> None:
    pin = pins.pin_add(by=factories.make_admin(), image=copy.image, host=copy.host, reason="law")
    signed_in(client, "viewer")
    assert client.post(reverse("images:pin-remove", args=[pin.pk])).status_code == 403
    assert "Remove the pin" not in client.get(reverse("images:pin-list")).content.decode()


def test_list_shows_only_pins_on_visible_hosts_and_images(
    client: Client, copy: Copy, elsewhere: Copy, group: HostGroup
) -> None:
    admin = factories.make_admin()
    hidden = factories.make_copy(elsewhere.host, "secret/thing:1")
    pins.pin_add(by=admin, image=copy.image, host=copy.host, reason="seen here")
    pins.pin_add(by=admin, image=copy.image, host=None, reason="seen everywhere")
    pins.pin_add(by=admin, image=copy.image, host=elsewhere.host, reason="unseen host")
    pins.pin_add(by=admin, image=hidden.image, host=None, reason="unseen image")
    signed_in(client, "viewer", group)
    page = client.get(reverse("images:pin-list")).content.decode()
    assert "seen here" in page
    assert "seen everywhere" in page
    assert "unseen" not in page


def test_list_of_ended_pins_is_separate(client: Client, copy: Copy) -> None:
    user = signed_in(client, "viewer")
    past = timezone.now() - timedelta(days=1)
    pins.pin_add(by=user, image=copy.image, host=None, reason="over", ends_at=past)
    pins.pin_add(by=user, image=copy.image, host=None, reason="holding")
    listed = {pin.reason for pin in client.get(reverse("images:pin-list")).context["page"]}
    ended = {pin.reason for pin in client.get(reverse("images:pin-list") + "?state=ended").context["page"]}
    assert (listed, ended) == ({"holding"}, {"over"})


def test_list_is_searched_by_image_and_by_reason(client: Client, copy: Copy) -> None:
    user = signed_in(client, "viewer")
    pins.pin_add(by=user, image=copy.image, host=None, reason="Legal hold")
    for text, count in (("API:1.4", 1), ("legal", 1), ("other", 0)):
        assert len(client.get(reverse("images:pin-list"), {"q": text}).context["page"]) == count


@pytest.mark.parametrize(("role", "is_told"), [("maintainer", True), ("operator", False)])
def test_empty_list_says_how_to_pin_to_who_may(client: Client, role: str, is_told: bool) -> None:
    signed_in(client, role)
    page = client.get(reverse("images:pin-list")).content.decode()
    assert ("Open an image and choose" in page) is is_told


def test_list_costs_the_same_queries_whatever_its_length(client: Client, group: HostGroup) -> None:
    user = signed_in(client, "viewer")
    host = factories.make_host(groups=(group,))

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            client.get(reverse("images:pin-list"))
        return len(captured)

    pins.pin_add(by=user, image=factories.make_copy(host, "a:1").image, host=host, reason="one")
    before = queries()
    for number in range(10):
        maker = factories.make_user()
        image = factories.make_copy(factories.make_host(), f"b:{number}").image
        pins.pin_add(by=maker, image=image, host=None if number % 2 else host, reason="more")
    assert queries() == before
