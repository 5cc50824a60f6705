"""Build contexts: where one comes from, what it holds, and the tar archive of it that an engine is sent.

The archive is made while it is sent: nothing is extracted and no second copy is written.
"""

import contextlib
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from heapq import heappushpop
from pathlib import Path
from typing import Any

from django.conf import settings

from images.contexts.dockerignore import Ignore, PatternError
from images.contexts.members import END, Member, clean_info, file_members, readable, safe_path
from images.errors import UserError

MOST_TEXT_BYTES = 256 * 1024  # of a Dockerfile or a .dockerignore
MOST_TEXTS = 200  # how many of them are kept while a context is looked through
LARGEST_SHOWN = 10
DOCKERFILES_SHOWN = 50
PIECE_BYTES = 256 * 1024  # of what is sent to an engine
IGNORE = ".dockerignore"

Members = Callable[[], Iterator[Member]]
"""The members of a context from the beginning, as often as it is called."""


def typed(text: str) -> Members:
    """A context of nothing but a Dockerfile."""
    body = text.replace("\r\n", "\n").encode()
    info = clean_info("Dockerfile", tarfile.REGTYPE, len(body))
    return lambda: iter([Member("Dockerfile", info, lambda: iter([body]))])


def archived(path: Path) -> Members:
    return lambda: file_members(path, settings.CONTEXT_LIMIT_BYTES)


@dataclass(slots=True)
class Survey:
    """What a context holds, and what of it would be sent."""

    folder: str = ""  # the part of the archive that is the context
    dockerfile: str = "Dockerfile"  # inside the folder
    dockerfiles: list[str] = field(default_factory=list)
    file_count: int = 0
    total_bytes: int = 0
    largest: list[tuple[str, int]] = field(default_factory=list)
    ignore_file: str = ""  # the .dockerignore that counts; "" = there is none
    ignored_count: int = 0
    ignored_bytes: int = 0
    dockerfile_text: str | None = None  # None: there is no such file
    ignore_text: str = ""

    @property
    def sent_count(self) -> int:
        return self.file_count - self.ignored_count

    @property
    def sent_bytes(self) -> int:
        return self.total_bytes - self.ignored_bytes

    @property
    def has_dockerfile(self) -> bool:
        return self.dockerfile_text is not None

    def as_json(self) -> dict[str, Any]:
        """Of what belongs on a page; the texts are read anew where they are needed."""
        values = asdict(self)
        del values["dockerfile_text"], values["ignore_text"]
        return values | {"sent_count": self.sent_count, "sent_bytes": self.sent_bytes}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Survey":
        """From what `as_json` gave, and the texts where they were kept beside it."""
        return cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored})

    def ignore(self) -> Ignore | None:
        return Ignore(self.ignore_text, [self.dockerfile]) if self.ignore_file else None


def survey(members: Members, *, folder: str = "", dockerfile: str = "") -> Survey:
    """Looks through a context once, and twice where a .dockerignore leaves something out.

    Without a `folder`, an archive that holds nothing beside one folder means that folder. Without a
    `dockerfile` it is the one named Dockerfile, else the only one there is. Raises UserError context_*, and
    build_syntax for a .dockerignore that docker refuses.
    """
    seen = _Seen()
    for member in members():
        seen.note(member)
    if not seen.count:
        raise UserError("context_empty")
    folder = safe_path(folder) if folder else seen.only_folder()
    found = Survey(folder=folder, dockerfiles=seen.dockerfiles(folder)[:DOCKERFILES_SHOWN])
    found.dockerfile = safe_path(dockerfile) if dockerfile else _likely(found.dockerfiles)
    found.dockerfile_text = seen.texts.get(posixpath.join(folder, found.dockerfile))
    for name in (f"{found.dockerfile}{IGNORE}", IGNORE):
        if (text := seen.texts.get(posixpath.join(folder, name))) is not None:
            found.ignore_file, found.ignore_text = name, text
            break
    with _patterns_said(found):
        _count(found, inside(members, folder), seen)
    return found


@contextlib.contextmanager
def _patterns_said(found: Survey) -> Iterator[None]:
    try:
        yield
    except PatternError as error:
        detail = readable(str(error))[:200]
        raise UserError(
            "context_ignore", file=found.ignore_file, line=str(error.line), detail=detail
        ) from error


def _likely(dockerfiles: list[str]) -> str:
    return "Dockerfile" if "Dockerfile" in dockerfiles or len(dockerfiles) != 1 else dockerfiles[0]


class _Seen:
    """A first look: names at the top, and the texts that decide about the rest."""

    def __init__(self) -> None:
        self.count = 0
        self.total_bytes = 0
        self.texts: dict[str, str] = {}
        self.largest: list[tuple[int, str]] = []
        self._tops: set[str] = set()
        self._has_top_file = False

    def note(self, member: Member) -> None:
        top, slash, _ = member.path.partition("/")
        if len(self._tops) < 3:
            self._tops.add(top)
        if not member.info.isdir():
            self.count += 1
            self.total_bytes += member.size_bytes
            self._has_top_file = self._has_top_file or not slash
            note_largest(self.largest, member)
        if _is_text(member) and len(self.texts) < MOST_TEXTS:
            text = b"".join(member.body()).decode(errors="replace")
            self.texts[readable(member.path)] = readable(text)

    def only_folder(self) -> str:
        if len(self._tops) != 1 or self._has_top_file:
            return ""
        [top] = self._tops
        return top if readable(top) == top else ""

    def dockerfiles(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        names = [path.removeprefix(start) for path in self.texts if path.startswith(start)]
        return sorted((n for n in names if not n.endswith(IGNORE)), key=lambda n: (n.count("/"), n))


def note_largest(largest: list[tuple[int, str]], member: Member) -> None:
    """Keeps a heap of the largest few."""
    if len(largest) < LARGEST_SHOWN:
        largest.append((member.size_bytes, readable(member.path)))
        largest.sort()
    elif member.size_bytes > largest[0][0]:
        heappushpop(largest, (member.size_bytes, readable(member.path)))


def _is_text(member: Member) -> bool:
    name = posixpath.basename(member.path)
    is_one = is_dockerfile(name) or name.endswith(IGNORE)
    return is_one and member.info.isreg() and member.size_bytes <= MOST_TEXT_BYTES


def is_dockerfile(name: str) -> bool:
    low = name.lower()
    return (
        low in ("dockerfile", "containerfile")
        or low.startswith("dockerfile.")
        or low.endswith((".dockerfile", ".containerfile"))
    ) and not low.endswith(IGNORE)


def _count(found: Survey, members: Members, seen: _Seen) -> None:
    """The figures of the folder; the whole archive's are known from the first look."""
    ignore = found.ignore()
    if ignore is None and not found.folder:
        found.file_count, found.total_bytes, largest = seen.count, seen.total_bytes, seen.largest
    else:
        largest = []
        for member in members():
            if not member.info.isdir():
                _count_member(found, member, ignore, largest)
    found.largest = [(path, size) for size, path in sorted(largest, reverse=True)]
    if not found.file_count:
        raise UserError("context_folder_missing", folder=found.folder)


def _count_member(
    found: Survey, member: Member, ignore: Ignore | None, largest: list[tuple[int, str]]
) -> None:
    found.file_count += 1
    found.total_bytes += member.size_bytes
    if ignore and ignore.leaves_out(member.path):
        found.ignored_count += 1
        found.ignored_bytes += member.size_bytes
    else:
        note_largest(largest, member)


def inside(members: Members, folder: str) -> Members:
    """What is below the folder, with names as seen from there."""
    if not folder:
        return members
    start = f"{folder}/"

    def below() -> Iterator[Member]:
        for member in members():
            if not member.path.startswith(start):
                continue
            path = member.path.removeprefix(start)
            member.path = member.info.name = path
            if member.info.islnk():
                if not member.info.linkname.startswith(start):
                    raise UserError("context_unsafe", name=path[:200])
                member.info.linkname = member.info.linkname.removeprefix(start)
            yield member

    return below


def packed(members: Members, found: Survey) -> Iterator[bytes]:
    """The context as a tar archive, without what .dockerignore leaves out, in pieces of PIECE_BYTES or more.

    Headers and small files are gathered: each piece costs several calls on its way to the engine.
    """
    gathered = bytearray()
    with _patterns_said(found):
        for chunk in _packed(members, found):
            gathered += chunk
            if len(gathered) >= PIECE_BYTES:
                yield bytes(gathered)
                gathered.clear()
    yield bytes(gathered)


def _packed(members: Members, found: Survey) -> Iterator[bytes]:
    ignore = found.ignore()
    for member in inside(members, found.folder)():
        if ignore is None or not ignore.leaves_out(member.path):
            yield from member.packed()
    yield END
