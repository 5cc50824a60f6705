"""The health checks that containers run: each asked of something real."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from config import health
from config.redis_server import free_port


class Site(HTTPServer):
    """Answers with `status`, and keeps what was asked."""

    status = 200
    path = ""
    headers: dict[str, str]


class Answer(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.path, self.server.headers = self.path, dict(self.headers.items())
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with Site(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        monkeypatch.setattr(health, "ADDRESS", f"http://127.0.0.1:{server.server_port}/health/")
        yield server
        server.shutdown()


def test_web_that_answers_is_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "drydock.example.com, other.example.com")
    assert health.main("web") == 0
    assert site.path == "/health/"
    assert site.headers["Host"] == "drydock.example.com"
    assert site.headers["X-Forwarded-Proto"] == "https", "or it would be sent to https"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_web_that_answers_with_an_error_is_not_well(site: Site, status: int) -> None:
    site.status = status
    assert health.main("web") == 1


def test_web_that_is_not_there_is_not_well_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "ADDRESS", f"http://127.0.0.1:{free_port()}/health/")
    assert health.main("web") == 1
    assert "refused" in capsys.readouterr().err


def test_beat_is_well_while_it_writes_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert health.main("beat") == 1, "it has not begun"
    schedule = tmp_path / "beat.db"
    schedule.write_text("")
    assert health.main("beat") == 0
    long_ago = time.time() - health.BEAT_SECONDS - 5
    os.utime(schedule, (long_ago, long_ago))
    assert health.main("beat") == 1, "it writes no more"


def test_watch_is_well_while_it_goes_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert health.main("watch") == 1, "it has not begun"
    (tmp_path / "watch").touch()
    assert health.main("watch") == 0
    long_ago = time.time() - health.WATCH_SECONDS - 5
    os.utime(tmp_path / "watch", (long_ago, long_ago))
    assert health.main("watch") == 1, "it hangs"


def test_worker_without_redis_is_not_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings")
    monkeypatch.setenv("WORKER_QUEUE", "quick")
    assert health.main("worker") == 1
