"""What a file is packed with, from its first bytes."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator

import pytest
import zstandard

from images.errors import UserError
from images.transfers import archives


def tar_of(content: bytes, form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


TAR = tar_of(b"[]" * 5000)


def in_pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("size", [1, 100, 511, 512, 100_000])
def test_plain_archive_passes_as_it_is(form: int, size: int) -> None:
    content = tar_of(b"{}", form)
    assert b"".join(archives.opened(in_pieces(content, size))) == content


@pytest.mark.parametrize("size", [700, 100_000])
def test_zstd_is_unpacked_and_others_are_left_to_the_engine(size: int) -> None:
    packed = zstandard.ZstdCompressor().compress(TAR)
    assert b"".join(archives.opened(in_pieces(packed, size))) == TAR
    two = zstandard.ZstdCompressor().compress(TAR[:600]) + zstandard.ZstdCompressor().compress(TAR[600:])
    assert b"".join(archives.opened(in_pieces(two, size))) == TAR
    for left in (gzip.compress(TAR), bz2.compress(TAR), lzma.compress(TAR)):
        assert b"".join(archives.opened(in_pieces(left, size))) == left


def test_zstd_that_swells_is_unpacked_in_small_pieces() -> None:
    head = TAR[:512]
    packed = zstandard.ZstdCompressor().compress(head + bytes(300_000_000))
    assert len(packed) < 100_000
    assert max(len(piece) for piece in archives.opened([packed])) <= archives.PIECE_BYTES


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "archive_empty"),
        (b"x", "archive_unknown"),
        (b"PK\x03\x04" + bytes(2000), "archive_unknown"),
        (bytes(2000), "archive_unknown"),
        (gzip.compress(b"hello" * 1000, mtime=0), "archive_unknown"),
        (b"\x1f\x8b and then nothing of it" * 100, "archive_unknown"),
        (zstandard.ZstdCompressor().compress(b"hello" * 1000), "archive_unknown"),
        (b"\x28\xb5\x2f\xfd and then nothing of it" * 100, "archive_broken"),
    ],
    # Bytes in a name would differ from one process to the next.
    ids=["empty", "one byte", "zip", "zeros", "gzip of text", "broken gzip", "zstd of text", "broken zstd"],
)
def test_what_is_no_archive_is_refused_at_its_first_bytes(content: bytes, code: str) -> None:
    with pytest.raises(UserError) as refused:
        archives.opened([content])
    assert refused.value.code == code


def test_damaged_zstd_is_said() -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(TAR * 30))
    packed[-1] ^= 1
    with pytest.raises(UserError) as broken:
        list(archives.opened([bytes(packed)]))
    assert broken.value.code == "archive_broken"


def test_packing_as_it_goes_gives_the_same_bytes() -> None:
    assert gzip.decompress(b"".join(archives.gzipped(in_pieces(TAR, 1000)))) == TAR
