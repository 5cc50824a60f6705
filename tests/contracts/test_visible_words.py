"""What the pages show in another language: no English is left, marked for translation or not."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from images.models import User
from tests.contracts.test_query_counts import World
from tests.contracts.test_query_counts import admin as admin
from tests.contracts.test_query_counts import world as world

pytestmark = pytest.mark.django_db

SILENT = {"script", "style", "code", "pre", "template", "svg", "option", "textarea"}
SPOKEN = {"title", "aria-label", "placeholder", "alt", "data-confirm"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
# A word that stands by itself: what touches a digit or one of these signs is part of a name, path or address.
WORD = re.compile(r"(?<![\w./:@*<#=-])[A-Za-z][a-z]{2,}(?![\w/:@*>#=-]|\.\w)")
# What is the same in every language: products, formats, fields, commands.
NAMES = {
    "Bitbucket", "Docker", "Dockerfile", "Drydock", "Forgejo", "Git", "Gitea", "Hub", "JavaScript", "UTC",
    "Windows", "bzip", "cron", "docker", "git", "gzip", "http", "image", "inspect", "latest", "load", "prune", "root",
    "save", "sock", "ssh", "tar", "zip", "zstd",
}  # fmt: skip
# What this test's own rows are called.
ROWS = {
    "acme", "admin", "api", "everywhere", "group", "here", "host", "item", "mine", "of", "policy", "production",
    "registry", "robot", "team", "user",
}  # fmt: skip


class Spoken(HTMLParser):
    """Collects what a person reads or hears of a page, without what is code or a name."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found += [values[name] or "" for name in SPOKEN & set(values)]
        if tag not in VOID and (
            self.silent or tag in SILENT or "mono" in (values.get("class") or "").split()
        ):
            self.silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.silent:
            while self.silent.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.found.append(data)


def foreign_words(page: str) -> list[str]:
    parser = Spoken()
    parser.feed(page)
    return [" ".join(text.split()) for text in parser.found if set(WORD.findall(text)) - NAMES - ROWS]


@pytest.fixture
def _english_again() -> Iterator[None]:
    """A request leaves its language behind in the thread."""
    with translation.override("en"):
        yield


@pytest.mark.usefixtures("_english_again")
def test_pages_in_chinese_have_no_english_left(world: World, admin: User) -> None:
    client, left, seen = Client(), dict[str, list[str]](), 0
    client.force_login(admin)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    for page in sorted(world.pages()):
        response: Any = client.get(world.address(page))
        if "html" in response.headers["Content-Type"] and not response.streaming:
            seen += 1
            if found := foreign_words(response.content.decode()):
                left[page] = found
    assert seen > 65
    assert not left


def test_test_itself_finds_what_is_not_translated(world: World, admin: User) -> None:
    client = Client()
    client.force_login(admin)
    assert foreign_words(client.get(world.address("images:image-list")).content.decode())
