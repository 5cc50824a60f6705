"""Fixtures of engine tests."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from config.demo.engines import PrivateEngine
from images.hosts.watch import Watcher
from images.jobs import life
from tests.conftest import run
from tests.engine.workers import Bench, bench


@pytest.fixture
def small_disk(work_directory: Path) -> Iterator[Callable[[], PrivateEngine]]:
    """Starts an engine whose data is on a file system of 200 MB."""
    directory = Path(tempfile.mkdtemp(prefix="small-", dir=work_directory))
    made: list[PrivateEngine] = []

    def make() -> PrivateEngine:
        # Mounts below an engine's directory are taken for leftovers of its own, so it is the mount itself.
        image, data = directory / "disk", directory / "engine"
        data.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(200_000_000)
        run("mkfs.ext4", "-q", str(image))
        run("mount", "-o", "loop", str(image), str(data))
        made.append(PrivateEngine(directory / "engine", "small"))
        return made[0].start()

    yield make
    for engine in made:
        engine.stop()
    subprocess.run(["umount", "--lazy", str(directory / "engine")], check=False, capture_output=True)


@pytest.fixture
def workers(tmp_path: Path, redis_url: str, settings: Any) -> Iterator[Bench]:
    with bench(tmp_path, redis_url, settings) as made, mock.patch.object(life, "dispatch"):
        yield made


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher("first")
    yield watcher
    watcher.release()
