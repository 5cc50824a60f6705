"""Which files of a context a .dockerignore leaves out: those that docker leaves out.

The rules are those of moby/patternmatcher (`ignorefile.ReadAll`, `MatchesUsingParentResults`) and of the walk in
tonistiigi/fsutil (`filter.go`), as buildx has them. Docker 20.10's own client differs for exceptions: it does not look
into some folders where one with wildcards would match, and compares only one of the folders that a file is in.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import regex

MATCH_SECONDS = 1.0  # a sane pattern needs microseconds
MOST_FOLDERS = 10_000  # that are remembered
SAFE_WILDCARDS = 2  # no path is so long that a pattern with these would be slow


class PatternError(ValueError):
    """Docker refuses to build with this pattern, or it would take for ever."""

    def __init__(self, pattern: str, line: int) -> None:
        super().__init__(f"syntax error in pattern: {pattern}")
        self.line = line


class Ignore:
    """One .dockerignore; it and the files in `keep` are sent whatever it says: the builder needs them.

    Making one and asking it may raise PatternError.
    """

    def __init__(self, text: str, keep: Iterable[str] = ()) -> None:
        self._kept = {".dockerignore", *keep}
        self._patterns = [_Pattern(line, number) for number, line in _lines(text)]
        exceptions = [pattern.text for pattern in self._patterns if pattern.is_exception]
        # With their last wildcards taken off as fsutil does it, "a/*/**" becomes "a".
        self._reach = [text.removesuffix("/**").removesuffix("/*") + "/" for text in exceptions]
        self._looks_everywhere = any(_SPECIAL.search(text) for text in self._reach)
        self._top = _Folder("", [False] * len(self._patterns), is_passed_over=False)
        self._folders: dict[str, _Folder] = {"": self._top}

    def leaves_out(self, path: str) -> bool:
        """Whether this file or folder is not sent, by itself or with a folder it is in."""
        if path in self._kept:
            return False
        name = path.rpartition("/")[0]
        folder = self._folders.get(name) or self._folder(name)
        return folder.is_passed_over or self._judged(path, folder.matched)[0]

    def _folder(self, name: str) -> "_Folder":
        """The folder, or the one above it that is passed over."""
        folder = self._top
        while len(folder.start) <= len(name) and not folder.is_passed_over:
            start = name[: (name + "/").index("/", len(folder.start))] + "/"
            is_out, matched = self._judged(start[:-1], folder.matched)
            folder = _Folder(start, matched, is_passed_over=is_out and not self._looks_into(start))
        if len(self._folders) >= MOST_FOLDERS:
            self._folders = {"": self._top}
        self._folders[name] = folder
        return folder

    def _judged(self, path: str, matched_above: list[bool]) -> tuple[bool, list[bool]]:
        """Whether it is left out, and which patterns matched it or a folder it is in."""
        is_out, matched = False, matched_above.copy()
        for index, pattern in enumerate(self._patterns):
            # A pattern that would change nothing is not tried, and counts as one that does not match.
            if matched[index] or (pattern.is_exception is is_out and pattern.matches(path)):
                matched[index] = True
                is_out = not pattern.is_exception
        return is_out, matched

    def _looks_into(self, start: str) -> bool:
        """Whether docker looks for exceptions inside a folder that is left out."""
        return self._looks_everywhere or any(text.startswith(start) for text in self._reach)


@dataclass(frozen=True, slots=True)
class _Folder:
    start: str  # of the paths in it: its own, with a slash; empty for the context
    matched: list[bool]  # which patterns
    is_passed_over: bool


class _Pattern:
    def __init__(self, line: str, number: int) -> None:
        self.line, self.number = line, number
        self.text = line.removeprefix("!")
        self.is_exception = self.text != line
        if not self.text or not _VALID.fullmatch(self.text):
            raise PatternError(line, number)
        try:
            # `re` has no limit of time, and not the classes that Go has, such as [[:alpha:]].
            self._expression = regex.compile(_expression(self.text), regex.ASCII)
        except regex.error as error:
            raise PatternError(line, number) from error
        # A look at the clock costs as much as a match.
        is_safe = len(regex.findall(r"\*+", line)) <= SAFE_WILDCARDS
        self.matches: Callable[[str], object] = self._expression.fullmatch if is_safe else self._in_time

    def _in_time(self, path: str) -> object:
        try:
            return self._expression.fullmatch(path, timeout=MATCH_SECONDS)
        except TimeoutError as error:
            raise PatternError(self.line, self.number) from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The patterns with the numbers of their lines."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        pattern = line.strip()
        if line.startswith("#") or not pattern:  # an indented "#" begins a name
            continue
        mark, path = ("!", pattern[1:].strip()) if pattern.startswith("!") else ("", pattern)
        if pattern := mark + (path and posixpath.normpath(path).lstrip("/")):
            yield number, pattern


_SPECIAL = regex.compile(r"[*?^\[\]\\]")
_WILDCARD = regex.compile(r"[*?\[\]\\]")
_TOKEN = regex.compile(r"\*\*/?|\\.|.", regex.DOTALL)
# What both Go's filepath.Match and its expressions take.
_ESCAPED = r"\\(?:[^a-zA-Z0-9]|[aAbBdDfnrsStvwWz])"
_IN_CLASS = rf"(?:{_ESCAPED}|[^\]\\\-])"
_VALID = regex.compile(rf"(?:{_ESCAPED}|[^\\\[]|\[\^?+(?:{_IN_CLASS}(?:-{_IN_CLASS})?+)++\])*+")


def _expression(pattern: str) -> str:
    """As docker translates a pattern, oddities included: "*" and "?" count inside a class too, and "**name" matches
    the end of a name."""
    head, stars, tail = pattern.partition("**")
    if not _WILDCARD.search(head + tail) and not (head and tail):
        same = f"{regex.escape(head)}{'(?s:.*)' if stars else ''}{regex.escape(tail)}"
        return f"{same}|{regex.escape(tail[1:])}" if tail.startswith("/") else same
    tokens: list[str] = _TOKEN.findall(pattern)
    end = ".*" if tokens[-1] == "**" else ""
    return "".join(map(_translated, tokens[:-1] if end else tokens)) + end


def _translated(token: str) -> str:
    match token:
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case "**" | "**/":
            return "(?:.*/)?"
        case "." | "+" | "(" | ")" | "|" | "{" | "}" | "$":
            return "\\" + token
    return token  # "^", "-" and brackets mean in docker's what they mean in an expression
