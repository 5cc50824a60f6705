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
    page = _own_part(text_of(client, name, *args, **query))
    return re.sub(r" ?\| ?", "|", _without_markup(re.sub(r"</(td|th|dd|dt)>", "|", page)))


def _own_part(page: str) -> str:
    """Without what every page has around it; a fragment is its own part."""
    return page.partition('<header class="page-header">')[2].partition('<div id="dialog">')[0] or page


def _without_markup(page: str) -> str:
    # One thing beside or below another is read as two words.
    apart = re.sub(r"(?<=>)(?=<\w)|(?=<(?:details|div|p|pre|ul)\b)", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", apart)).split())


def ways_of(client: Client, name: str, *args: Any, **query: Any) -> dict[str, str]:
    """What one can click on the page's own part, by its words, and where that leads: links and posted forms."""
    page = _own_part(text_of(client, name, *args, **query))
    links = re.findall(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', page)
    forms = re.findall(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', page)
    return {_without_markup(words): html.unescape(address) for address, words in links + forms}
