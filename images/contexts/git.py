"""A build context from a git repository: fetched without history by the git program, read without a checkout.

`git archive` streams the files of one commit, so no link or hook of the repository ever touches the disk. The
remote is somebody else's: only https is spoken, nothing is asked for, and what it says is shown as text alone.

An account stands in the environment of the one process that fetches: only its own user can read that, while everybody
can read arguments. git asks for it through a helper that is set for the account's machine alone, and only where it is
turned away: neither a redirect nor a submodule takes it anywhere else.
"""

import contextlib
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings

from images.contexts.archive import Members
from images.contexts.members import Member, tar_members
from images.errors import UserError
from images.secrets import Hiding, masked_text

FETCH_SECONDS = 900
LOOK_SECONDS = 0.2
SIZE_EVERY_SECONDS = 2.0
MOST_OUTPUT = 200_000  # of what git writes, and of .gitmodules
MOST_SUBMODULES = 50
DEEPEST = 5  # submodules of submodules
PIECE_BYTES = 64 * 1024
# See gitcredentials(7). The shell prints by itself, so that this is no argument of a process either.
_HELPER = (
    r"""!f() { printf 'username=%s\npassword=%s\n' "$DRYDOCK_GIT_USERNAME" "$DRYDOCK_GIT_PASSWORD"; }; f"""
)
REF = re.compile(r"^(?!-)(?!.*\.\.)[\w./+@-]{1,200}$")


def address_check(url: str) -> None:
    """Raises UserError git_address unless it is https, without a name or password in it."""
    allowed = {"https"} | ({"file"} if settings.GIT_ALLOWS_FILES else set())
    try:
        parts = urlsplit(url)
    except ValueError as error:  # "https://[x"
        raise UserError("git_address", url=masked_text(url)[:300]) from error
    if parts.scheme not in allowed or (parts.scheme == "https" and not parts.hostname):
        raise UserError("git_address", url=masked_text(url)[:300])
    if parts.username or parts.password:
        raise UserError("git_credentials")


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs in at a machine; `ca` where its certificate is signed by a CA of its own."""

    name: str
    host: str  # with its port, unless that is the usual one
    username: str
    password: str = field(repr=False)
    ca: str = ""


@contextlib.contextmanager
def fetched(
    url: str,
    ref: str,
    check: Callable[[], None],
    say: Callable[[str], None],
    account_for: Callable[[str], Login | None] = lambda url: None,
) -> Iterator[Members]:
    """The files of a branch, tag or commit (the default branch when empty), submodules included, while the block lasts.

    `check` is called again and again and may raise to end the fetch; `account_for` is asked once for the address of
    each repository. Raises UserError git_*, context_too_large.
    """
    address_check(url)
    if ref and not REF.match(ref):
        raise UserError("git_ref_missing", ref=ref[:200], url=url)
    program = shutil.which("git")
    if program is None:
        raise UserError("git_no_program")
    try:
        Path(settings.SPOOL_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="git-", dir=settings.SPOOL_DIR)
    except OSError as error:
        raise UserError("git_not_stored", url=url, raw=str(error)) from error
    with folder as name:
        git = _Git(program, Path(name), check, say, account_for)
        repositories = git.fetch_all(_Source(url, ref))
        yield lambda: chain.from_iterable(git.members(*each) for each in repositories)


@dataclass(frozen=True, slots=True)
class _Source:
    """What is fetched, and the folder of the context that its files belong in."""

    url: str
    ref: str
    prefix: str = ""
    depth: int = 0  # of submodules inside each other
    account: Login | None = None

    def hidden(self, text: str) -> str:
        """What git or its remote said, without the account's secret."""
        return masked_text(Hiding([self.account.password] if self.account else [])(text))


class _Git:
    def __init__(
        self,
        program: str,
        folder: Path,
        check: Callable[[], None],
        say: Callable[[str], None],
        account_for: Callable[[str], Login | None],
    ) -> None:
        self._program, self._folder, self._check, self._say = program, folder, check, say
        self._account_for = account_for
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

    def fetch_all(self, source: _Source) -> list[tuple[Path, str]]:
        """The repository and those it refers to: where each was fetched to, and the prefix of its files."""
        done: list[tuple[Path, str]] = []
        waiting = [source]
        while waiting:
            each = waiting.pop(0)
            if each.depth > DEEPEST or len(done) > MOST_SUBMODULES:
                raise UserError("git_submodules", url=source.url, most=str(MOST_SUBMODULES))
            repository = self._folder / f"repository-{len(done)}"
            self._fetch(repository, replace(each, account=self._account_for(each.url)))
            done.append((repository, each.prefix))
            waiting += self._submodules(repository, each)
        return done

    def _fetch(self, repository: Path, source: _Source) -> None:
        self._run(source, ["init", "--quiet", "--bare", str(repository)], 60)
        # Attributes of the repository must not leave files out: docker's own client takes all.
        attributes = repository / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("* -export-ignore -export-subst\n")
        self._say(f"git fetch --depth 1 {source.url} {source.ref or 'HEAD'}")
        options = ["--quiet", "--depth", "1", "--no-tags", "--no-recurse-submodules"]
        fetch = ["-C", str(repository), "fetch", *options, "--", source.url, source.ref or "HEAD"]
        self._run(source, fetch, FETCH_SECONDS, self._signing_in(source.account))
        self._say(self._in(repository, source, "log", "-1", "--format=%H %cI", "FETCH_HEAD"))

    def _signing_in(self, account: Login | None) -> dict[str, str]:
        """What git's environment needs for it."""
        if account is None:
            return {}
        found = {
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"credential.https://{account.host}.helper",
            "GIT_CONFIG_VALUE_0": _HELPER, "DRYDOCK_GIT_USERNAME": account.username,
            "DRYDOCK_GIT_PASSWORD": account.password,
        }  # fmt: skip
        if account.ca:
            path = self._folder / "ca.pem"
            path.write_text(account.ca)
            found["GIT_SSL_CAINFO"] = str(path)
        return found

    def _submodules(self, repository: Path, source: _Source) -> list[_Source]:
        """A commit holds the path of each submodule and the commit that belongs there; .gitmodules says where from."""
        paths = dict(self._links(repository))
        found = []
        for settings_of in self._listed(repository, source).values() if paths else ():
            path, url = settings_of.get("path", ""), _resolved(source.url, settings_of.get("url", ""))
            if path not in paths:
                continue
            try:
                address_check(url)
            except UserError:
                raise UserError("git_submodule", url=source.url, path=path, submodule=url[:300]) from None
            prefix = f"{source.prefix}{path.strip('/')}/"
            found.append(_Source(url, paths[path], prefix, source.depth + 1))
        return found

    def _listed(self, repository: Path, source: _Source) -> dict[str, dict[str, str]]:
        """What .gitmodules says, by section; nothing where there is none: then the path stays an empty folder."""
        found: dict[str, dict[str, str]] = {}
        with contextlib.suppress(UserError):
            blob = "FETCH_HEAD:.gitmodules"
            listed = self._in(repository, source, "config", "--null", "--blob", blob, "--list")
            for entry in listed.split("\0"):
                name, _, value = entry.partition("\n")
                section, _, key = name.rpartition(".")
                if section.startswith("submodule."):
                    found.setdefault(section, {})[key] = value
        return found

    def _links(self, repository: Path) -> Iterator[tuple[str, str]]:
        """The path and the commit of each submodule."""
        command = [self._program, "-C", str(repository), "ls-tree", "-r", "-z", "FETCH_HEAD"]
        with subprocess.Popen(
            command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            assert process.stdout
            for entry in _split(process.stdout, b"\0"):
                if entry.startswith(b"160000 commit "):
                    facts, _, path = entry.partition(b"\t")
                    yield path.decode(errors="replace"), facts.split()[2].decode()

    def _in(self, repository: Path, source: _Source, *arguments: str) -> str:
        return self._run(source, ["-C", str(repository), *arguments], 60)

    def _run(
        self, source: _Source, arguments: list[str], seconds: float, more: Mapping[str, str] | None = None
    ) -> str:
        """Runs git to its end; its output. Ends it when `check` raises, the time is over, or it grows too big."""
        with self._output(source) as output:
            process = subprocess.Popen(
                [self._program, "-c", "safe.directory=*", *arguments], env=self._environment | dict(more or {}),
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                self._wait(source, process, seconds)
            finally:
                if process.poll() is None:
                    _end(process)
            output.seek(0)
            text = source.hidden(output.read(MOST_OUTPUT).decode(errors="replace").strip("\0").strip())
        if process.returncode:
            raise _failure(source, text)
        return text

    def _output(self, source: _Source) -> IO[bytes]:
        """A file for what git says, with room for its last words where the disk fills up."""
        try:
            output = (self._folder / "output").open("w+b")
            output.write(bytes(4096))
            output.seek(0)
        except OSError as error:
            raise UserError("git_not_stored", url=source.url, raw=str(error)) from error
        return output

    def _wait(self, source: _Source, process: subprocess.Popen[bytes], seconds: float) -> None:
        give_up_at, look_at = time.monotonic() + seconds, 0.0
        while process.poll() is None:
            self._check()
            now = time.monotonic()
            if now > give_up_at:
                raise UserError("git_timeout", url=source.url, seconds=f"{seconds:g}")
            if now > look_at:
                look_at = now + SIZE_EVERY_SECONDS
                if _size(self._folder) > settings.CONTEXT_LIMIT_BYTES:
                    raise UserError("context_too_large", limit=f"{settings.CONTEXT_LIMIT_BYTES / 1e9:.3g} GB")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)

    def members(self, repository: Path, prefix: str) -> Iterator[Member]:
        command = [
            self._program, "-C", str(repository), "archive", "--format=tar", f"--prefix={prefix}", "FETCH_HEAD",
        ]  # fmt: skip
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


def _failure(source: _Source, text: str) -> UserError:
    low = text.lower()
    code = next((code for code, signs in _SIGNS if any(sign in low for sign in signs)), "git_failed")
    values = {"url": source.url, "ref": source.ref or "HEAD"}
    if code == "git_refused" and _is_elsewhere(source, text):
        code = "git_moved"
    elif source.account and code in _SIGNED_IN:
        code, values["account"] = _SIGNED_IN[code], source.account.name
    return UserError(code, raw=text[:4000], **values)


def _is_elsewhere(source: _Source, text: str) -> bool:
    """Whether it is another machine that turned git away, where a redirect led."""
    return any(host.lower() != urlsplit(source.url).netloc.lower() for host in _TURNED_AWAY.findall(text))


def _resolved(parent: str, url: str) -> str:
    """ "../lib.git" is meant from the repository that names it; see gitmodules(5)."""
    if not url.startswith(("./", "../")):
        return url
    parts = urlsplit(parent)
    return parts._replace(path=posixpath.normpath(posixpath.join(parts.path, url))).geturl()


def _split(stream: IO[bytes], separator: bytes) -> Iterator[bytes]:
    rest = b""
    while piece := stream.read(PIECE_BYTES):
        *whole, rest = (rest + piece).split(separator)
        yield from whole


_TURNED_AWAY = re.compile(r"Authentication failed for 'https://([^/']+)")
_SIGNED_IN = {"git_refused": "git_account_refused", "git_not_found": "git_account_blind"}
_SIGNS = (
    ("git_not_stored", ("no space left on device", "disk quota exceeded")),
    ("git_ref_missing", ("couldn't find remote ref", "not our ref", "upload-pack: not our ref")),
    ("git_refused", ("authentication failed", "could not read username", "could not read password", "error: 403",
                     "error: 401")),
    ("git_moved", ("http 30",)),
    ("git_not_found", ("not found", "does not exist", "does not appear to be a git repository",
                       "no such file or directory", "error: 404")),
    ("git_tls", ("certificate verif", "ssl certificate problem", "server certificate")),
    ("git_unreachable", ("could not resolve host", "failed to connect", "connection refused", "timed out",
                         "network is unreachable", "connection reset", "unable to access")),
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
