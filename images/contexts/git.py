"""A build context from a git repository: fetched without history by the git program, read without a checkout.

`git archive` streams the files of one commit, so no link or hook of the repository ever touches the disk. The
remote is somebody else's: only https is spoken, nothing is asked for, and what it says is shown as text alone.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from images.contexts.archive import Members
from images.contexts.members import Member, tar_members
from images.errors import UserError
from images.secrets import masked_text

FETCH_SECONDS = 900
LOOK_SECONDS = 0.2
SIZE_EVERY_SECONDS = 2.0
REF = re.compile(r"^(?!-)(?!.*\.\.)[\w./+@-]{1,200}$")


def address_check(url: str) -> None:
    """Raises UserError git_address unless it is https, without a name or password in it."""
    parts = urlsplit(url)
    allowed = {"https"} | ({"file"} if settings.GIT_ALLOWS_FILES else set())
    if parts.scheme not in allowed or (parts.scheme == "https" and not parts.hostname):
        raise UserError("git_address", url=masked_text(url)[:300])
    if parts.username or parts.password:
        raise UserError("git_credentials")


@contextlib.contextmanager
def fetched(url: str, ref: str, check: Callable[[], None], say: Callable[[str], None]) -> Iterator[Members]:
    """The files of a branch, tag or commit (the default branch when empty) while the block lasts.

    `check` is called again and again and may raise to end the fetch. Raises UserError git_*,
    context_too_large.
    """
    address_check(url)
    if ref and not REF.match(ref):
        raise UserError("git_ref_missing", ref=ref[:200], url=url)
    program = shutil.which("git")
    if program is None:
        raise UserError("git_no_program")
    Path(settings.SPOOL_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="git-", dir=settings.SPOOL_DIR) as name:
        folder = Path(name)
        git = _Git(program, folder, url)
        git.run(["init", "--quiet", "--bare", str(folder / "repository")], check, 60)
        # Attributes of the repository must not leave files out: docker's own client takes all.
        attributes = folder / "repository" / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("* -export-ignore -export-subst\n")
        say(f"git fetch --depth 1 {url} {ref or 'HEAD'}")
        fetch = [
            "fetch",
            "--quiet",
            "--depth",
            "1",
            "--no-tags",
            "--no-recurse-submodules",
            "--",
            url,
            ref or "HEAD",
        ]
        git.run(["-C", str(folder / "repository"), *fetch], check, FETCH_SECONDS, ref)
        say(
            git.run(
                ["-C", str(folder / "repository"), "log", "-1", "--format=%H %cI", "FETCH_HEAD"], check, 60
            )
        )
        yield lambda: git.members(folder / "repository")


class _Git:
    def __init__(self, program: str, folder: Path, url: str) -> None:
        self._program, self._folder, self._url = program, folder, url
        schemes = "https:file" if settings.GIT_ALLOWS_FILES else "https"
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": schemes, "GIT_LFS_SKIP_SMUDGE": "1", "GIT_HTTP_LOW_SPEED_LIMIT": "1",
            "GIT_HTTP_LOW_SPEED_TIME": "60",
        }  # fmt: skip
        for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO"):
            if value := os.environ.get(name):
                self._environment[name] = value

    def run(self, arguments: list[str], check: Callable[[], None], seconds: float, ref: str = "") -> str:
        """Runs git to its end; its output. Ends it when `check` raises, the time is over, or it grows too big."""
        with (self._folder / "output").open("w+b") as output:
            process = subprocess.Popen(
                [self._program, "-c", "safe.directory=*", *arguments], env=self._environment, cwd=self._folder,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                self._wait(process, check, seconds)
            finally:
                if process.poll() is None:
                    _end(process)
            output.seek(0)
            text = masked_text(output.read(20_000).decode(errors="replace").strip())
        if process.returncode:
            raise self._failure(text, ref)
        return text

    def _wait(self, process: subprocess.Popen[bytes], check: Callable[[], None], seconds: float) -> None:
        give_up_at, look_at = time.monotonic() + seconds, 0.0
        while process.poll() is None:
            check()
            now = time.monotonic()
            if now > give_up_at:
                raise UserError("git_timeout", url=self._url, seconds=f"{seconds:g}")
            if now > look_at:
                look_at = now + SIZE_EVERY_SECONDS
                if _size(self._folder) > settings.CONTEXT_LIMIT_BYTES:
                    raise UserError("context_too_large", limit=f"{settings.CONTEXT_LIMIT_BYTES / 1e9:.3g} GB")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)

    def _failure(self, text: str, ref: str) -> UserError:
        low = text.lower()
        code = next((code for code, signs in _SIGNS if any(sign in low for sign in signs)), "git_failed")
        return UserError(code, raw=text[:4000], url=self._url, ref=ref or "HEAD")

    def members(self, repository: Path) -> Iterator[Member]:
        command = [self._program, "-C", str(repository), "archive", "--format=tar", "FETCH_HEAD"]
        with subprocess.Popen(
            command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout
                yield from tar_members(process.stdout, settings.CONTEXT_LIMIT_BYTES)
                process.stdout.read()  # the padding at the end, or git would die of a broken pipe
            finally:
                if process.poll() is None:
                    _end(process)


_SIGNS = (
    ("git_ref_missing", ("couldn't find remote ref", "not our ref", "upload-pack: not our ref")),
    ("git_refused", ("authentication failed", "could not read username", "could not read password", "error: 403",
                     "error: 401")),
    ("git_not_found", ("not found", "does not exist", "does not appear to be a git repository",
                       "no such file or directory", "error: 404")),
    ("git_unreachable", ("could not resolve host", "failed to connect", "connection refused", "timed out",
                         "network is unreachable", "connection reset", "unable to access")),
    ("disk_full", ("no space left on device",)),
)  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """git has helpers: all of them go."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait(10)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
