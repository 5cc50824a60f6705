"""Builds with secrets: docker's own buildx, beside the worker, opens the session that the engine's API lacks.

Used for nothing else: a build without secrets needs no program. Killing it cancels the build in the engine.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from images.engine import child, scratch
from images.engine.build import BuildRequest, away, failed
from images.engine.buildkit import Log, Status, Told, Vertex, Warned
from images.engine.client import Connection, Engine
from images.engine.quiet import Watch
from images.engine.steps import Line, Steps
from images.errors import UserError

FOLDERS = (
    "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
)  # fmt: skip
"""Where docker looks for its plugins on every machine."""
CONTEXT = "drydock"
END_SECONDS = 30.0  # a killed process that does not end by then never will
LAST_WORDS = 200  # lines
PING_SECONDS = 10.0


def program() -> str | None:
    """Where buildx is: what the setting BUILDX says, else as a program or as docker's plugin; None without it."""
    places = (os.environ.get("PATH", os.defpath), *FOLDERS)
    found = shutil.which(settings.BUILDX or "docker-buildx", path=os.pathsep.join(places))
    return str(Path(found).absolute()) if found else None


def build(
    engine: Engine,
    request: BuildRequest,
    context: Iterable[bytes],
    steps: Steps,
    secrets: Mapping[str, str],
    *,
    host: str = "",
) -> Generator[list[Line]]:
    """As `build.build`, with `secrets` for mounts of the Dockerfile, by their id.

    Raises UserError buildx_missing where the program is not installed, and what `build.build` raises.
    """
    if program() is None:
        raise UserError("buildx_missing")
    fault_of = partial(away, engine=engine, host=host)
    with Watch(engine, fault_of=fault_of) as watch, _running(engine, request, secrets) as run:
        for document in run.documents(watch.seen(context)):
            watch.note()
            if lines := [line for piece in told(document) for line in steps.take(piece)]:
                yield lines
        steps.image_id, words = run.image_id(), steps.hide(run.last_words)
        yield steps.close(is_built=bool(steps.image_id), error=words)
        if not steps.image_id:
            raise _failure(engine, words, steps, host)


def _failure(engine: Engine, words: str, steps: Steps, host: str) -> UserError:
    if engine.is_cut or not words:
        return UserError("host_gone", host=host, raw=words)
    if steps.failed is None:
        engine.ping(PING_SECONDS)  # an engine that went away is no fault of the build
    return failed(engine, words, steps, host=host)


class _Run:
    """One process of buildx."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder = process, folder
        # Without a bound: were it full while the context goes out, both sides would wait for each other.
        self._told: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._reader = threading.Thread(target=self._read, name="buildx", daemon=True)
        self._reader.start()

    @property
    def last_words(self) -> str:
        """What it said beside its progress: why it failed."""
        return "".join(self._words).strip().removeprefix("ERROR: ")

    def image_id(self) -> str:
        """Of what was built; empty unless it succeeded."""
        path = self._folder / "metadata.json"
        if self._process.wait(END_SECONDS) or not path.exists():
            return ""
        # The containerd store calls an image by this as well, and not by its configuration's digest.
        return str(json.loads(path.read_text()).get("containerimage.digest") or "")

    def documents(self, body: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """Sends the context, and gives what is told meanwhile and afterwards."""
        assert self._process.stdin
        # Who ends before it has read everything says why in its last words.
        with contextlib.suppress(BrokenPipeError):
            for chunk in itertools.chain([_beginning()], body):
                self._process.stdin.write(chunk)
                yield from self._waiting()
            self._process.stdin.close()
        while (document := self._told.get()) is not None:
            yield document

    def _waiting(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(queue.Empty):
            while (document := self._told.get_nowait()) is not None:
                yield document
            self._told.put(None)  # that was the end, which whoever reads to the end still needs

    def _read(self) -> None:
        assert self._process.stderr
        try:
            for found in documents(self._process.stderr, self._words.append):
                self._told.put(found)
        finally:
            self._told.put(None)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(END_SECONDS)
        self._reader.join(END_SECONDS)
        for stream in (self._process.stdin, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


@contextlib.contextmanager
def _running(engine: Engine, request: BuildRequest, secrets: Mapping[str, str]) -> Iterator[_Run]:
    """The process with everything it keeps in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(dir=scratch.folder()) as name:
        folder = Path(name)
        names = {key: f"DRYDOCK_SECRET_{number}" for number, key in enumerate(secrets)}
        process = subprocess.Popen(
            child.command(str(program()), *_arguments(request, names, folder)),
            env=_environment(engine.near, folder) | {names[key]: secrets[key] for key in secrets},
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        run = _Run(process, folder)
        try:
            engine.on_cut(process.kill)
            yield run
        finally:
            run.end()


def _beginning() -> bytes:
    """The context's own folder, as its first member.

    buildx tells an archive from a Dockerfile by its first kilobyte, which the headers of a long name exceed.
    """
    info = tarfile.TarInfo("./")
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.GNU_FORMAT)


def _arguments(request: BuildRequest, secrets: Mapping[str, str], folder: Path) -> list[str]:
    """The command line; secrets are named there and never written."""
    pairs = [
        ("--file", request.dockerfile), ("--target", request.target), ("--network", request.network),
        ("--platform", request.platform), ("--metadata-file", str(folder / "metadata.json")),
        *(("--tag", tag) for tag in request.tags),
        *(("--build-arg", f"{name}={value}") for name, value in request.build_args.items()),
        *(("--label", f"{name}={value}") for name, value in request.labels.items()),
        *(("--secret", f"id={key},env={name}") for key, name in secrets.items()),
        # Who may build with the host's network has asked for it by that option.
        ("--allow", "network.host" if request.network == "host" else ""),
    ]  # fmt: skip
    flags = [("--no-cache", request.no_cache), ("--pull", request.pull)]
    return [
        "build", "--progress", "rawjson",
        *(word for name, value in pairs if value for word in (name, value)),
        *(flag for flag, is_set in flags if is_set),
        "-",
    ]  # fmt: skip


def _environment(connection: Connection, folder: Path) -> dict[str, str]:
    """The engine as docker's programs are told of it, and nothing of the worker's own environment."""
    _context_write(connection, folder / "contexts")
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "DOCKER_CONFIG": str(folder),
        "BUILDX_CONFIG": str(folder / "buildx"), "DOCKER_CONTEXT": CONTEXT,
        # An attestation would make the image an index with a second, unknown platform.
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }  # fmt: skip


def _context_write(connection: Connection, folder: Path) -> None:
    """A context of docker's: run by itself, buildx takes no certificates from the environment."""
    key = hashlib.sha256(CONTEXT.encode()).hexdigest()
    meta = {"Name": CONTEXT, "Metadata": {}, "Endpoints": {"docker": {"Host": connection.address}}}
    _write(folder / "meta" / key / "meta.json", json.dumps(meta))
    if connection.use_tls:
        ca = connection.ca or Path(DEFAULT_CA_BUNDLE_PATH).read_text()
        for name, text in (("ca", ca), ("cert", connection.certificate), ("key", connection.key)):
            if text:
                _write(folder / "tls" / key / "docker" / f"{name}.pem", text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def documents(
    stream: IO[bytes] | Iterable[bytes], other: Any = lambda line: None
) -> Iterator[dict[str, Any]]:
    """The JSON documents of `--progress rawjson`, one a line or indented; `other` gets every other line."""
    held = ""
    for raw in stream:
        line = raw.decode(errors="replace")
        if not held and not line.startswith("{"):
            other(line)
            continue
        held += line
        if held != line and not line.startswith("}"):
            continue  # in the middle of an indented one
        try:
            document = json.loads(held)
        except ValueError:
            continue
        held = ""
        yield document


def told(document: Mapping[str, Any]) -> Iterator[Told]:
    """What one document says: BuildKit's StatusResponse, as `buildkit.told` reads it from protobuf."""
    for each in document.get("vertexes") or ():
        yield Vertex(
            digest=str(each.get("digest") or ""),
            name=str(each.get("name") or ""),
            is_cached=bool(each.get("cached")),
            started_at=_moment(each.get("started")),
            completed_at=_moment(each.get("completed")),
            error=str(each.get("error") or ""),
        )
    for each in document.get("statuses") or ():
        yield Status(
            key=str(each.get("id") or ""),
            vertex=str(each.get("vertex") or ""),
            name=str(each.get("name") or ""),
            done_bytes=int(each.get("current") or 0),
            total_bytes=int(each.get("total") or 0),
            is_complete=bool(each.get("completed")),
        )
    for each in document.get("logs") or ():
        data = base64.b64decode(each.get("data") or "")
        yield Log(str(each.get("vertex") or ""), data, int(each.get("stream") or 0))
    for each in document.get("warnings") or ():
        text = base64.b64decode(each.get("short") or "").decode(errors="replace")
        yield Warned(str(each.get("vertex") or ""), text)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
