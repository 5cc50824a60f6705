"""`make demo`, all of it: from nothing to the pages, a Ctrl-C, a second start, and a kill."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from config.demo import content, seed
from config.demo.engines import PrivateEngine
from tests.conftest import free_port
from tests.running import Running

pytestmark = [pytest.mark.engine, pytest.mark.services]

FIRST_SECONDS = 180  # what a newcomer was promised, packages included
END_SECONDS = 45
READY = "Ctrl-C stops it"


@pytest.fixture
def data(work_directory: Path) -> Path:
    return work_directory / "demo"


@pytest.fixture
def start(data: Path) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def make() -> Running:
        started.append(Running(data, free_port(), "config.demo"))
        return started[-1]

    yield make
    for running in started:
        running.process.kill()
    for engine in engines(data):
        engine.destroy()
    for running in started:
        running.kill()
    shutil.rmtree(data, ignore_errors=True)


def engines(data: Path) -> list[PrivateEngine]:
    """As the demo itself finds them again, to see what it left of them."""
    return [PrivateEngine(data / "engines" / each.name, each.name) for each in content.ENGINES]


def left_of(data: Path) -> list[str]:
    """What is still there of the engines: daemons, containers, mounts, sockets."""
    found = [f"process {pid} of {engine.name}" for engine in engines(data) for pid in engine._own_processes()]
    folders = [folder for engine in engines(data) for folder in (engine.directory, engine.runtime)]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found += [mount for mount in mounts if mount.startswith(tuple(f"{folder}/" for folder in folders))]
    return found + [str(engine.runtime) for engine in engines(data) if engine.runtime.exists()]


def password_of(site: Running) -> str:
    found = re.search(r"admin +admin / (\S+)\n +colleague +sam / (\S+) ", site.output)
    assert found, site.output
    assert found[1] == found[2]
    return found[1]


def signed_in(site: Running, name: str, password: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    page = session.get(f"{site.url}/account/login/", timeout=20)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
    answer = session.post(f"{site.url}/account/login/", form, timeout=20, headers={"Referer": site.url})
    assert answer.ok
    assert answer.url == f"{site.url}/"
    return session


def images_of(site: Running, session: requests.Session) -> list[dict[str, Any]]:
    answer = session.get(f"{site.url}/images/export/json/", timeout=20)
    rows: list[dict[str, Any]] = answer.json()
    return rows


def test_demo_shows_the_scene_starts_again_and_leaves_nothing_behind(
    data: Path, start: Callable[[], Running]
) -> None:
    site = start()
    site.until(lambda: READY in site.output, FIRST_SECONDS)
    assert left_of(data), "a check that finds nothing here would find nothing later"
    assert f"Drydock is at http://localhost:{site.port}/" in site.output
    password = password_of(site)
    with signed_in(site, "admin", password) as admin:
        images = images_of(site, admin)
        assert {image["host"] for image in images} == {"prod-eu-1", "prod-eu-2", "ci-runner-1"}
        assert len({image["engine_id"] for image in images}) >= 35
        policies = admin.get(f"{site.url}/cleanup/policies/", timeout=20).text
        assert "Unused for 30 days" in policies
        assert "Nightly: dangling images" in policies
    with signed_in(site, seed.COLLEAGUE, password) as colleague:
        assert len(images_of(site, colleague)) == len(images), "viewer on production, operator on ci"
        assert colleague.get(f"{site.url}/hosts/add/", timeout=20).status_code == 403

    assert site.stop() == 0
    assert site.output.endswith("\nStopping ...\nStopped.\n"), site.output
    assert site.processes() == {}
    assert left_of(data) == []

    again = start()
    again.until(lambda: READY in again.output)
    assert "Filling" in site.output
    assert "Filling" not in again.output
    assert password_of(again) == password
    with signed_in(again, "admin", password) as admin:
        ids = sorted(image["engine_id"] for image in images_of(again, admin))
    assert ids == sorted(image["engine_id"] for image in images)

    again.process.kill()
    again.process.wait(10)
    deadline = time.monotonic() + END_SECONDS
    while left := [*again.processes().values(), *left_of(data)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
