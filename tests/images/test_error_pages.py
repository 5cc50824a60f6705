"""What a person sees instead of a page."""

import pytest
from django.template.loader import render_to_string
from django.test import Client

from tests import factories

pytestmark = pytest.mark.django_db


def test_forbidden_page_says_which_permission_is_missing(client: Client) -> None:
    client.force_login(factories.make_user())
    page = client.get("/team/").content.decode()
    assert "You are not allowed to do this" in page
    assert "Manage teams" in page


def test_missing_page_leads_back(client: Client) -> None:
    client.force_login(factories.make_user())
    response = client.get("/hosts/999/")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_stale_form_is_explained() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/account/login/", {"username": "ada"})
    assert response.status_code == 403
    assert "This form was not accepted" in response.content.decode()


def test_fault_page_needs_no_request() -> None:
    assert "Something went wrong" in render_to_string("500.html")


def test_address_that_takes_only_posts_says_so(client: Client) -> None:
    client.force_login(factories.make_user())
    response = client.get("/account/logout/")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    page = response.content.decode()
    assert "This address can not be opened" in page
    assert 'href="/"' in page
