"""Tags as versions, tolerantly: "v1.2", "1.25.3-alpine", "2.0.0-rc.10", "16". Pure."""

import re
from functools import lru_cache

_VERSION = re.compile(
    r"v?(?P<release>\d{1,18}(?:\.\d{1,18}){0,4})(?P<rest>(?:[-_.+]?[A-Za-z]|[-_+]).*)?", re.IGNORECASE
)
_PRERELEASE = re.compile(
    r"(?:^|[-_.+])(?P<phase>dev|snapshot|nightly|a|alpha|b|beta|m|milestone|ea|pre|preview|c|rc)[-_.]?(?P<number>\d{0,18})(?![A-Za-z])",
    re.IGNORECASE,
)  # fmt: skip
_PHASES = {
    "dev": 0, "snapshot": 0, "nightly": 0, "a": 1, "alpha": 1, "b": 2, "beta": 2, "m": 2, "milestone": 2,
    "ea": 2,
    "pre": 3, "preview": 3, "c": 4, "rc": 4,
}  # fmt: skip
_FINAL = 9
_PARTS = 5

VersionKey = tuple[tuple[int, ...], int, int]
"""Sorts as versions do: the release padded with zeros, how final it is, the number of the pre-release."""


@lru_cache(maxsize=65536)
def version_key(tag: str) -> VersionKey | None:
    """The key a tag sorts by; None when it is no version ("latest", "main", a commit's hash).

    A suffix that names no pre-release is a variant ("-alpine") and as final as the version without it.
    """
    match = _VERSION.fullmatch(tag)
    if match is None:
        return None
    release = [int(part) for part in match["release"].split(".")]
    padded = tuple(release + [0] * (_PARTS - len(release)))
    pre = _PRERELEASE.search(match["rest"] or "")
    if pre is None:
        # A hash such as "7f3ab21" has letters right after its digits; "1.2b3" is a pre-release and was found.
        return None if (match["rest"] or "")[:1].isalpha() else (padded, _FINAL, 0)
    return padded, _PHASES[pre["phase"].lower()], int(pre["number"] or 0)
