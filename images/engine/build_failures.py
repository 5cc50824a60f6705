"""What a builder's text means. BuildKit's words of 20.10 and later, the classic builder's, Podman's."""

import re

from images.engine.failures import failure
from images.engine.step_logs import network_line
from images.engine.steps import Step, Steps
from images.errors import UserError

_EXIT = (
    re.compile(r"executor failed running \[(?P<step>.*?)\]: exit code: (?P<code>\d+)", re.DOTALL),
    re.compile(
        r"process \"(?P<step>.*?)\" did not complete successfully: "
        r"(?:exit code: (?P<code>\d+)|cannot allocate memory)",
        re.DOTALL,
    ),
    re.compile(r"The command '(?P<step>.*?)' returned a non-zero code: (?P<code>\d+)", re.DOTALL),
    re.compile(r"building at STEP \"(?P<step>.*?)\":.*exit status (?P<code>\d+)", re.DOTALL),
)
_KILLED = "137"  # 128 and SIGKILL, which no program can refuse; later BuildKits name a lack of memory instead
_FULL = "no space left on device"
_SYNTAX = re.compile(
    r"dockerfile parse error|unknown instruction|file with no instructions|failed to parse (stage|dockerfile)"
    r"|no build stage in current context|the dockerfile \(.*\) cannot be empty|syntax error",
    re.IGNORECASE,
)
_LINE = re.compile(r"(?:parse error (?:on )?line |Dockerfile:)(\d+)", re.IGNORECASE)
_TARGET = re.compile(
    r"target stage \"?(\S+?)\"? could not be found|failed to reach build target (\S+)"
    r"|the target \"?(\S+?)\"? was not found",
    re.IGNORECASE,
)
_NO_DOCKERFILE = re.compile(
    r"failed to read dockerfile|cannot locate specified dockerfile|no such file or directory.*dockerfile$"
    r"|dockerfile: no such file",
    re.IGNORECASE,
)
_NO_FILE = (
    re.compile(r"/buildkit-mount\d+/(?P<file>[^:]+): lstat"),
    re.compile(r"\"/?(?P<file>[^\"]+)\":? not found"),
    re.compile(r"(?:COPY|ADD) failed:.*?stat (?P<file>\S+?): (?:file does not exist|no such file)"),
    re.compile(r"copier: stat: \"/?(?P<file>[^\"]+)\": no such file"),
    re.compile(r"(?:COPY|ADD) failed: no source files"),
)
# What COPY, ADD, RUN and HEALTHCHECK learnt later than 20.10; any other flag is misspelt.
_LATER_FLAGS = (
    r"link|chmod|chown|mount|network|security|checksum|keep-git-dir|exclude|parents|start-interval|unpack"
)
_TOO_OLD = re.compile(
    r"(?P<option>--mount|--link|--chmod|--platform|--network|--security|heredoc)[^.]*?"
    r"(?:requires buildkit|not supported|experimental)|requires buildkit"
    rf"|unknown flag: -*(?P<flag>{_LATER_FLAGS})\b"
    r"|\"platform\" is only supported|requires (?:engine )?api version|needs buildkit",
    re.IGNORECASE,
)
_SESSION = re.compile(r"no active sessions?|session .* not found", re.IGNORECASE)

_BASE = re.compile(
    r"^(?:load metadata for |resolve image config for |FROM |docker-image://)(\S+)", re.IGNORECASE
)
BASE_MISSING = frozenset({"image_not_found", "registry_unauthorized", "reference_invalid"})


def build_failure(text: str, steps: Steps, *, host: str = "") -> UserError:
    """The problem a builder's last words speak of, with the step it failed at."""
    raw = text[:4000]
    if _FULL in text.lower():
        return UserError("disk_full", raw=raw, host=host)
    if error := _exit(text, steps, host, raw):
        return error
    # Before the syntax: a flag that the engine does not know is told as a fault of the Dockerfile.
    if found := _TOO_OLD.search(text):
        option = found["option"] or (f"--{found['flag']}" if found["flag"] else "BuildKit")
        return UserError("engine_too_old", raw=raw, host=host, option=option)
    if _SYNTAX.search(text):
        line = _LINE.search(text)
        return UserError("build_syntax", raw=raw, line=line[1] if line else "?", detail=_last_words(text))
    if _NO_DOCKERFILE.search(text):
        return UserError("build_dockerfile_missing", raw=raw)
    if found := _TARGET.search(text):
        return UserError("build_target_missing", raw=raw, target=found[1] or found[2] or found[3])
    if _SESSION.search(text):
        # A registry that asks who is there is answered through the session too.
        if base := _named_base(steps.failed or steps.last):
            return UserError("build_base_missing", raw=raw, subject=base, host=host)
        return UserError("build_needs_session", raw=raw)
    return _base(text, steps, host) or _file(text, raw) or _other(text, steps, host, raw)


def _exit(text: str, steps: Steps, host: str, raw: str) -> UserError | None:
    found = next((found for pattern in _EXIT if (found := pattern.search(text))), None)
    if found is None:
        return None
    step = steps.failed or steps.last
    name = step.name if step else found["step"]
    log = step.tail if step else ()
    if any(_FULL in line.lower() for line in log):
        return UserError("disk_full", raw=raw, host=host)
    if line := network_line(log):
        return UserError("build_network", raw=raw, step=name[:200], host=host, line=line[:200])
    exit_code = found["code"] or _KILLED
    code = "build_step_killed" if exit_code == _KILLED else "build_step_failed"
    return UserError(code, raw=raw, step=name[:200], exit_code=exit_code, host=host)


def _base(text: str, steps: Steps, host: str) -> UserError | None:
    """Of a base that could not be had: what the registry's part says, unless it has no such image."""
    step = steps.failed or steps.last
    named = _named_base(step)
    if not named:
        return None
    error = failure(text, subject=named, host=host)
    if error.code in BASE_MISSING:
        return UserError("build_base_missing", raw=error.raw, subject=named, host=host)
    return error if error.code != "engine_refused" else None


def _other(text: str, steps: Steps, host: str, raw: str) -> UserError:
    """What is left: a registry's trouble in the middle of a build, or words that nobody knows yet."""
    error = failure(text, host=host)
    if error.code.startswith("registry_") and error.values.get("registry"):
        return error
    step = steps.failed or steps.last
    return UserError("build_failed", raw=raw, step=step.name[:200] if step else "-", host=host)


def _named_base(step: Step | None) -> str:
    found = _BASE.match(step.name) if step else None
    return found[1].partition("@")[0] if found and found[1] != "scratch" else ""


def _file(text: str, raw: str) -> UserError | None:
    for pattern in _NO_FILE:
        if found := pattern.search(text):
            return UserError("build_file_missing", raw=raw, file=found.groupdict().get("file") or "?")
    return None


def _last_words(text: str) -> str:
    """ "a: b: unknown instruction: RUNN" -> "unknown instruction: RUNN": without the way the error came."""
    found = re.search(r"parse error (?:on )?line \d+: (.*)$", text, re.IGNORECASE | re.DOTALL)
    return (found[1] if found else text.rpartition("definition: ")[2]).strip()[:300]
