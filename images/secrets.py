"""Hides what looks like a secret in an image's configuration, history and raw document. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

MASK = "••••••"
MOST_HIDDEN = 1000
_WORDS = r"(?:PASS(?:WORD|WD|PHRASE)?|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|AUTH|KEY)"
# A whole word of the name, so that MONKEY and KEYBOARD stay readable.
_NAME = re.compile(rf"(?:^|[_\-.]){_WORDS}S?(?:$|[_\-.\d])", re.IGNORECASE)
# What only speaks of one: where it is, how long it lasts, or a key that nobody hides.
_PLAIN = re.compile(r"(?:^|[_\-.])(?:PUBLIC_?KEY|CACHE_?KEY|URL|TTL|FILE|PATH)$", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"([A-Za-z_][\w\-.]*)=(\"[^\"]*\"|'[^']*'|\S+)")
# Credentials inside an address: scheme://user:password@machine.
_ADDRESS = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+(@)")


def is_secret(name: str) -> bool:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return bool(_NAME.search(parted)) and not _PLAIN.search(parted)


class Hiding:
    """Hides values in a line of text, each line of them by itself where they have several.

    What is shorter than four characters stays: it would blot out half of the text and was no secret. Of values with
    very many lines the longest lines are looked for: each costs time on every line of a log.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        several = [_lines_of(value) for value in values]
        single = {line for lines in several if len(lines) == 1 for line in lines}
        others = {line for lines in several for line in lines} - single
        hidden = single | set(sorted(others, key=len, reverse=True)[:MOST_HIDDEN])
        self._values = sorted(hidden, key=len, reverse=True)
        self.longest = len(self._values[0]) if hidden else 0  # characters
        # Looked for ahead of each place, so that values that overlap are both found.
        self._pattern = re.compile(f"(?=({'|'.join(map(re.escape, self._values))}))") if hidden else None

    def __call__(self, text: str) -> str:
        kept, at = "", 0
        for start, end in self.spans(text):
            kept, at = f"{kept}{text[at:start]}{MASK}", end
        return kept + text[at:]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the values stand, from and to; those that touch are one."""
        begin = end = -1
        for found in self._pattern.finditer(text) if self._pattern else ():
            if found.start() > end:
                if begin >= 0:
                    yield begin, end
                begin = found.start()
            end = max(end, found.end(1))
        if begin >= 0:
            yield begin, end

    def cut_off(self, text: str) -> str:
        """The text without a value that only begins at its end, where somebody cut it."""
        longest = 0
        for value in self._values:
            for length in range(min(len(value) - 1, len(text)), max(longest, 3), -1):
                if text.endswith(value[:length]):
                    longest = length
                    break
        return text[:-longest] + MASK if longest else text


def _lines_of(value: str) -> list[str]:
    return [line for each in value.splitlines() if len(line := each.strip()) >= 4]


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
