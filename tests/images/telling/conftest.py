"""The clock stands still; an admin is signed in; a host with an image in use, one pinned, and some that may go."""

import pytest
from django.test import Client

from images.models import Host, HostGroup, User
from tests import factories
from tests.pages import NOW, signed_in


@pytest.fixture(autouse=True)
def _clock(still_clock: None) -> None:
    """Ages are read too."""


@pytest.fixture
def ada(client: Client) -> User:
    return signed_in(client, "admin", name="ada")


@pytest.fixture
def host(group: HostGroup) -> Host:
    return factories.make_host("runner", groups=(group,), state_since=NOW, synced_at=NOW)
