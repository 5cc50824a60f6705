"""Signing in at a registry, where what it says or what the account is called is out of the ordinary."""

import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from images.engine.registry_api import RegistryLogin, open_registry
from images.errors import UserError


@contextmanager
def registry(challenge: str, accepted: str) -> Iterator[str]:
    """A server that lets in whoever sends `accepted`, and challenges everybody else; gives its host."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers.get("Authorization") == accepted else 401)
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def sign_in(host: str, username: str, password: str) -> None:
    with open_registry(RegistryLogin(host=host, username=username, password=password, use_http=True)) as api:
        api.sign_in()


def test_password_of_any_script_is_sent_as_utf8() -> None:
    expected = f"Basic {b64encode('ada:päss€密'.encode()).decode()}"
    with registry('Basic realm="r"', expected) as host:
        sign_in(host, "ada", "päss€密")
        with pytest.raises(UserError) as refused:
            sign_in(host, "ada", "pass")
    assert refused.value.code == "registry_login"


@pytest.mark.parametrize("realm", ["http://[broken", "", "ftp://elsewhere/token", "//elsewhere/token"])
def test_server_for_tokens_that_can_not_be_is_told(realm: str) -> None:
    with registry(f'Bearer realm="{realm}",service="s"', "") as host, pytest.raises(UserError) as refused:
        sign_in(host, "ada", "päss€密")
    assert refused.value.code == "registry_not_one"
