"""Errors that a person can do something about: raised by code, stored as code and values, told in words.

So a stored error reads in the language of whoever looks at it. The words are in problems/; an engine's own text
stays in `raw` and is shown folded.
"""

from dataclasses import dataclass
from typing import Any

from images.problems import PROBLEMS, Text


class UserError(Exception):
    """An error a person can do something about. `values` fill the sentences and must hold no secret."""

    def __init__(self, code: str, *, raw: str = "", **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.values = {key: str(value) for key, value in values.items()}
        self.raw = raw

    def __str__(self) -> str:
        return explain(self.code, self.values).what


@dataclass(frozen=True)
class Explanation:
    """A problem with its values filled in, ready for the page."""

    code: str
    what: str
    cause: str
    remedy: str
    raw: str = ""

    @property
    def in_one_line(self) -> str:
        return " ".join(filter(None, (self.what, self.cause, self.remedy)))


def explain(code: str, values: dict[str, str] | None = None, raw: str = "") -> Explanation:
    """The sentences for a stored error; an unknown code still says something true."""
    problem = PROBLEMS.get(code, PROBLEMS["unexpected"])
    filled = Lenient(values or {})
    return Explanation(
        code=code,
        what=str(problem.what) % filled,
        cause=str(problem.cause) % filled,
        remedy=str(problem.remedy) % filled,
        raw=raw,
    )


class Lenient(dict[str, Any]):
    """A value that an old row lacks shows as a question mark instead of failing the page."""

    def __missing__(self, key: str) -> str:
        return "?"


__all__ = ["PROBLEMS", "Explanation", "Lenient", "Text", "UserError", "explain"]
