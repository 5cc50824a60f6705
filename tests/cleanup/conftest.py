"""A group with one host."""

import pytest

from images.models import Host, HostGroup
from tests import factories


@pytest.fixture
def group() -> HostGroup:
    return HostGroup.objects.create(name="ci")


@pytest.fixture
def host(group: HostGroup) -> Host:
    return factories.make_host("runner", groups=(group,))
