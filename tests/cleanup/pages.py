"""What pages say."""

import html
import re
from typing import Any

from django.test import Client
from django.urls import reverse


def text_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    return " ".join(client.get(reverse(f"cleanup:{name}", args=args), query).content.decode().split())


def words_of(client: Client, name: str, *args: Any, **query: Any) -> str:
    """The page's own part as one reads it, without markup; cells and facts end in "|"."""
    page = text_of(client, name, *args, **query)
    page = page.partition('<header class="page-header">')[2].partition('<div id="dialog">')[0] or page
    words = re.sub(r"<[^>]*>", "", re.sub(r"</(td|th|dd|dt)>", "|", page))
    return re.sub(r" ?\| ?", "|", " ".join(html.unescape(words).split()))
