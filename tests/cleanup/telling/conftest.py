"""The clock stands still, and an admin is signed in."""

import pytest
from django.test import Client

from images.models import User
from tests.pages import signed_in


@pytest.fixture(autouse=True)
def _clock(still_clock: None) -> None:
    """Ages are read too."""


@pytest.fixture
def ada(client: Client) -> User:
    return signed_in(client, "admin", name="ada")
