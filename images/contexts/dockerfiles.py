"""Reads of a Dockerfile what has to be known before it is built, such as the images it is based on. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"^ARG\s+(?P<name>\w+)(?:=(?P<value>.*))?$", re.IGNORECASE)
_FLAGS = re.compile(r"^(?P<word>\w+)\s+(?P<flags>(?:--\S+\s+)+)")
_USER = re.compile(r"^USER\s", re.IGNORECASE)
_TAKES_HEREDOC = re.compile(r"(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<!\S)\d*<<(?P<dash>-?)(?P<quote>[\"']?)(?P<end>[^\s<\"']+)(?P=quote)(?!\S)")
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-+])(?P<other>[^}]*))?\})")
_ESCAPE = re.compile(r"^#\s*escape\s*=\s*`", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM at its line, and whether a USER was named in it or in the stage that it goes on from."""

    line: int
    image: str
    has_user: bool


def bases(text: str, arguments: Mapping[str, str] | None = None) -> list[str]:
    """The images that FROM, `COPY --from` and `RUN --mount=from=` name, in order, each once; no stages, no scratch.

    `arguments` are build arguments: they replace the defaults of ARG before the first FROM. An image whose
    name hangs on an argument without a value is left out.
    """
    given = dict(arguments or {})
    values: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[str, None] = {}
    is_before_from = True
    for line in instructions(text):
        if is_before_from and (argument := _ARG.match(line)):
            name, default = argument["name"], (argument["value"] or "").strip("\"'")
            values[name] = given.get(name, _filled(default, values) or "")
        elif named := _FROM.match(line):
            is_before_from = False
            _note(found, _filled(named["image"], values), stages)
            if named["stage"]:
                stages.add(named["stage"].lower())
        else:
            mounted = [mount.get("from", "") for mount in _mounts(line)]
            for image in _flags(line, "COPY", "--from") + mounted:
                _note(found, _filled(image, values), stages)
    return list(found)


def secret_ids(text: str) -> list[str]:
    """The ids of the secrets that `RUN --mount=type=secret` asks for, in order, each once.

    Without an id it is the last part of the target, and "secret" without that: as BuildKit does it.
    """
    found: dict[str, None] = {}
    for line in instructions(text):
        for mount in _mounts(line):
            if mount.get("type") == "secret":
                target = mount.get("target") or mount.get("dst") or mount.get("destination") or ""
                found[mount.get("id") or target.rpartition("/")[2] or "secret"] = None
    return list(found)


def _flags(line: str, word: str, name: str) -> list[str]:
    """The values of a flag, which stands between the instruction's word and what it works on."""
    found = _FLAGS.match(line)
    if found is None or found["word"].upper() != word:
        return []
    flags = (flag.partition("=") for flag in found["flags"].split())
    return [value for flag, _, value in flags if flag == name]


def _mounts(line: str) -> list[dict[str, str]]:
    """The options of each `RUN --mount`."""
    mounts = [mount.strip("\"'").split(",") for mount in _flags(line, "RUN", "--mount")]
    return [
        {key.lower(): value for key, _, value in (part.partition("=") for part in mount)} for mount in mounts
    ]


def _note(found: dict[str, None], image: str, stages: set[str]) -> None:
    if image and image.lower() not in stages and image.lower() != "scratch" and not image.isdecimal():
        found[image] = None


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced; empty when one of them has no value."""
    is_known = True

    def value(match: re.Match[str]) -> str:
        nonlocal is_known
        name = match["plain"] or match["name"]
        known = values.get(name, "")
        if match["how"] and match["how"].endswith("-"):
            return known or match["other"]
        if match["how"] and match["how"].endswith("+"):
            return match["other"] if known else ""
        is_known = is_known and bool(known)
        return known

    filled = _VARIABLE.sub(value, text)
    return filled if is_known else ""


def instructions(text: str) -> Iterator[str]:
    """Each instruction as one line: continued lines joined, comments and the bodies of heredocs left out."""
    return (line for _, line in numbered(text))


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """The same, each with the number of its first line."""
    escape = "`" if _ESCAPE.search(text[:500]) else "\\"
    lines = iter(enumerate(lines_of(text), 1))
    for number, line in lines:
        if not (whole := line.strip()) or whole.startswith("#"):
            continue
        while whole.endswith(escape):
            # Comments and empty lines in between end nothing.
            following = next((each for _, each in lines if each.strip() and each.strip()[0] != "#"), "")
            whole = whole[:-1].rstrip() + " " + following.strip()
        yield number, whole.strip()
        for heredoc in _HEREDOC.finditer(whole) if _TAKES_HEREDOC.match(whole) else ():
            for _, inner in lines:
                if (inner.lstrip("\t") if heredoc["dash"] else inner) == heredoc["end"]:
                    break


def lines_of(text: str) -> list[str]:
    """Its lines as builders and hadolint count them: other signs than the line feed end none."""
    return text.removeprefix("\ufeff").removesuffix("\n").replace("\r\n", "\n").split("\n")


def last_stage(text: str) -> Stage | None:
    """The stage that the image is made of, unless another one is asked for."""
    stage, name = None, ""
    stages: dict[str, Stage] = {}
    for number, line in numbered(text):
        if named := _FROM.match(line):
            before = stages.get(named["image"].lower())
            stage = Stage(number, named["image"], has_user=before is not None and before.has_user)
            name = (named["stage"] or "").lower()
        elif stage and _USER.match(line):
            stage = replace(stage, has_user=True)
        if stage:
            stages[name] = stage
    return stage
