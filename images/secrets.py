"""Hides what looks like a secret in an image's configuration, history and raw document. Pure."""

import re
from collections.abc import Iterable
from typing import Any

MASK = "••••••"
MOST_HIDDEN = 1000
_WORDS = r"(?:PASS(?:WORD|WD|PHRASE)?|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|AUTH|KEY)"
# A whole word of the name, so that MONKEY and KEYBOARD stay readable.
_NAME = re.compile(rf"(?:^|[_\-.]){_WORDS}S?(?:$|[_\-.\d])", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"([A-Za-z_][\w\-.]*)=(\"[^\"]*\"|'[^']*'|\S+)")
# Credentials inside an address: scheme://user:password@machine.
_ADDRESS = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+(@)")


def is_secret(name: str) -> bool:
    return bool(_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)))


class Hiding:
    """Hides values in a line of text, each line of them by itself where they have several.

    What is shorter than four characters stays: it would blot out half of the text and was no secret. Of very many
    lines the longest are looked for: each costs time on every line of a log.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        lines = {line.strip() for value in values for line in value.splitlines()}
        hidden = sorted((line for line in lines if len(line) >= 4), key=len, reverse=True)[:MOST_HIDDEN]
        self.longest = len(hidden[0]) if hidden else 0  # characters
        self._pattern = re.compile("|".join(map(re.escape, hidden))) if hidden else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


def masked_text(text: str) -> str:
    """The text with the values of suspicious assignments hidden, and passwords in addresses."""

    def mask(found: re.Match[str]) -> str:
        return f"{found[1]}={MASK}" if is_secret(found[1]) else found[0]

    return _ADDRESS.sub(rf"\1{MASK}\2", _ASSIGNMENT.sub(mask, text))


def masked(value: Any, name: str = "") -> Any:
    """A document with every suspicious value hidden, at any depth."""
    if isinstance(value, dict):
        return {key: masked(each, str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value]
    if not isinstance(value, str):
        return value
    if name and is_secret(name):
        return MASK
    assigned, equals, _ = value.partition("=")
    if equals and re.fullmatch(r"[A-Za-z_][\w\-.]*", assigned) and is_secret(assigned):
        return f"{assigned}={MASK}"
    return masked_text(value)
