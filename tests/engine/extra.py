"""Other engines than the one that most tests run on: a private Podman, and any that are started by hand.

DRYDOCK_EXTRA_ENGINES names the latter: "docker26=unix:///tmp/a.sock podman5=tcp://127.0.0.1:8080". Every one is
emptied, so name none that holds anything. docs/engines.md has what was found.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from config.demo import images as samples

BY_HAND = dict(pair.split("=", 1) for pair in os.environ.get("DRYDOCK_EXTRA_ENGINES", "").split())
EXTRA: list[Any] = [pytest.param("podman", marks=pytest.mark.podman), *sorted(BY_HAND)]
"""Parameters for tests; the fixture `address_of` gives the address of each."""

AddressOf = Callable[[str], str]


@contextlib.contextmanager
def emptied(address: str) -> Iterator[Any]:
    client: Any = docker.APIClient(address, version="auto", timeout=60)
    with contextlib.closing(client) as api:
        for container in api.containers(all=True):
            api.remove_container(container["Id"], force=True)
        for _ in range(5):
            for image in api.images():
                with contextlib.suppress(docker.errors.APIError):
                    api.remove_image(image["Id"], force=True)
        yield api


def load(api: Any, *images: samples.Image) -> None:
    """Podman says what it loaded in other words, so the engine is only asked to load."""
    for image in images:
        list(api.load_image(samples.archive([image])))
