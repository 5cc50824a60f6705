"""What pages of cleanup say, by the names of their addresses."""

from typing import Any

from django.test import Client
from django.urls import reverse

from tests import pages


def text_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    return " ".join(client.get(reverse(f"cleanup:{name}", args=args), query).content.decode().split())


def words_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    return pages.words(text_of(client, name, *args, **query))


def ways_of(client: Client, name: str, *args: Any, **query: Any) -> dict[str, str]:
    return pages.ways(text_of(client, name, *args, **query))
