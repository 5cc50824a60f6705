"""Build contexts: what archives hold, what is left out, and that nothing in them is trusted."""

import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from images.contexts import dockerignore, members
from images.contexts.archive import archived, packed, survey
from images.contexts.dockerfiles import bases, instructions, numbered, secret_ids
from images.errors import UserError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def made(data: bytes) -> Path:
        path = tmp_path / "context"
        path.write_bytes(data)
        return path

    return made


def tar(*entries: tuple[str, Any], **options: Any) -> bytes:
    """Of names with bytes, or with a TarInfo's attributes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as made:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
            else:
                for key, value in content.items():
                    setattr(info, key, value)
                made.addfile(info)
    return buffer.getvalue()


def names_sent(path: Path, **options: Any) -> list[str]:
    found = survey(archived(path), **options)
    data = b"".join(packed(archived(path), found))
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        return read.getnames()


def code_of(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        names_sent(path)
    return refused.value.code


def test_survey_counts_files_bytes_and_the_largest(write: Callable[[bytes], Path]) -> None:
    found = survey(archived(write(tar(
        ("Dockerfile", b"FROM scratch\n"), ("big", b"x" * 5000), ("a/small", b"y"), ("a", {"type": tarfile.DIRTYPE}),
    ))))  # fmt: skip
    assert (found.file_count, found.total_bytes, found.ignore_file) == (3, 5014, "")
    assert found.largest == [("big", 5000), ("Dockerfile", 13), ("a/small", 1)]
    assert found.dockerfile_text == "FROM scratch\n"


def test_dockerignore_of_the_dockerfile_itself_comes_first(write: Callable[[bytes], Path]) -> None:
    path = write(tar(
        ("docker/prod.Dockerfile", b"FROM scratch\n"), ("docker/prod.Dockerfile.dockerignore", b"a\n"),
        (".dockerignore", b"b\n"), ("a", b"1"), ("b", b"2"),
    ))  # fmt: skip
    names = names_sent(path, dockerfile="docker/prod.Dockerfile")
    assert ("a" in names, "b" in names) == (False, True)


def test_links_and_long_names_survive_and_devices_do_not(write: Callable[[bytes], Path]) -> None:
    long = "d/" * 60 + "x" * 150
    path = write(tar(
        ("Dockerfile", b"FROM scratch\n"), (long, b"1"), ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "./Dockerfile"}), ("pipe", {"type": tarfile.FIFOTYPE}),
        ("./dotted", b"2"),
    ))  # fmt: skip
    found = survey(archived(path))
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(archived(path), found)))) as read:
        members = {member.name: member for member in read.getmembers()}
    assert set(members) == {"Dockerfile", long, "link", "hard", "dotted"}
    assert members["link"].linkname == "/etc/passwd"
    assert (members["hard"].linkname, members["Dockerfile"].uid) == ("Dockerfile", 0)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/../evil", "a/.."])
def test_name_that_leads_out_is_refused(write: Callable[[bytes], Path], name: str) -> None:
    assert code_of(write(tar((name, b"x")))) == "context_unsafe"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(name, "x")
    assert code_of(write(buffer.getvalue())) == "context_unsafe"


def test_absolute_name_is_taken_from_the_top(write: Callable[[bytes], Path]) -> None:
    assert names_sent(write(tar(("/etc/x", b"1"), ("Dockerfile", b"FROM scratch")))) == [
        "etc/x",
        "Dockerfile",
    ]


def test_names_and_texts_that_are_no_utf_8_can_be_stored_and_shown(write: Callable[[bytes], Path]) -> None:
    data = tar(("\udcff.Dockerfile", b"FROM scratch\0\xff\n"), ("\udcff/x", b"1"))
    found = survey(archived(write(data)))
    json.dumps(found.as_json(), ensure_ascii=False).encode()
    assert "\0" not in str(found.dockerfile_text)
    sent = b"".join(packed(archived(write(data)), found))
    with tarfile.open(fileobj=io.BytesIO(sent)) as read:
        assert read.getnames() == ["\udcff.Dockerfile", "\udcff/x"]
    assert code_of(write(tar(("../\udcff", b"x")))) == "context_unsafe"
    assert survey(archived(write(tar(("\udcff/x", b"1"))))).folder == ""


def test_hard_link_that_leads_out_is_refused(write: Callable[[bytes], Path]) -> None:
    link = {"type": tarfile.LNKTYPE, "linkname": "../../etc/shadow"}
    assert code_of(write(tar(("x", link)))) == "context_unsafe"


def test_header_that_would_fill_the_memory_is_refused(write: Callable[[bytes], Path]) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 8 << 30
        assert code_of(write(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))) == "context_unsafe"


def test_file_with_holes_is_refused(write: Callable[[bytes], Path]) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    assert code_of(write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))) == "context_unsafe"
    sparse = tar(("x", {"pax_headers": {"GNU.sparse.map": "0,1,5,1"}}), format=tarfile.PAX_FORMAT)
    assert code_of(write(sparse)) == "context_unsafe"


@pytest.mark.parametrize(
    "pack", [gzip.compress, lzma.compress, zstandard.compress], ids=["gzip", "xz", "zstd"]
)
def test_archive_that_grows_beyond_the_limit_is_refused(
    write: Callable[[bytes], Path], settings: Any, pack: Callable[[bytes], bytes]
) -> None:
    settings.CONTEXT_LIMIT_BYTES = 1_000_000
    assert code_of(write(pack(tar(("zeros", bytes(2_000_000)))))) == "context_too_large"


def test_zip_that_grows_beyond_the_limit_is_refused(write: Callable[[bytes], Path], settings: Any) -> None:
    settings.CONTEXT_LIMIT_BYTES = 1_000_000
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(2_000_000))
    assert code_of(write(buffer.getvalue())) == "context_too_large"


def test_padding_that_never_ends_is_refused(
    write: Callable[[bytes], Path], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MOST_MEMBERS", 10)
    settings.CONTEXT_LIMIT_BYTES = 1_000_000
    many = tar(*((str(n), b"") for n in range(20)))
    assert code_of(write(many)) == "context_too_many"


def test_xz_that_asks_for_a_gigabyte_of_memory_is_refused(write: Callable[[bytes], Path]) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    data = lzma.compress(tar(("a", b"1")), filters=filters)
    assert code_of(write(data)) == "context_broken"


def test_xz_in_several_streams_is_read_to_its_end(write: Callable[[bytes], Path]) -> None:
    data = tar(("Dockerfile", b"FROM scratch\n"), ("a", os.urandom(300_000)))
    joined = lzma.compress(data[:100_000]) + bytes(4) + lzma.compress(data[100_000:])
    assert names_sent(write(joined)) == ["Dockerfile", "a"]


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lzma.compress, zstandard.compress], ids=["tar", "gzip", "xz", "zstd"]
)
def test_archive_that_is_cut_off_is_broken(
    write: Callable[[bytes], Path], pack: Callable[[bytes], bytes], cut: float
) -> None:
    data = pack(tar(("Dockerfile", b"FROM scratch\n"), ("a", os.urandom(300_000))))
    assert code_of(write(data[: int(len(data) * cut)])) == "context_broken"


def test_rubbish_is_broken_and_nothing_is_empty(write: Callable[[bytes], Path]) -> None:
    assert code_of(write(os.urandom(5000))) == "context_broken"
    assert code_of(write(tar(("Dockerfile", b"FROM scratch"))[:1024] + b"x" * 2048)) == "context_broken"
    assert code_of(write(tar())) in ("context_empty", "context_broken")
    assert code_of(write(b"PK\x05\x06" + bytes(18))) == "context_empty"
    assert code_of(write(b"PK\x03\x04" + bytes(50))) == "context_broken"


def test_zip_whose_list_lies_about_its_size_is_refused(write: Callable[[bytes], Path]) -> None:
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 200 << 20, 0, 0)
    assert code_of(write(b"PK\x03\x04" + bytes(100) + end)) in ("context_too_many", "context_broken")


def test_folder_that_is_not_there_is_said(write: Callable[[bytes], Path]) -> None:
    path = write(tar(("a/Dockerfile", b"FROM scratch"), ("b/x", b"1")))
    with pytest.raises(UserError) as refused:
        survey(archived(path), folder="c")
    assert refused.value.code == "context_folder_missing"
    assert names_sent(path, folder="a/") == ["Dockerfile"]


@pytest.mark.parametrize("pattern", ["[ab", "!"])
def test_dockerignore_that_docker_refuses_is_said(write: Callable[[bytes], Path], pattern: str) -> None:
    path = write(tar(("Dockerfile", b"FROM scratch\n"), (".dockerignore", f"a\n{pattern}\n".encode())))
    with pytest.raises(UserError) as refused:
        survey(archived(path))
    assert (refused.value.code, refused.value.values) == (
        "context_ignore",
        {"file": ".dockerignore", "line": "2", "detail": f"syntax error in pattern: {pattern}"},
    )


def test_dockerignore_that_would_take_for_ever_is_refused(
    write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerignore, "MATCH_SECONDS", 0.05)
    pattern = "/".join(["**/a"] * 20) + "/x"
    path = write(
        tar(("Dockerfile", b"FROM scratch\n"), (".dockerignore", pattern.encode()), ("a/" * 2000 + "b", b""))
    )
    assert code_of(path) == "context_ignore"


def test_path_of_more_folders_than_a_disk_can_hold_is_refused(write: Callable[[bytes], Path]) -> None:
    assert code_of(write(tar(("a/" * 2100 + "b", b"")))) == "context_unsafe"


def test_secrets_that_a_dockerfile_mounts() -> None:
    text = r"""
FROM alpine
# RUN --mount=type=secret,id=comment x
RUN --mount=type=cache,target=/c --mount=type=secret,id=npmrc,target=/etc/npmrc npm ci
run --mount=type=secret,target=/run/keys/deploy \
    --mount=type=secret,id=npmrc cat
RUN --mount=type=secret x && echo --mount=type=bind
ENV A=--mount=type=secret,id=no
"""
    assert secret_ids(text) == ["npmrc", "deploy", "secret"]


def test_bases_of_a_dockerfile() -> None:
    text = """# syntax=docker/dockerfile:1
ARG VERSION=1.0
ARG REGISTRY
FROM --platform=$BUILDPLATFORM debian:${VERSION:-12} AS build
RUN <<EOF
FROM nothing
EOF
COPY --from=ghcr.io/acme/tools:2 /x /y
FROM ${REGISTRY}/shop/base
COPY --from=build \\
  /a /b
from scratch
FROM build
COPY --from=0 /a /b
"""
    assert bases(text) == ["debian:1.0", "ghcr.io/acme/tools:2"]
    assert bases(text, {"REGISTRY": "r.example.com", "VERSION": ""})[:3] == [
        "debian:12", "ghcr.io/acme/tools:2", "r.example.com/shop/base",
    ]  # fmt: skip


def test_images_that_a_step_mounts_are_bases_too() -> None:
    text = """ARG TOOLS=2
FROM debian:12 AS build
RUN --mount=from=r.example.com/tools:$TOOLS,target=/tools --mount=type=bind,from=r.example.com/data,target=/d make
RUN --network=none --mount=type=cache,From=r.example.com/cache,target=/c \\
    --mount="type=bind,from=r.example.com/quoted,target=/q" make
RUN --mount=from=build,target=/b --mount=from=0,target=/z --mount=type=cache,target=/c --mount=type=secret,id=x true
RUN echo --mount=from=no/flag && tool --mount=from=no/flag
COPY --chown=1:1 --from=r.example.com/copied a b
COPY a --from=no/flag b
ADD --from=no/flag a b
run --mount=from=r.example.com/lower true
RUN --mount=from=${UNKNOWN},target=/u true
"""
    names = ["tools:2", "data", "cache", "quoted", "copied", "lower"]
    assert bases(text) == ["debian:12", *(f"r.example.com/{name}" for name in names)]
    assert bases(text, {"TOOLS": "3"})[1] == "r.example.com/tools:3"


def test_instruction_goes_on_over_comments_and_empty_lines() -> None:
    text = (
        "\ufeffFROM a\r\nRUN one \\\n\n  # between\n  FROM b \\ \n  three\n\nUSER x\x0cy\u2028z\nRUN end \\"
    )
    assert list(numbered(text)) == [
        (1, "FROM a"),
        (2, "RUN one FROM b three"),
        (8, "USER x\x0cy\u2028z"),
        (9, "RUN end"),
    ]
    assert list(instructions("# escape=`\nRUN a `\n  FROM b\nRUN c \\\n")) == ["RUN a FROM b", "RUN c \\"]


@pytest.mark.parametrize(
    "text",
    [
        "RUN <<EOF\nFROM b\nEOF",
        "RUN cat <<EOF > /a && cat <<'E-2' > /b\nEOF2\nFROM b\nEOF\nFROM c\nE-2",
        "RUN <<-EOF\n\tFROM b\n\tEOF",
        "RUN <<EOF\nFROM b\n  EOF\nFROM c\nEOF",
        "COPY <<EOF /a\nFROM b\nEOF",
        'RUN cat <<< "EOF"',
        "RUN echo $((1<<3)) $((1 << n))",
        'RUN sh -c "cat <<EOF"',
        "ENV A <<EOF",
    ],
)
def test_body_of_a_heredoc_is_no_instruction_and_what_looks_like_one_has_none(text: str) -> None:
    assert list(instructions(f"{text}\nUSER x\n")) == [text.partition("\n")[0], "USER x"]
