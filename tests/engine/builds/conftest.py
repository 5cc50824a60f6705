"""An engine with a base image, registered; the folder for what was sent; steps that outlive their engine."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Host, User
from tests import factories
from tests.engine.builds.building import BASE, sleepers
from tests.engine.freed import registered


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> Path:
    settings.SPOOL_DIR = str(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def host(engine: PrivateEngine) -> Host:
    with engine.client() as api:
        demo.load(api, Image([BASE], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]}))
    return registered(engine.address)


@pytest.fixture
def person() -> User:
    return factories.make_user()


@pytest.fixture
def no_sleepers() -> Iterator[None]:
    """A step of BuildKit outlives an engine that was killed: it is nobody's child then."""
    yield
    for pid in sleepers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
