"""What pages say."""

from typing import Any

from django.test import Client
from django.urls import reverse


def text_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    return " ".join(client.get(reverse(f"cleanup:{name}", args=args), query).content.decode().split())
