"""Patterns people write for tags and repositories: glob or regular expression, never able to hang. Pure."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import regex

MAX_LENGTH = 200
MATCH_SECONDS = 0.05  # a sane expression needs microseconds for a name of at most 450 characters

# Names on which expressions with nested repeats take for ever; tried when a rule is saved.
_PROBES = ("v1.2.3-rc.1", *(text * 40 + "!" for text in ("a", "0", "a0", "a-", "1.", "-", "ab/", ".")))


class PatternError(ValueError):
    """The pattern can not be used; `code` says why and `detail` where."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


class PatternTooSlow(Exception):
    """The expression did not come to an end in time; whoever asked must keep the image."""


@dataclass
class Pattern:
    """Matches whole names. Raises PatternError when it can not be compiled."""

    text: str
    syntax: str = "glob"  # or "regex"
    _compiled: Any = field(init=False, repr=False)
    _known: dict[str, bool] = field(init=False, repr=False, default_factory=dict)
    _is_slow: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise PatternError("required")
        if len(self.text) > MAX_LENGTH:
            raise PatternError("too_long", str(MAX_LENGTH))
        source = self.text if self.syntax == "regex" else fnmatch.translate(self.text)
        try:
            self._compiled = regex.compile(source)
        except (regex.error, RecursionError, OverflowError) as error:
            raise PatternError("bad_regex", str(error)) from error

    def matches(self, name: str) -> bool:
        """Raises PatternTooSlow; once it was slow it is not tried again, so no plan is held up for long."""
        if name not in self._known:
            if self._is_slow:
                raise PatternTooSlow
            try:
                self._known[name] = bool(self._compiled.fullmatch(name, timeout=MATCH_SECONDS))
            except TimeoutError as error:
                self._is_slow = True
                raise PatternTooSlow from error
        return self._known[name]

    def try_out(self) -> None:
        """Raises PatternError when the expression is slow on names that are hard to match."""
        try:
            for probe in _PROBES:
                self.matches(probe)
        except PatternTooSlow as slow:
            raise PatternError("slow_regex") from slow

    def matches_all(self, names: Iterable[str]) -> bool:
        """False when it is too slow to tell."""
        try:
            return all(self.matches(name) for name in names)
        except PatternTooSlow:
            return False
