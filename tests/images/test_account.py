"""Signing in, the rate limit, one's own account."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from images.models import AuditEntry, SignInAttempt, User
from images.people import sign_in
from tests import factories

pytestmark = pytest.mark.django_db
LOGIN = "/account/login/"


def sign_in_as(client: Client, name: str, password: str = "a long password", **extra: str) -> int:
    return client.post(LOGIN, {"username": name, "password": password}, **extra).status_code  # type: ignore[arg-type]


def test_right_password_signs_in_and_goes_where_one_wanted_to_go(client: Client) -> None:
    factories.make_user("ada")
    response = client.post(f"{LOGIN}?next=/hosts/", {"username": "ada", "password": "a long password"})
    assert (response.status_code, response.headers["Location"]) == (302, "/hosts/")
    assert client.session["_auth_user_id"]


def test_sign_in_does_not_follow_an_address_of_another_site(client: Client) -> None:
    factories.make_user("ada")
    response = client.post(
        LOGIN, {"username": "ada", "password": "a long password", "next": "https://evil.example/"}
    )
    assert response.headers["Location"] == "/"


def test_session_key_changes_at_sign_in(client: Client) -> None:
    factories.make_user("ada")
    session = client.session
    session["before"] = 1
    session.save()
    before = session.session_key
    sign_in_as(client, "ada")
    assert client.session.session_key != before


@pytest.mark.parametrize("name", ["ada", "nobody", "gone"])
def test_every_wrong_sign_in_says_the_same(client: Client, name: str) -> None:
    factories.make_user("ada")
    factories.make_user("gone", is_active=False)
    password = "a long password" if name == "gone" else "wrong"
    response = client.post(LOGIN, {"username": name, "password": password})
    assert "The name or the password is wrong." in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_sixth_wrong_password_has_to_wait_and_even_the_right_one_waits(client: Client) -> None:
    factories.make_user("ada")
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS):
        sign_in_as(client, "ada", "wrong")
    response = client.post(LOGIN, {"username": "Ada", "password": "a long password"})
    assert "Too many attempts to sign in. Wait 10 min" in response.content.decode()
    assert sign_in_as(client, "ada") == 200


def test_the_wait_ends_although_somebody_keeps_trying(client: Client) -> None:
    factories.make_user("ada")
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        for _ in range(sign_in.PER_PERSON_AND_ADDRESS):
            sign_in_as(client, "ada", "wrong")
        for _ in range(20):
            clock.shift(timedelta(seconds=20))
            assert sign_in_as(client, "ada") == 200
        clock.move_to(start + sign_in.WINDOW + timedelta(seconds=1))
        assert sign_in_as(client, "ada") == 302


def test_another_address_is_not_held_back_for_the_same_person(client: Client) -> None:
    factories.make_user("ada")
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS + 1):
        sign_in_as(client, "ada", "wrong", REMOTE_ADDR="203.0.113.9")
    assert sign_in_as(client, "ada", REMOTE_ADDR="198.51.100.7") == 302


def test_one_address_guessing_many_names_has_to_wait(client: Client) -> None:
    factories.make_user("ada")
    for number in range(sign_in.PER_ADDRESS):
        sign_in_as(client, f"guess{number}", "wrong", REMOTE_ADDR="203.0.113.9")
    assert sign_in_as(client, "ada", REMOTE_ADDR="203.0.113.9") == 200
    assert sign_in_as(client, "ada", REMOTE_ADDR="203.0.113.10") == 302


def test_too_many_guesses_from_one_address_are_only_spaced_out(client: Client) -> None:
    factories.make_user("ada")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for number in range(sign_in.PER_ADDRESS):
            sign_in_as(client, f"guess{number}", "wrong")
        assert sign_in_as(client, "ada") == 200
        clock.shift(sign_in.SPACING)
        assert sign_in_as(client, "ada") == 302


def test_guesses_at_one_name_from_many_addresses_are_spaced_out(client: Client) -> None:
    factories.make_user("ada")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for number in range(sign_in.PER_NAME):
            sign_in_as(client, "ada", "wrong", REMOTE_ADDR=f"203.0.113.{number}")
        assert sign_in_as(client, "ada", REMOTE_ADDR="198.51.100.7") == 200
        clock.shift(sign_in.SPACING)
        assert sign_in_as(client, "ada", REMOTE_ADDR="198.51.100.7") == 302


def test_nobody_locks_out_a_person_who_comes_with_a_browser_they_signed_in_with(client: Client) -> None:
    """Behind a proxy all have one address, so that anybody's guesses look like the person's own."""
    factories.make_user("ada")
    assert sign_in_as(client, "ada") == 302
    client.post("/account/logout/")
    stranger = Client()
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS):
        sign_in_as(stranger, "ada", "wrong")
    for number in range(sign_in.PER_ADDRESS):
        sign_in_as(stranger, f"guess{number}", "wrong")
    assert sign_in_as(stranger, "ada") == 200, "who has no such browser waits"
    assert sign_in_as(client, "ada") == 302


def test_a_known_browser_guesses_a_few_times_too_and_for_its_own_person_only(client: Client) -> None:
    factories.make_user("ada")
    factories.make_user("ben")
    sign_in_as(client, "ada")
    client.post("/account/logout/")
    for _ in range(sign_in.PER_DEVICE):
        sign_in_as(client, "ada", "wrong")
    assert sign_in_as(client, "ada") == 200
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS):
        sign_in_as(client, "ben", "wrong")
    assert sign_in_as(client, "ben") == 200


@pytest.mark.parametrize("spoilt", ["forged", "new password"])
def test_browser_with_a_cookie_that_is_worth_nothing_waits_like_any_other(
    client: Client, spoilt: str
) -> None:
    ada = factories.make_user("ada")
    sign_in_as(client, "ada")
    client.post("/account/logout/")
    if spoilt == "forged":
        client.cookies[sign_in.DEVICE_COOKIE] = client.cookies[sign_in.DEVICE_COOKIE].value[:-1] + "_"
    else:
        ada.set_password("another password")
        ada.save()
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS):
        sign_in_as(client, "ada", "wrong")
    assert sign_in_as(client, "ada", "a long password" if spoilt == "forged" else "another password") == 200


def test_addresses_of_one_ipv6_network_count_together() -> None:
    assert sign_in.network_of("2001:db8::1") == sign_in.network_of("2001:db8::ffff:1")
    assert sign_in.network_of("2001:db8::1") != sign_in.network_of("2001:db8:0:1::1")


def test_signing_in_with_an_own_account_does_not_reset_the_count_of_the_address(client: Client) -> None:
    factories.make_user("mallory")
    for number in range(sign_in.PER_ADDRESS - 1):
        sign_in_as(client, f"guess{number}", "wrong")
    assert sign_in_as(client, "mallory") == 302
    client.logout()
    sign_in_as(client, "one more", "wrong")
    assert sign_in_as(client, "mallory") == 200


def test_success_forgets_the_failures_of_the_person(client: Client) -> None:
    factories.make_user("ada")
    for _ in range(3):
        for _ in range(sign_in.PER_PERSON_AND_ADDRESS - 1):
            sign_in_as(client, "ada", "wrong")
        assert sign_in_as(client, "ada") == 302
        client.logout()


def test_old_attempts_are_deleted(client: Client) -> None:
    SignInAttempt.objects.create(key="x", at=timezone.now() - 2 * sign_in.WINDOW)
    sign_in_as(client, "ada", "wrong")
    assert not SignInAttempt.objects.filter(key="x").exists()


def test_failed_sign_in_with_an_unknown_name_keeps_no_name(client: Client) -> None:
    sign_in_as(client, "my secret password", "ada")
    assert AuditEntry.objects.get().target == ""


def test_every_way_a_sign_in_ends_is_written_down_with_the_address_it_came_from(client: Client) -> None:
    factories.make_user("ada")
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS + 1):
        sign_in_as(client, "ada", "wrong", REMOTE_ADDR="192.0.2.7")
    sign_in_as(client, "ada", REMOTE_ADDR="192.0.2.8")
    told = AuditEntry.objects.order_by("pk").values_list("outcome", "detail__address")
    tries = [("failed", "192.0.2.7")] * sign_in.PER_PERSON_AND_ADDRESS
    assert list(told) == [*tries, ("refused", "192.0.2.7"), ("done", "192.0.2.8")]


def test_sign_out_needs_post(client: Client) -> None:
    client.force_login(factories.make_user("ada"))
    assert client.get("/account/logout/").status_code == 405
    assert client.post("/account/logout/").headers["Location"] == LOGIN
    assert "_auth_user_id" not in client.session


def test_who_must_choose_a_password_gets_no_other_page(client: Client) -> None:
    user = factories.make_user("ada", must_change_password=True)
    client.force_login(user)
    assert client.get("/hosts/").headers["Location"] == "/account/password/"
    assert (
        client.get("/hosts/", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/account/password/"
    )
    new = "another long password"
    client.post(
        "/account/password/", {"old_password": "a long password", "new_password1": new, "new_password2": new}
    )
    user = User.objects.get(username="ada")
    assert user.check_password(new)
    assert not user.must_change_password
    assert client.get("/hosts/").status_code == 200


def test_password_that_an_admin_chose_is_not_kept(client: Client) -> None:
    client.force_login(factories.make_user("ada", must_change_password=True))
    same = {
        "old_password": "a long password",
        "new_password1": "a long password",
        "new_password2": "a long password",
    }
    page = client.post("/account/password/", same).content.decode()
    assert "This is the password you have now. Choose one that nobody else knows." in page
    assert User.objects.get(username="ada").must_change_password


def test_changing_the_password_signs_out_the_other_sessions(client: Client) -> None:
    user = factories.make_user("ada")
    other = Client()
    other.force_login(user)
    client.force_login(user)
    new = "another long password"
    client.post(
        "/account/password/", {"old_password": "a long password", "new_password1": new, "new_password2": new}
    )
    assert client.get("/account/preferences/").status_code == 200
    assert other.get("/account/preferences/").status_code == 302


def test_password_change_needs_the_old_one(client: Client) -> None:
    client.force_login(factories.make_user("ada"))
    new = "another long password"
    client.post("/account/password/", {"old_password": "no", "new_password1": new, "new_password2": new})
    assert User.objects.get(username="ada").check_password("a long password")


def test_old_password_can_not_be_guessed_on_the_page_that_changes_it(client: Client) -> None:
    client.force_login(factories.make_user("ada"))
    answer = {"new_password1": "another long password", "new_password2": "another long password"}
    for _ in range(sign_in.PER_PERSON_AND_ADDRESS):
        client.post("/account/password/", answer | {"old_password": "wrong"})
    page = client.post("/account/password/", answer | {"old_password": "a long password"}).content.decode()
    assert "Too many attempts to sign in. Wait 10 min" in page
    assert User.objects.get(username="ada").check_password("a long password")


def test_anonymous_visitor_chooses_the_language(client: Client) -> None:
    client.post("/account/language/", {"language": "zh-hans", "next": LOGIN})
    assert '<html lang="zh-hans"' in client.get(LOGIN).content.decode()


def test_unknown_language_is_ignored(client: Client) -> None:
    client.post("/account/language/", {"language": "../../etc", "next": LOGIN})
    assert '<html lang="en"' in client.get(LOGIN).content.decode()


def test_preferred_language_of_the_person_wins_over_the_browser(client: Client) -> None:
    user = factories.make_user("ada")
    client.force_login(user)
    client.post("/account/preferences/", {"language": "zh-hans", "theme": "dark"})
    page = client.get("/account/preferences/", headers={"Accept-Language": "en"}).content.decode()
    assert '<html lang="zh-hans" data-theme="dark"' in page
    client.cookies.clear()
    client.force_login(user)
    assert '<html lang="zh-hans"' in client.get("/account/preferences/").content.decode()


def test_ended_session_sends_the_whole_page_to_sign_in(client: Client) -> None:
    response = client.get(
        reverse("images:host-list"),
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/hosts/?state=offline"},
    )
    assert response.headers["HX-Redirect"] == f"{LOGIN}?next=/hosts/%3Fstate%3Doffline"
