"""Reads archives that a person sent: member by member, never extracted, with every amount bounded.

Nothing here trusts a size, a name or a type that the archive claims: names that lead out of it are refused, as
are the forms of tar whose headers alone can fill the memory; what a compressed file grows to is counted.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from images.errors import UserError

CHUNK = 256 * 1024
MOST_MEMBERS = 500_000
LONGEST_HEADER = 1 << 20  # of the headers that carry long names
LARGEST_ZIP_LIST = 12 << 20  # zip's list of members is read whole: some 130,000 of them
MOST_XZ_MEMORY = 128 << 20
LONGEST_LINK = 4096
LONGEST_PATH = 4096  # of Linux; a header has room for one of half a million folders


@dataclass(slots=True)
class Member:
    """A file, folder or link. `body` may be read before the next member is asked for, and not later."""

    path: str
    info: tarfile.TarInfo
    body: Callable[[], Iterator[bytes]]

    @property
    def size_bytes(self) -> int:
        return self.info.size if self.info.isreg() else 0

    def packed(self) -> Iterator[bytes]:
        """The member as a tar archive holds it."""
        yield self.info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        if self.info.isreg():
            yield from self.body()
            yield bytes(-self.info.size % tarfile.BLOCKSIZE)


END = bytes(2 * tarfile.BLOCKSIZE)
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    EOFError,
)


def file_members(path: Path, limit_bytes: int) -> Iterator[Member]:
    """The members of a tar (plain, gzip, bzip2, xz, zstd) or zip file.

    Raises UserError context_broken, context_unsafe, context_too_large.
    """
    with path.open("rb") as file:
        if is_zip(file):
            yield from _understood(_zip_members(file), limit_bytes)
        else:
            yield from tar_members(file, limit_bytes)


def tar_members(stream: IO[bytes], limit_bytes: int) -> Iterator[Member]:
    """The same for a tar that comes as a stream, compressed or not."""
    yield from _understood(_tar_members(stream, limit_bytes), limit_bytes)


def _understood(members: Iterator[Member], limit_bytes: int) -> Iterator[Member]:
    """Counts, and says faults of the format in words."""
    total = 0
    try:
        for count, member in enumerate(members, 1):
            total += member.size_bytes
            if total > limit_bytes:
                raise too_large(limit_bytes)
            if count > MOST_MEMBERS:
                raise UserError("context_too_many", limit=f"{MOST_MEMBERS:,}")
            yield member
    except _UNREADABLE as error:
        raise UserError("context_broken", raw=f"{type(error).__name__}: {error}"[:500]) from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, gzip.BadGzipFile):
            raise
        raise UserError("context_broken", raw=str(error)[:500]) from error


def too_large(limit_bytes: int) -> UserError:
    return UserError("context_too_large", limit=f"{limit_bytes / 1e9:.3g} GB")


def readable(text: str) -> str:
    """Text from an archive as a page and every database take it: names need not be UTF-8, files may hold zeros."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")


def safe_path(name: str) -> str:
    """The name as a path inside the context; empty for the context itself. Raises UserError context_unsafe."""
    parts = name.split("/")
    if ".." in parts or "\0" in name or len(name) > LONGEST_PATH:
        raise UserError("context_unsafe", name=readable(name[:200]))
    path = posixpath.normpath("/".join(parts).lstrip("/") or ".")
    return "" if path == "." else path


def clean_info(path: str, kind: bytes, size: int = 0, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    """What is sent of a member: no owner and no extra headers, as docker's own client does it."""
    info = tarfile.TarInfo(path)
    info.type, info.size, info.mode, info.linkname = kind, size, mode & 0o7777, link
    return info


# tar


class _Guarded(tarfile.TarInfo):
    """Refuses headers whose size is the archive's to choose, and lists of holes, which have no end."""

    def _proc_member(self, tar: Any) -> Any:
        long = (
            tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
        )  # fmt: skip
        if self.type in long and self.size > LONGEST_HEADER:
            raise UserError("context_unsafe", name=f"{self.size:,} B of name")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise UserError("context_unsafe", name=readable(self.name[:200]))
        return super()._proc_member(tar)  # type: ignore[misc]

    def _refuse(self, *arguments: Any) -> None:
        raise UserError("context_unsafe", name=readable(self.name[:200]))

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse

    @classmethod
    def fromtarfile(cls, tar: Any) -> Any:
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            # tarfile itself takes rubbish after the first member for the end of the archive.
            raise UserError("context_broken", raw=str(error)) from error


def _tar_members(stream: IO[bytes], limit_bytes: int) -> Iterator[Member]:
    # Headers and padding come on top of what the files hold.
    counted = _Counted(_inflated(stream), limit_bytes + MOST_MEMBERS * 2048, limit_bytes)
    tar = tarfile.open(fileobj=cast("IO[bytes]", counted), mode="r|", tarinfo=_Guarded, bufsize=CHUNK)  # noqa: SIM115
    with contextlib.closing(tar):
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            if member := _tar_member(tar, info):
                yield member


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member | None:
    path = safe_path(info.name)
    if not path:
        return None
    if info.isreg():
        return Member(
            path, clean_info(path, tarfile.REGTYPE, info.size, info.mode), lambda: _tar_body(tar, info)
        )
    if info.isdir():
        return Member(path, clean_info(path, tarfile.DIRTYPE, 0, info.mode), _nothing)
    if info.issym():
        return Member(path, clean_info(path, tarfile.SYMTYPE, 0, info.mode, info.linkname), _nothing)
    if info.islnk():
        link = safe_path(info.linkname)
        return Member(path, clean_info(path, tarfile.LNKTYPE, 0, info.mode, link), _nothing)
    return None  # Devices, pipes and sockets: docker's own client does not send them either.


def _tar_body(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    file, left = tar.extractfile(info), info.size
    while file and left and (chunk := file.read(min(CHUNK, left))):
        left -= len(chunk)
        yield chunk
    if left:
        raise tarfile.ReadError("the archive ends in the middle of a file")


def _nothing() -> Iterator[bytes]:
    return iter(())


_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))


def _inflated(stream: IO[bytes]) -> Any:
    """The stream, decompressed where its first bytes say so."""
    buffered: Any = (
        stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("Any", stream), CHUNK)
    )
    head = buffered.peek(8)[:8]
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if kind == "gzip":
        return gzip.GzipFile(fileobj=buffered, mode="rb")
    if kind == "bzip2":
        return bz2.BZ2File(buffered)
    if kind == "xz":
        return io.BufferedReader(_Xz(buffered), CHUNK)
    if kind == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            buffered, read_across_frames=True
        )
    return buffered


class _Xz(io.RawIOBase):
    """lzma's own file has no limit on the memory that a stream may ask for."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._lzma: lzma.LZMADecompressor | None = None
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._lzma is None or self._lzma.eof:
                self._rest = (self._lzma.unused_data if self._lzma else b"") or self._source.read(CHUNK)
                self._rest = self._rest.lstrip(b"\0")  # padding between streams
                if not self._rest:
                    return 0
                self._lzma = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_XZ_MEMORY)
            elif self._lzma.needs_input and not self._rest:
                self._rest = self._source.read(CHUNK)
                if not self._rest:
                    raise EOFError("the compressed file ends too early")
            rest, self._rest = self._rest, b""
            data = self._lzma.decompress(rest, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


class _Counted:
    """Ends a stream that grows beyond all measure."""

    def __init__(self, source: Any, most_bytes: int, limit_bytes: int) -> None:
        self._source, self._left, self._limit_bytes = source, most_bytes, limit_bytes

    def read(self, size: int) -> bytes:
        data: bytes = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._limit_bytes)
        return data


# zip


def is_zip(file: IO[bytes]) -> bool:
    head = file.read(4)
    file.seek(0)
    return head in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_members(file: IO[bytes]) -> Iterator[Member]:
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and end[zipfile._ECD_SIZE] > LARGEST_ZIP_LIST:  # type: ignore[attr-defined]
        raise UserError("context_too_many", limit="130,000")
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if member := _zip_member(archive, info):
                yield member


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member | None:
    path, mode = safe_path(info.filename), info.external_attr >> 16
    if not path:
        return None
    if info.is_dir():
        return Member(path, clean_info(path, tarfile.DIRTYPE, 0, stat.S_IMODE(mode) or 0o755), _nothing)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            "context_broken", raw=f"{info.filename}: encrypted, or compressed in a way that is not read"
        )
    if stat.S_ISLNK(mode):
        if info.file_size > LONGEST_LINK:
            raise UserError("context_unsafe", name=readable(path[:200]))
        link = os.fsdecode(archive.read(info))
        return Member(path, clean_info(path, tarfile.SYMTYPE, 0, 0o777, link), _nothing)
    # Archives made on Windows say nothing of rights; docker's client makes such files executable.
    clean = clean_info(path, tarfile.REGTYPE, info.file_size, stat.S_IMODE(mode) or 0o755)
    return Member(path, clean, lambda: _zip_body(archive, info))


def _zip_body(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    left = info.file_size
    with archive.open(info) as file:
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise zipfile.BadZipFile("a file is shorter than the archive says")
