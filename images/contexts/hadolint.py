"""What hadolint holds against a Dockerfile, with the reason and the way out in our own words.

hadolint is a program: it reads the text from its input, reaches nothing and ends within a second, so that web may
call it. Without it, or when it fails, there are no findings and a build goes on as before.
"""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_lazy as _

from images.contexts.dockerfiles import last_stage, lines_of
from images.errors import Text

logger = logging.getLogger(__name__)

SECONDS = 10.0
MOST_FINDINGS = 200
WIKI = "https://github.com/hadolint/hadolint/wiki/"
SHELLCHECK = "https://www.shellcheck.net/wiki/"
UNREADABLE = "DL1000"  # the code of a line that the builder can not understand


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding at a line (from 1). `level`: error, warning, info or style."""

    code: str
    line: int
    level: str
    message: str  # hadolint's own
    why: Text = ""
    how: Text = ""

    @property
    def url(self) -> str:
        if self.code.startswith("SC"):
            return SHELLCHECK + self.code
        return WIKI + self.code if self.code.startswith("DL") and self.code != UNREADABLE else ""


@dataclass(frozen=True, slots=True)
class LintedLine:
    """A line of the Dockerfile and what was found in it."""

    number: int
    text: str
    findings: tuple[Finding, ...] = ()


def findings(text: str) -> list[Finding] | None:
    """The findings in order of lines; None when hadolint can not be asked."""
    program = _program()
    if program is None or not text.strip():
        return None if program is None else []
    try:
        done = subprocess.run(
            [program, "--no-fail", "--no-color", "--format", "json", "-"], input=text.encode(),
            capture_output=True, timeout=SECONDS, check=False, cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        rows = json.loads(done.stdout or b"[]")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        logger.warning("hadolint gave no findings: %s", error)
        return None
    found = [_finding(row) for row in rows[:MOST_FINDINGS]]
    if root := _as_root(text):
        found.append(root)
    return sorted(found, key=lambda finding: finding.line)


def _as_root(text: str) -> Finding | None:
    """hadolint speaks up when root is named; that nobody is named comes to the same. Only the last stage runs."""
    stage = last_stage(text)
    if stage is None or stage.has_user or stage.image == "scratch":
        return None
    why, how = ADVICE["DL3002"]
    return Finding(
        "USER",
        stage.line,
        "info",
        str(_("No USER: unless the base says otherwise, it runs as root.")),
        why,
        how,
    )


def _program() -> str | None:
    """The one that came with Drydock's own packages, else any on PATH."""
    beside = Path(sys.executable).parent / "hadolint"
    return str(beside) if beside.exists() else shutil.which("hadolint")


def _finding(row: Mapping[str, Any]) -> Finding:
    code = str(row.get("code") or "")
    why, how = ADVICE.get(code, ("", ""))
    level = str(row.get("level") or "info")
    return Finding(code, int(row.get("line") or 1), level, str(row.get("message") or "")[:500], why, how)


def linted(text: str, found: list[Finding]) -> list[LintedLine]:
    """The Dockerfile line by line, each with what belongs to it."""
    by_line: dict[int, list[Finding]] = {}
    for finding in found:
        by_line.setdefault(finding.line, []).append(finding)
    lines = enumerate(lines_of(text), 1)
    return [LintedLine(number, line, tuple(by_line.get(number, ()))) for number, line in lines]


_UNPINNED = _(
    "The newest version is taken at each build, so that the same Dockerfile gives other images over time."
)
_MERGE = _(
    "Each RUN makes a layer of its own; what one step leaves behind a later one can not take away again."
)
_PROMPT = _("Nobody can answer a question during a build: the step would fail.")
_CACHE = _("What the package manager keeps for next time stays in the layer, and there is no next time.")

ADVICE: dict[str, tuple[Text, Text]] = {
    UNREADABLE: (
        _("The builder will not understand this line either."),
        _("Look for a misspelt instruction or a missing word."),
    ),
    "DL3000": (
        _("A relative folder hangs on what was set before."),
        _("Write the whole path: WORKDIR /app."),
    ),
    "DL3002": (
        _("Whoever breaks out of the program is root in the container, and close to root on the host."),
        _("Add a user with RUN useradd, and name it in a USER line at the end."),
    ),
    "DL3003": (_("cd is forgotten at the end of its RUN."), _("Use WORKDIR to change the folder.")),
    "DL3004": (
        _("Steps run as root already, and sudo behaves unpredictably without a terminal."),
        _("Leave sudo out; change the user with USER."),
    ),
    "DL3005": (
        _("Upgrading everything gives another image each day."),
        _("Take a newer base image instead."),
    ),
    "DL3006": (_UNPINNED, _("Name a version behind the colon, such as debian:12.8, or a digest.")),
    "DL3007": (
        _("latest is whatever was pushed last: a build may break without a change of yours."),
        _("Name a version, such as node:22.12, or a digest."),
    ),
    "DL3008": (_UNPINNED, _("Name the version: apt-get install curl=7.88.*.")),
    "DL3009": (
        _("The package lists stay in the layer; they are some 20 to 50 MB that nobody reads again."),
        _("End the same RUN with rm -rf /var/lib/apt/lists/*."),
    ),
    "DL3013": (_UNPINNED, _("Name the version: pip install flask==3.1.0, or install from a lock file.")),
    "DL3014": (_PROMPT, _("Add -y to apt-get install.")),
    "DL3015": (
        _("apt-get installs recommended packages too, which can double the image."),
        _("Add --no-install-recommends and name what you need."),
    ),
    "DL3016": (_UNPINNED, _("Name the version: npm install express@4.21, or use npm ci with a lock file.")),
    "DL3018": (_UNPINNED, _("Name the version: apk add curl=8.11.1-r0.")),
    "DL3019": (_CACHE, _("Write apk add --no-cache.")),
    "DL3020": (
        _("ADD also unpacks archives and fetches addresses, so it may do more than is meant."),
        _("Use COPY for files and folders."),
    ),
    "DL3022": (
        _("The name is no stage of this Dockerfile; a misspelt stage is looked for in a registry."),
        _("Name a stage that an earlier FROM … AS gives."),
    ),
    "DL3025": (
        _(
            "A shell starts the program, does not pass signals on, and docker stop waits ten seconds and kills."
        ),
        _('Write it as a list: CMD ["program", "argument"].'),
    ),
    "DL3027": (
        _("apt is made for people and may change its output and options."),
        _("Use apt-get or apt-cache in builds."),
    ),
    "DL3028": (_UNPINNED, _("Name the version: gem install rake:13.2.1.")),
    "DL3033": (_UNPINNED, _("Name the version: yum install curl-7.76.1.")),
    "DL3038": (_PROMPT, _("Add -y to dnf install.")),
    "DL3040": (_CACHE, _("End the same RUN with dnf clean all.")),
    "DL3041": (_UNPINNED, _("Name the version: dnf install curl-7.76.1.")),
    "DL3042": (_CACHE, _("Write pip install --no-cache-dir.")),
    "DL3045": (
        _("Without a folder of its own the file lands wherever the base image left off."),
        _("Set WORKDIR before, or copy to a whole path."),
    ),
    "DL3047": (
        _("wget draws its progress with thousands of lines, which fill the build's log."),
        _("Add --progress=dot:giga, or -q."),
    ),
    "DL3057": (
        _("The engine can not tell a program that hangs from one that works."),
        _("Add a HEALTHCHECK that asks the program."),
    ),
    "DL3059": (_MERGE, _("Join them with && into one RUN, and clean up in the same step.")),
    "DL4000": (_("MAINTAINER is obsolete."), _("Use LABEL org.opencontainers.image.authors=…")),
    "DL4001": (_("Two programs for the same purpose make the image larger."), _("Use either wget or curl.")),
    "DL4006": (
        _("Of a pipe only the last program counts: a failing download goes unnoticed."),
        _('Put SHELL ["/bin/bash", "-o", "pipefail", "-c"] before it, or set -o pipefail.'),
    ),
}
