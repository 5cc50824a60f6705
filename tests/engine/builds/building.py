"""What the tests of builds share: a base image, a build from its start to its end, what became of it."""

import contextlib
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import zstandard

from config.demo.engines import PrivateEngine
from images.commands.build import build_start
from images.engine import quiet
from images.jobs.life import job_carry_out
from images.models import Host, Job, Upload, User
from images.transfers import uploads
from tests.conftest import closing
from tests.engine.workers import wait_for

BASE = "shop/tools:1"
"""A base image with a shell; a typed Dockerfile has nothing to copy one from."""


def built(host: Host, person: User, **options: Any) -> Job:
    [job] = build_start(by=person, hosts=[host], **({"network": "none"} | options))
    job_carry_out(job.pk)
    job.refresh_from_db()
    assert not job.is_open, f"{job.state}: taken by {job.worker or 'nobody'}"
    return job


def steps(job: Job) -> dict[str, str]:
    """Of each instruction, what became of it."""
    return {step["name"]: step["state"] for step in job.detail["steps"] if step["kind"] == "step"}


def log(job: Job) -> str:
    return "".join(job.log.values_list("text", flat=True))


def archive(files: dict[str, str], kind: str = "tar") -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
            for name, text in files.items():
                made.writestr(name, text)
        return buffer.getvalue()
    mode: Any = {"gz": "w:gz", "xz": "w:xz", "bz2": "w:bz2"}.get(kind, "w")
    with tarfile.open(fileobj=buffer, mode=mode) as packed:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            packed.addfile(info, io.BytesIO(text.encode()))
    return zstandard.compress(buffer.getvalue()) if kind == "zst" else buffer.getvalue()


def sent(person: User, data: bytes, name: str = "context.tar") -> Upload:
    upload = uploads.upload_begin(by=person, name=name)
    uploads.upload_path(upload).write_bytes(data)
    return uploads.upload_end(upload, len(data))


STAGES = f"""
FROM {BASE} AS build
ARG VERSION=none
RUN echo built $VERSION > /out; echo said $VERSION
FROM scratch AS extra
COPY --from=build /bin/busybox /extra
FROM scratch AS final
COPY --from=build /out /out
LABEL own=1
"""


def content_of(engine: PrivateEngine, name: str) -> set[str]:
    """The files in the image's layers; what these are called in an archive differs by engine."""
    with engine.client() as api:
        outer = tarfile.open(fileobj=io.BytesIO(b"".join(api.get_image(name))))  # noqa: SIM115

    def inside(path: str) -> io.BytesIO:
        file = outer.extractfile(path)
        assert file
        return io.BytesIO(file.read())

    found: set[str] = set()
    for path in json.load(inside("manifest.json"))[0]["Layers"]:
        with tarfile.open(fileobj=inside(path)) as layer:
            found |= {each.name for each in layer.getmembers() if each.isreg()}
    return found


SECONDS_ASLEEP = str(900_000 + os.getpid() % 90_000)  # its own in each process of the tests

SLEEP = f"FROM {BASE}\nRUN echo asleep; sleep {SECONDS_ASLEEP}\n"


def sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if SECONDS_ASLEEP.encode() in command and b"sleep" in command[0]:
            found.append(entry.name)
    return found


@contextlib.contextmanager
def asleep(host: Host, person: User, text: str = SLEEP, **options: Any) -> Iterator[Job]:
    """A build whose step sleeps; it has ended when the block has. Silence counts as hanging after half a second."""
    with (
        mock.patch.object(quiet, "QUIET_SECONDS", 0.5),
        mock.patch.object(quiet, "ANSWER_SECONDS", 0.5),
    ):
        [job] = build_start(by=person, hosts=[host], network="none", dockerfile_text=text, **options)
        thread = threading.Thread(target=closing(job_carry_out), args=(job.pk,))
        thread.start()
        wait_for(sleepers, 20)
        job.refresh_from_db()
        yield job
        thread.join(20)
        assert not thread.is_alive()
    job.refresh_from_db()
