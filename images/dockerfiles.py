"""Reads of a Dockerfile what has to be known before it is built: the images it is based on. Pure."""

import re
from collections.abc import Iterator, Mapping

_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"^ARG\s+(?P<name>\w+)(?:=(?P<value>.*))?$", re.IGNORECASE)
_COPY_FROM = re.compile(r"^(?:COPY|ADD)\s.*?--from=(?P<image>\S+)", re.IGNORECASE)
_MOUNT = re.compile(r"\s--mount=(\S+)")
_HEREDOC = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-+])(?P<other>[^}]*))?\})")
_ESCAPE = re.compile(r"^#\s*escape\s*=\s*`", re.IGNORECASE | re.MULTILINE)


def bases(text: str, arguments: Mapping[str, str] | None = None) -> list[str]:
    """The images that FROM and `COPY --from` name, in order, each once; no stages, no scratch.

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
        elif copied := _COPY_FROM.match(line):
            _note(found, _filled(copied["image"], values), stages)
    return list(found)


def secret_ids(text: str) -> list[str]:
    """The ids of the secrets that `RUN --mount=type=secret` asks for, in order, each once.

    Without an id it is the last part of the target, and "secret" without that: as BuildKit does it.
    """
    found: dict[str, None] = {}
    for line in instructions(text):
        for mount in _MOUNT.findall(line) if line[:4].upper() == "RUN " else ():
            options = dict(part.partition("=")[::2] for part in mount.strip("\"'").split(","))
            if options.get("type") == "secret":
                target = options.get("target") or options.get("dst") or options.get("destination") or ""
                found[options.get("id") or target.rpartition("/")[2] or "secret"] = None
    return list(found)


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
    escape = "`" if _ESCAPE.search(text[:500]) else "\\"
    lines = iter(text.splitlines())
    for line in lines:
        if not (whole := line.strip()) or whole.startswith("#"):
            continue
        while whole.endswith(escape):
            following = next(lines, "").strip()
            while following.startswith("#"):
                following = next(lines, "").strip()
            whole = whole[:-1].rstrip() + " " + following
        yield whole.strip()
        for _quote, end in _HEREDOC.findall(whole):
            for inner in lines:
                if inner.strip() == end:
                    break
