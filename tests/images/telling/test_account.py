"""What every page has around it, and what signing in and one's own account tell, fact by fact."""

import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from images.models import Host, Job, User
from tests.images.telling.made import address, page_of
from tests.pages import NOW, signed_in, tells, ways, words

pytestmark = pytest.mark.django_db

EVERYBODY = {
    "Overview": "/", "Images": "/images/", "Hosts": "/hosts/", "Policies": "/cleanup/policies/",
    "Runs": "/cleanup/runs/", "Jobs": "/jobs/", "Pins": "/pins/", "Audit log": "/audit/",
}  # fmt: skip


def text_of(client: Client, name: str, **query: Any) -> str:
    return client.get(reverse(f"account:{name}"), query).content.decode()


def menu(page: str) -> dict[str, str]:
    nav = page.partition('<nav class="sidebar-nav"')[2].partition("</nav>")[0]
    links = re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', nav, re.DOTALL)
    return {re.sub(r"<[^>]*>", "", text).strip(): html.unescape(to) for to, text in links}


def test_menu_leads_where_one_may_go(client: Client, ada: User) -> None:
    page = page_of(client, "overview")
    assert menu(page) == EVERYBODY | {"Registries": "/registries/", "Team": "/team/"}
    tells(page, 'aria-label="Main"', 'aria-label="Show the menu"', 'href="#main">Skip to the content<')
    signed_in(client, "viewer")
    assert menu(page_of(client, "overview")) == EVERYBODY


@pytest.mark.parametrize(
    "name", ["overview", "image-list", "host-list", "job-list", "pin-list", "audit-list"]
)
def test_menu_marks_the_page_one_is_on(client: Client, ada: User, name: str) -> None:
    page = page_of(client, name)
    assert page.count('aria-current="page"') == 1
    assert f'<a href="{address(name)}" aria-current="page">' in page


def test_every_page_has_the_own_account_at_its_foot(client: Client, ada: User) -> None:
    foot = page_of(client, "overview").partition('<div class="sidebar-foot">')[2].partition("</aside>")[0]
    assert words(foot).startswith("ada Preferences Change password Sign out")
    assert ways(foot) == {
        "Preferences": reverse("account:preferences"),
        "Change password": reverse("account:password"),
        "Sign out": reverse("account:logout"),
    }


def test_every_page_has_words_for_what_fails(client: Client, ada: User) -> None:
    tells(
        page_of(client, "overview"),
        "Drydock did not answer. Nothing was changed; reload the page and try again.",
        "You are not allowed to do this. Ask an admin for the permission, or sign in again.",
        'aria-label="Jobs of yours that have ended"',
        'data-live-left="%(duration)s left"',
    )


def test_signing_in_tells_what_to_do_without_a_password(client: Client) -> None:
    page = text_of(client, "login", next="/hosts/")
    tells(
        words(page),
        "Sign in Sign-in name Password Sign in No account, or the password is forgotten? An admin gives you a new "
        "one on the Team page. English 简体中文 Light Dark",
    )
    tells(page, 'name="next" value="/hosts/"', "<title>Sign in")
    refused = client.post(reverse("account:login"), {"username": "ada", "password": "wrong"}).content.decode()
    assert 'role="alert"' in refused


def test_own_password_page_tells_why_one_has_to_choose(client: Client, ada: User) -> None:
    tells(text_of(client, "password"), "<title>Change password")
    assert "An admin chose your password." not in text_of(client, "password")
    User.objects.filter(pk=ada.pk).update(must_change_password=True)
    tells(text_of(client, "password"), "An admin chose your password. Choose your own before you go on.")


def test_preferences_tell_where_they_are_kept(client: Client, ada: User) -> None:
    page = text_of(client, "preferences")
    tells(
        words(page),
        "Preferences",
        "Colours are kept in this browser, the language with your account. Save Change password",
    )
    assert ways(page)["Change password"] == reverse("account:password")


def test_long_list_tells_its_place(client: Client, ada: User, host: Host) -> None:
    Job.objects.bulk_create(
        Job(kind="pull", host=host, state="succeeded", created_at=NOW) for _ in range(130)
    )
    first, second = page_of(client, "job-list"), page_of(client, "job-list", page=2)
    size = int(re.findall(r"1–(\d+) of 130", first)[0])
    assert f"{size + 1}–" in second
    assert ways(first)["Next"] == "?page=2"
    assert ways(second)["Previous"] == "?page=1"
    tells(first, 'aria-label="Pages"', 'rel="next"', 'hx-target="#job_table"')
    assert "Previous" not in ways(first)


@pytest.mark.parametrize(
    ("name", "permission"),
    [("image-remove", "Remove"), ("load", "Pull"), ("build-new", "Build")],
)
def test_who_may_not_is_told_which_permission_it_takes(client: Client, name: str, permission: str) -> None:
    signed_in(client, "viewer")
    page = client.get(address(name)).content.decode()
    assert f"This needs the permission “{permission}” on some host. Ask an admin for it." in page


def test_forbidden_page_tells_what_helps(client: Client) -> None:
    signed_in(client, "viewer")
    response = client.get(address("team"))
    assert response.status_code == 403
    page = response.content.decode()
    told = "This needs the permission “Manage teams” on all hosts. Ask an admin for it."
    tells(page, "You are not allowed to do this", told)
    assert page.count("Ask an admin") == 1
    tells(page, '<a class="btn btn-primary" href="/">Back to the overview</a>')
