"""Hides what looks like a secret in an image's configuration and history, and in what a job tells. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

MASK = "••••••"
MOST_HIDDEN = 1000
# Whole words of a name, so that MONKEY, AUTHOR and PATTERN stay readable...
_WORDS = r"PASS|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|AUTH|KEY|PAT"
_ENDS = r"PASS(?:WORD|WD|PHRASE)|PWD|SECRET|TOKEN"  # ...and what also ends one: PGPASSWORD
_EDGE = r"[_\-.]|(?-i:(?<=[a-z])(?=[A-Z]))"
_NAME = re.compile(rf"(?:(?:^|{_EDGE})(?:{_WORDS})|{_ENDS})S?(?:$|\d|{_EDGE})", re.IGNORECASE)
# What only speaks of one: where it is, how long it lasts, or a key that nobody hides. PWD alone is the shell's folder.
_PLAIN = re.compile(
    rf"(?:^|{_EDGE})(?:(?:PUBLIC|CACHE|RECV)[_-]?KEYS?|URL|TTL|FILE|PATH|TYPE|STDIN)$|^-*(?:OLD)?PWD$",
    re.IGNORECASE,
)

# Logs go through all of this: no pattern looks at a piece of text again and again, however long the line is.
_SIGNS = ("pass", "pwd", "secret", "token", "key", "credential", "auth", "find = in")
# These are in every other line ("path"), so they are looked at more closely.
_LIKELY_SIGNS = {
    "pat": re.compile(r"(?<![A-Za-z])[Pp][Aa][Tt][Ss]?(?![A-Za-z])|[a-z]Pats?(?![a-z])"),
    "://": re.compile(r"""://[^\s/"']*@"""),
    "-u": re.compile(r"(?<![\w\-])-[uU]|--(?:proxy-)?user"),
    "-p": re.compile(r"login|mysql|mariadb"),
}
# Quotes may be escaped, in a text that is quoted itself; one that is never closed ends with its line. BuildKit's
# advice speaks of "ENV key=value", which hides nothing.
_ADVICE = r'(?!value["\s])'
_VALUE = re.compile(
    rf"{_ADVICE}(?:{MASK}|" + r"""(?:\\+"[^"]*"?|"(?:[^"\\]|\\.)*+"|'[^']*')[^\s,})\]]*|["'][^\n]*|\S+)""",
    re.DOTALL,
)
# NAME=value, "name": "value"
_ASSIGNED = re.compile(r"""(?<![\w.\-])([\w.\-]++)(?:\\*["']?=|\\*["']\s*:\s*(?=\\*["']))""")
# --name value, ["--name", "value"]; "set name value" of npm and others
_APART = r"""(?:\\*["']?,?(?:[ \t]|\\\n)++|\\*["'],)"""
_FLAG = re.compile(rf"""(?<![\w.\-])(?:(--?[\w.\-]++)|set[ \t]+([^\s="']++)){_APART}(?!-)""")
# docker login -p value, mysql -pvalue
_LOGIN = re.compile(
    r"(?<![\w\-])(?:login|sshpass|(?:mysql|mariadb)[\w\-]*)\s(?:[^\n;|&]{0,100}?\s)??-p[ \t=]*(?=[^\s\-])"
)
# curl -u user:value; docker run -u 1000:1000 and -u node:node name a group
_USER = re.compile(
    rf"""((?<![\w\-])(?:-[uU]|--(?:proxy-)?user)(?:=|{_APART})["']?([^\s:"'/]*+):)(?!\d+\b|\2(?![^\s"']))[^\s"']+"""
)
_HEADER = re.compile(
    r"""((?<![\w\-])(?:(?:proxy-)?authorization|x-[\w\-]*(?:auth|key|secret|token)|(?:private|job|deploy)-token)"""
    r"""\\*["']?\s*:\s*\\*["']?(?:(?:basic|bearer|token)\s+)?)[^\s"'][^"'\n]*""",
    re.IGNORECASE,
)
# Credentials inside an address: the password, and all of it where a token may be the name.
_ADDRESS = re.compile(r"""(://(?:(?<=http://)|(?<=https://)|[^\s:/@]*:))[^\s/"']+@""")
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL)
# Of a value without quotes, builders name the second word and not whose it is.
_STRAY = re.compile(r"""(can't find = in \\*")[^"\n\\]+""")
# An instruction with the lines it goes on in, and the arguments of a RUN in a history. Histories have no quotes:
# a value goes on to the next name.
_INSTRUCTION = re.compile(
    r"((?:(?<![\w\-])(?:ENV|ARG|LABEL|\|\d+)|^[ \t]*(?:env|arg|label))[ \t]+)((?:[^\n\\]|\\.)*+)",
    re.DOTALL | re.MULTILINE,
)
_LEGACY = re.compile(r"([\w.\-]++[\s\\]++).+", re.DOTALL)  # ENV NAME value
_PAIR = re.compile(
    rf"""(?<!\S)(["']?([\w.\-]++)["']?=){_ADVICE}(?!\s).+?(?=\s["']?[\w.\-]++["']?=|\s/bin/|\Z)""", re.DOTALL
)


def is_secret(name: str) -> bool:
    return bool(_NAME.search(name)) and not _PLAIN.search(name)


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
    """The text without the values of suspicious assignments, flags, headers and addresses."""
    low = text.lower()
    if not any(sign in low for sign in _SIGNS) and not any(
        sign in low and pattern.search(text) for sign, pattern in _LIKELY_SIGNS.items()
    ):
        return text
    text = _ADDRESS.sub(rf"\1{MASK}@", text)
    for pattern in (_ASSIGNED, _FLAG, _LOGIN):
        text = "".join(_valueless(pattern, text))
    for pattern in (_USER, _HEADER, _PRIVATE_KEY, _STRAY):
        text = pattern.sub(rf"\1{MASK}", text)
    return _INSTRUCTION.sub(_instruction, text)


def _valueless(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The text in pieces, without the values behind what the pattern finds; its group is a name to be judged."""
    kept = at = 0
    while found := pattern.search(text, at):
        at = found.end()
        is_meant = found.lastindex is None or is_secret(found[found.lastindex])
        if is_meant and (value := _VALUE.match(text, at)):
            yield text[kept:at] + MASK
            kept = at = value.end()
    yield text[kept:]


def _instruction(found: re.Match[str]) -> str:
    begin, rest = found[1], found[2]
    if (legacy := _LEGACY.match(rest)) and is_secret(legacy[1].rstrip(" \t\r\n\\")):
        return f"{begin}{legacy[1]}{MASK}"
    return begin + _PAIR.sub(lambda pair: f"{pair[1]}{MASK}" if is_secret(pair[2]) else pair[0], rest)


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
    if equals and re.fullmatch(r"[\w\-.]+", assigned) and is_secret(assigned):
        return f"{assigned}={MASK}"
    return masked_text(value)
