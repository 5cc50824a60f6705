"""The addresses that are served beside Django: who is turned away there, by the same rules as everywhere."""

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from config import asgi
from images.models import Job, User
from images.transfers import upload_stream
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESSES = [
    ("GET", "/events/"),
    ("GET", "/transfers/1/"),
    ("PUT", "/transfers/1/"),
    ("PUT", upload_stream.PATH),
]
BESIDE_DJANGO = {"/events/", "/transfers/", upload_stream.PATH}


def test_table_names_every_address_beside_django() -> None:
    tree = ast.parse(Path(asgi.__file__).read_text())
    found = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and str(node.value).startswith("/")
    }
    assert found | {upload_stream.PATH} == BESIDE_DJANGO
    assert {path for _, path in ADDRESSES} == {p.replace("transfers/", "transfers/1/") for p in BESIDE_DJANGO}


def status(method: str, path: str, cookies: dict[str, str]) -> int:
    """What the request is answered with; one that is let in is given up right after that."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers = [(b"host", b"testserver"), (b"cookie", cookie.encode()), (b"content-length", b"0")]
    if token := cookies.get(settings.CSRF_COOKIE_NAME):
        headers.append((b"x-csrftoken", token.encode()))
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("testserver", 80), "scheme": "http",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(asgi.application(scope, receive, send), 10))
    return int(sent[0]["status"])


def cookies_of(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    client.get("/account/preferences/")
    return {name: morsel.value for name, morsel in client.cookies.items()}


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_nobody_is_let_in_without_a_session(method: str, path: str) -> None:
    assert status(method, path, {}) == 401
    assert status(method, path, {settings.SESSION_COOKIE_NAME: "made-up"}) == 401


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_nor_who_was_switched_off(method: str, path: str) -> None:
    user = factories.make_admin()
    cookies = cookies_of(user)
    User.objects.update(is_active=False)
    assert status(method, path, cookies) == 401


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_nor_who_has_to_choose_a_new_password_first(method: str, path: str) -> None:
    user = factories.make_admin()
    cookies = cookies_of(user)
    User.objects.update(must_change_password=True)
    assert status(method, path, cookies) in {401, 403}


@pytest.mark.parametrize(("method", "path"), [each for each in ADDRESSES if each[1] != "/events/"])
def test_what_changes_or_reveals_something_needs_the_right_and_the_token(method: str, path: str) -> None:
    host, stranger = factories.make_host(), factories.make_user()
    kind = "save" if method == "GET" else "load"
    job = Job.objects.create(kind=kind, host=host, created_by=stranger)
    path = path.replace("/1/", f"/{job.pk}/")
    cookies = cookies_of(stranger)
    assert status(method, path, cookies) in {403, 404}
    cookies = cookies_of(factories.make_admin())
    del cookies[settings.CSRF_COOKIE_NAME]
    assert status(method, path, cookies) == 403
