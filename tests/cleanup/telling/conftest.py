"""The clock stands still, and an admin is signed in."""

from collections.abc import Iterator

import pytest
import time_machine
from django.test import Client

from images.models import User
from tests.cleanup.telling.made import NOW, signed_in


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ada(client: Client) -> User:
    return signed_in(client, "admin", name="ada")
