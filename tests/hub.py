"""A small registry of our own, for what a real one can not be made to do: limits, tokens, and answers that are wrong.

It speaks as Docker Hub does: a token from another address, how many pulls are left with every manifest, and
`toomanyrequests` when there are none.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

DIGEST = f"sha256:{'d1' * 32}"


class Hub:
    """What it has (`digests` by "path:tag") and what it was asked; change it while it runs."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.digests = {"library/redis:7": DIGEST}
        self.limit, self.remaining = 100, 76
        self.account = ("alice", "s3cret")
        self.wants_account = False
        self.is_broken = False
        self.realm = f"http://{self.host}/token"
        self.asked: list[str] = []
        self.scopes: list[str] = []

    def is_exhausted(self) -> bool:
        return self.remaining <= 0


@contextmanager
def running_hub() -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(server.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # who asks with TLS, as engines do first, is told so in HTTP

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        pass

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        hub, url = self.hub, urlsplit(self.path)
        hub.asked.append(f"{self.command} {url.path}")
        if url.path == "/token":
            return self._token(parse_qs(url.query))
        if hub.is_broken:
            return self._answer(502, {"errors": [{"code": "UNAVAILABLE"}]})
        if self.headers.get("Authorization") != "Bearer a-token":
            challenge = f'Bearer realm="{hub.realm}",service="{hub.host}"'
            return self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]}, {"WWW-Authenticate": challenge})
        if url.path == "/v2/":
            return self._answer(200, {})
        return self._manifest(url.path)

    def _token(self, query: dict[str, list[str]]) -> None:
        self.hub.scopes += query.get("scope", [""])
        given = self.headers.get("Authorization", "")
        right = "Basic " + base64.b64encode(":".join(self.hub.account).encode()).decode()
        if (given and given != right) or (self.hub.wants_account and not given):
            return self._answer(401, {"details": "incorrect username or password"})
        return self._answer(200, {"token": "a-token", "expires_in": 300})

    def _manifest(self, path: str) -> None:
        hub = self.hub
        limits = {
            "RateLimit-Limit": f"{hub.limit};w=21600",
            "RateLimit-Remaining": f"{max(hub.remaining, 0)};w=21600",
        }
        if hub.is_exhausted():
            error = {"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}
            return self._answer(429, {"errors": [error]}, limits)
        name, _, tag = path.removeprefix("/v2/").partition("/manifests/")
        digest = hub.digests.get(f"{name}:{tag}")
        if digest is None:
            return self._answer(404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]}, limits)
        if self.command == "GET":
            hub.remaining -= 1  # a HEAD is not counted, as on Docker Hub
        return self._answer(200, {}, limits | {"Docker-Content-Digest": digest})

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
