"""A group with one host, who may do what there, and an admin."""

import pytest
from django.test import Client

from images.models import Host, HostGroup, User
from tests import factories


@pytest.fixture
def group() -> HostGroup:
    return HostGroup.objects.create(name="ci")


@pytest.fixture
def host(group: HostGroup) -> Host:
    return factories.make_host("ci-1", groups=(group,))


@pytest.fixture
def ada(group: HostGroup) -> User:
    """May view and remove on the group's hosts."""
    ada = factories.make_user("ada")
    factories.grant(ada, "maintainer", group)
    return ada


@pytest.fixture
def admin(client: Client) -> User:
    """Signed in."""
    user = factories.make_admin()
    client.force_login(user)
    return user


@pytest.fixture
def admin_client(client: Client) -> Client:
    client.force_login(factories.make_admin())
    return client


@pytest.fixture
def runner(group: HostGroup) -> Host:
    """In the group, beside `host`."""
    return factories.make_host("runner", groups=(group,))


@pytest.fixture
def vault() -> Host:
    """In no group."""
    return factories.make_host("vault")
