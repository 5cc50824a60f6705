"""Who looks, and at what, as the tests of what pages tell have them."""

from typing import Any

from django.test import Client
from django.urls import reverse

from images.models import Copy, Host
from tests import factories, pages


def copy_of(host: Host, *names: str, size: int = 1000, **fields: Any) -> Copy:
    """A copy of one layer that nothing else has."""
    return factories.make_copy(host, *names, image=factories.make_image(factories.make_layer(size)), **fields)


def address(name: str, *args: Any) -> str:
    return reverse(f"images:{name}", args=args)


def page_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    response = client.get(address(name, *args), query)
    assert response.status_code == 200, response
    return response.content.decode()


def words_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    return pages.words(page_of(client, name, *args, **query))


def ways_of(client: Client, name: str, *args: Any, **query: Any) -> dict[str, str]:
    return pages.ways(page_of(client, name, *args, **query))
