"""Who looks at a page, what it says, as one reads it, and what one can click on it."""

import html
import re
from datetime import UTC, datetime

from django.test import Client

from images.models import HostGroup, User
from tests import factories

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
"""Where `still_clock` stands."""


def signed_in(client: Client, role: str = "viewer", group: HostGroup | None = None, name: str = "") -> User:
    """Somebody with this role, everywhere or on one group, whose browser the client is from now on."""
    user = factories.make_user(name) if name else factories.make_user()
    factories.grant(user, role, group)
    client.force_login(user)
    return user


def words(page: str) -> str:
    """The page's own part without markup; cells and facts end in "|"."""
    page = _own_part(" ".join(page.split()))
    return re.sub(r" ?\| ?", "|", _without_markup(re.sub(r"</(td|th|dd|dt)>", "|", page)))


def ways(page: str) -> dict[str, str]:
    """What one can click on the page's own part, by its words, and where that leads: links and posted forms."""
    page = _own_part(" ".join(page.split()))
    links = re.findall(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', page)
    forms = re.findall(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', page)
    return {_without_markup(text): html.unescape(address) for address, text in links + forms}


def tells(page: str, *facts: str) -> None:
    missing = [fact for fact in facts if fact not in page]
    assert not missing, page


def _own_part(page: str) -> str:
    """Without what every page has around it; a fragment is its own part."""
    return page.partition('<header class="page-header">')[2].partition('<div id="dialog">')[0] or page


def _without_markup(page: str) -> str:
    # One thing beside or below another is read as two words.
    apart = re.sub(r"(?<=>)(?=<\w)|(?=<(?:details|div|p|pre|ul)\b)", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", apart)).split())
