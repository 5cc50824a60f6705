"""The running site and the browser that looks at it; loaded by tests/conftest.py."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from config.programs import BASE_DIR, programs
from config.redis_server import RedisServer, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

START_SECONDS = 60
STOP_SECONDS = 15


@dataclass
class LiveSite:
    """Every program of Drydock on the test's own database: rows that the test writes show at once."""

    url: str
    environment: dict[str, str]
    logs: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        with (self.logs / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                self.commands[name], cwd=BASE_DIR, env=self.environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """Ends a program without notice: `site.kill("worker-engine")`. `start` brings it back."""
        os.killpg(self.children[name].pid, signal.SIGKILL)
        self.children[name].wait(STOP_SECONDS)

    def stop(self) -> None:
        for child in self.children.values():
            child.send_signal(signal.SIGTERM)
        for child in self.children.values():
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait(STOP_SECONDS)

    def log(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def revive(self) -> None:
        """Starts again what an earlier test killed."""
        for name, child in self.children.items():
            if child.poll() is not None:
                self.start(name)
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/account/login/", timeout=5):
                return
            assert self.children["web"].poll() is None, self.log("web")
            time.sleep(0.1)
        raise AssertionError(f"The site did not start:\n{self.log('web')}")


@pytest.fixture(scope="session")
def _site(
    django_db_setup: None, django_db_blocker: Any, work_directory: Path, redis_server: RedisServer
) -> Iterator[LiveSite]:
    port = free_port()
    data, logs = work_directory / "site", work_directory / "site" / "logs"
    logs.mkdir(parents=True)
    environment = _environment(data, redis_server.url, django_db_blocker)
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"],
        cwd=BASE_DIR, env=environment, check=True,
    )  # fmt: skip
    site = LiveSite(f"http://127.0.0.1:{port}", environment, logs)
    for program in programs(port=port, data=data, workers={"quick": 3, "engine": 2}):
        site.commands[program.name] = list(program.command)
        site.start(program.name)
    yield site
    site.stop()


def _environment(data: Path, redis_url: str, blocker: Any) -> dict[str, str]:
    with blocker.unblock():
        settings = connection.settings_dict
    url = f"sqlite:///{settings['NAME']}"
    if connection.vendor == "postgresql":
        address = f"{settings['HOST']}:{settings['PORT']}" if settings["PORT"] else settings["HOST"]
        url = f"postgres://{settings['USER']}:{settings['PASSWORD']}@{address}/{settings['NAME']}"
    from django.conf import settings as django_settings

    return os.environ | {
        "DATA_DIR": str(data), "REDIS_URL": redis_url, "DATABASE_URL": url,
        "STATIC_ROOT": str(data / "static"),
        "DJANGO_SETTINGS_MODULE": "tests.site_settings", "DEBUG": "0", "HTTPS": "0",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECRET_KEY": "a key of the tests alone",
        "ENCRYPTION_KEYS": ",".join(django_settings.ENCRYPTION_KEYS), "BUILDX": django_settings.BUILDX,
        "GIT_ALLOWS_FILES": "1",
        "PYTHONWARNINGS": "default",
    }  # fmt: skip


@pytest.fixture
def live_site(transactional_db: None, _site: LiveSite, redis_url: str) -> LiveSite:
    """The running site with an empty database and an empty Redis; sign in with `sign_in(page, user)`."""
    _site.revive()
    return _site


@pytest.fixture(scope="session")
def _browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread, and Django would refuse every query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def context(_browser: "Browser", live_site: LiveSite) -> "Iterator[BrowserContext]":
    context = _browser.new_context(
        base_url=live_site.url,
        viewport={"width": 1440, "height": 900},
        reduced_motion="reduce",
        locale="en-GB",
    )
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def page(context: "BrowserContext") -> "Iterator[Page]":
    """A page of 1440 px. Errors in the browser's console fail the test: also what the CSP refused."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.errors = errors  # type: ignore[attr-defined]
    yield page
    unexpected = [error for error in errors if not _is_expected(error)]
    assert not unexpected, unexpected


def _is_expected(error: str) -> bool:
    """Answers of 4xx and 5xx are what some tests ask for, streams end when a program is killed, and whoever goes to
    another page calls off what the last one was still asking for.
    """
    called_off = error.startswith(("htmx:sendAbort", "htmx:sendError", "htmx:afterRequest"))
    return called_off or error.startswith("Failed to load resource") or "net::ERR" in error


def sign_in(page: "Page", username: str, password: str = "a long password") -> None:
    page.goto("/account/login/")
    page.locator("input[name=username]").fill(username)
    page.locator("input[name=password]").fill(password)
    page.locator("main button[type=submit]").click()
    page.wait_for_url(lambda url: "/account/login" not in url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """What the programs logged is shown with a test that failed."""
    report = yield
    site = getattr(item, "funcargs", {}).get("live_site")
    if report.failed and site:
        for name in site.children:
            if text := site.log(name)[-3000:]:
                report.sections.append((f"log of {name}", text))
    return report
