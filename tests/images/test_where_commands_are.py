"""From where each command can be begun, as the table in docs/commands.md says it."""

import pytest
from django.test import Client

from images.models import Copy
from tests import factories

pytestmark = pytest.mark.django_db

LIST, ONE, SEVERAL, IMAGE, HOST = (
    "the list",
    "one ticked",
    "several ticked",
    "an image's page",
    "a host's page",
)
WHERE = {
    "/commands/pull/": (LIST, ONE, IMAGE, HOST),
    "/commands/pull-several/": (SEVERAL,),
    "/commands/tag/": (ONE, IMAGE, HOST),
    "/commands/push/": (ONE, IMAGE, HOST),
    "/commands/push-several/": (SEVERAL,),
    "/commands/save/": (ONE, SEVERAL, IMAGE, HOST),
    "/commands/copy/": (ONE, SEVERAL, IMAGE, HOST),
    "/images/remove/": (ONE, SEVERAL, IMAGE, HOST),
    "/references/": (IMAGE, HOST),
    "/builds/new/": (LIST, IMAGE, HOST),
    "/load/": (LIST, HOST),
}


@pytest.fixture
def copies() -> list[Copy]:
    host = factories.make_host("ci-1")
    return [factories.make_copy(host, f"shop/api:{number}") for number in (1, 2)]


@pytest.fixture
def addresses(copies: list[Copy]) -> dict[str, str]:
    ids = [str(copy.pk) for copy in copies]
    return {
        LIST: "/images/",
        ONE: f"/images/selection/?copies={ids[0]}",
        SEVERAL: f"/images/selection/?copies={','.join(ids)}",
        IMAGE: f"/images/{copies[0].image_id}/",
        HOST: f"/hosts/{copies[0].host_id}/",
    }


@pytest.mark.parametrize(("command", "page"), [(c, page) for c, pages in WHERE.items() for page in pages])
def test_command_can_be_begun_there(
    client: Client, addresses: dict[str, str], command: str, page: str
) -> None:
    client.force_login(factories.make_admin())
    address, _, ids = addresses[page].partition("?copies=")
    response = client.post(address, {"copies": ids}) if ids else client.get(address)
    assert response.status_code == 200
    assert command in response.content.decode()


def test_what_takes_most_stands_on_the_hosts_page_and_offers_nothing_to_who_may_only_look(
    client: Client, copies: list[Copy]
) -> None:
    Copy.objects.filter(pk=copies[1].pk).update(own_bytes=5_000_000)
    viewer = factories.make_user()
    factories.grant(viewer, "viewer")
    client.force_login(viewer)
    page = client.get(f"/hosts/{copies[0].host_id}/").content.decode()
    assert page.index("shop/api:2") < page.index("shop/api:1")
    assert not [command for command in WHERE if command in page]
