"""What a file of images is packed with, and whether it is one at all; read from its first bytes."""

import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import zstandard

from images.errors import UserError

PIECE_BYTES = 1024 * 1024
GZIP_LEVEL = 4  # three quarters of what level 9 saves at a third of its time
_HEAD_BYTES = 512  # the first header of a tar archive
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Engines unpack these by themselves; what is inside is theirs to judge.
_LEFT_TO_ENGINE = (b"BZh", b"\xfd7zXZ\x00")


def opened(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The archive as every engine takes it: a zstd one unpacked, all others as they came.

    Looks at the first bytes at once. Raises UserError archive_unknown when this is no archive, archive_empty when
    there is nothing, and archive_broken from the iterator when a zstd stream is damaged.
    """
    rest = iter(pieces)
    head = _head(rest)
    if not head:
        raise UserError("archive_empty")
    whole = itertools.chain([head], rest)
    if head.startswith(_ZSTD):
        unpacked = _zstd(whole)
        return itertools.chain([_checked(_head(unpacked))], unpacked)
    if head.startswith(_GZIP):
        _checked(_gzip_head(head))
    elif not head.startswith(_LEFT_TO_ENGINE):
        _checked(head)
    return whole


def _head(pieces: Iterator[bytes]) -> bytes:
    """The first pieces as one, of _HEAD_BYTES at least where there are so many."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD_BYTES:
            break
    return head


def _checked(head: bytes) -> bytes:
    if not is_tar(head):
        raise UserError("archive_unknown")
    return head


def is_tar(head: bytes) -> bool:
    """Whether these bytes begin a tar archive: its header holds the sum of its own bytes."""
    if len(head) < _HEAD_BYTES:
        return False
    header = head[:_HEAD_BYTES]
    try:
        told = int(header[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return told == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


def _gzip_head(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


class _Pieces:
    """An iterator of bytes with the `read` that zstandard asks for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def _zstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpacked in pieces of bounded size, whatever the archive swells to."""
    source: Any = _Pieces(pieces)  # asked for no more than `read`
    reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    try:
        while piece := reader.read(PIECE_BYTES):
            yield piece
    except zstandard.ZstdError as error:
        raise UserError("archive_broken", raw=str(error)) from error


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes packed with gzip, as they come."""
    packer = zlib.compressobj(GZIP_LEVEL, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
