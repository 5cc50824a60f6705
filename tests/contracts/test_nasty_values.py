"""Whatever somebody writes into an address, the answer is a page or a refusal, never a failure of ours."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from django import forms
from django.test import Client

from cleanup.forms import filters
from images.forms.audit import AuditFilterForm
from images.forms.fleet import FleetForm
from images.forms.hosts import HostFilterForm
from images.forms.jobs import JobFilterForm
from images.forms.pins import PinFilterForm
from tests import factories
from tests.contracts.test_urls import TABLE, World

pytestmark = pytest.mark.django_db

BASE_DIR = Path(__file__).resolve().parent.parent.parent
FORMS: tuple[type[forms.Form], ...] = (
    AuditFilterForm, FleetForm, HostFilterForm, JobFilterForm, PinFilterForm,
    filters.PlanFilterForm, filters.RunFilterForm, filters.RunItemFilterForm,
)  # fmt: skip
READ = re.compile(r"""request\.GET\.get(?:list)?\("(\w+)\"""")
PARAMETERS = sorted(
    {name for form in FORMS for name in form.base_fields}
    | {
        name
        for room in ("images", "cleanup")
        for path in (BASE_DIR / room).rglob("*.py")
        for name in READ.findall(path.read_text())
    }
    | {"host", "hosts", "reference"}
)
# As they stand in an address: percent-encoded bytes, since not all of them are text.
VALUES = {
    "above 32 bits": str(2**31),
    "above 64 bits": str(2**63),
    "far above": "9" * 30,
    "too many digits for int()": "9" * 5000,
    "negative": "-1",
    "zero": "0",
    "not a number": "NaN",
    "infinite": "1e999",
    "NUL": "a%00b",
    "number and NUL": "1%00",
    "other digits": quote("٣²"),
    "lone surrogate": "%ED%A0%80abc",
    "not UTF-8": "%ff%fe",
    "very long": "a" * 4000,
    "quotes": quote("\"'`\\%_*"),
    "the last day": "9999-12-31",
    "the first day": "0001-01-01",
    "up a folder": quote("../../etc/passwd"),
}
LONGER_THAN_SQLITE_COMPARES = "a" * 60_000
# The health check fails here, and should: nothing that it looks for is running.
GET_PAGES = [n for n, address in TABLE.items() if "GET" in address.methods and n != "images:health"]
HUGE = (2**31, 2**63 - 1, 2**63, 10**30, int("9" * 4000))


@pytest.fixture
def world() -> World:
    return World()


def admin_client() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(factories.make_admin())
    return client


@pytest.mark.parametrize("name", GET_PAGES)
def test_no_value_in_an_address_makes_a_page_fail(world: World, name: str) -> None:
    client = admin_client()
    if name == "images:host-check-result":
        client.force_login(world.person)  # a check is its starter's alone
    url = world.url(name)
    assert client.get(f"{url}?q={LONGER_THAN_SQLITE_COMPARES}").status_code < 500
    for kind, value in VALUES.items():
        together = client.get(f"{url}?{'&'.join(f'{each}={value}' for each in PARAMETERS)}")
        assert together.status_code < 500, kind
        if together.status_code >= 400:
            # Refused for one of them: then each of the others has not been looked at.
            for parameter in PARAMETERS:
                assert client.get(f"{url}?{parameter}={value}").status_code < 500, f"{parameter}: {kind}"


def test_no_host_in_an_address_makes_the_check_of_an_address_fail(world: World) -> None:
    client = admin_client()
    for kind, value in VALUES.items():
        assert client.post(f"/hosts/check/?host={value}").status_code < 500, kind


NUMBERED = [
    name
    for name, address in TABLE.items()
    if address.of not in ("", "upload") or any("pk" in key for key, _ in address.arguments)
]
"""An upload has no number but a UUID."""


@pytest.mark.parametrize("name", NUMBERED)
def test_number_that_no_row_can_have_is_not_found(world: World, name: str) -> None:
    client = admin_client()
    url = world.url(name)
    numbers = list(re.finditer(r"(?<=/)\d+(?=/)", url))
    assert numbers
    for method in TABLE[name].methods.lower().split():
        for huge in HUGE:
            for found in numbers:
                wrong = f"{url[: found.start()]}{huge}{url[found.end() :]}"
                assert getattr(client, method)(wrong).status_code == 404, f"{method} {wrong[:60]}"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("cleanup:policy-add", "hosts"),
        ("cleanup:policy-add", "groups"),
        ("images:group-add", "hosts"),
        ("images:host-add", "groups"),
        ("images:user-add", "teams"),
        ("images:user-teams", "teams"),
        ("images:team-add", "members"),
        ("images:grant-add", "group"),
        ("images:command", "hosts"),
        ("images:image-selection", "copy"),
        ("images:image-remove", "copies"),
        ("images:pin-add", "where"),
    ],
)
def test_no_number_in_a_form_makes_it_fail(world: World, name: str, field: str) -> None:
    client = admin_client()
    for kind, value in VALUES.items():
        body = f"{field}={value}"
        response = client.post(world.url(name), body, content_type="application/x-www-form-urlencoded")
        assert response.status_code < 500, kind
