"""Makes real images without a registry: `docker load` archives with chosen layers, sizes and dates.

Bytes are zeros: they cost nothing to make, and an engine stores and counts them like any others.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker

BLOCK = 512
CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
APPLETS = ("sh", "sleep", "cat", "ls", "echo", "true", "httpd")


@dataclass(frozen=True)
class Layer:
    """One filesystem diff: a file of `size_bytes` zeros at `path`. The same path and size give the same diff.

    `content` replaces the zeros; `tools` adds a static busybox, so that containers can run.
    """

    path: str
    size_bytes: int = 0
    created_by: str = ""
    content: bytes | None = None
    tools: bool = False
    created_at: datetime | None = None

    def entries(self) -> Iterator[tuple[tarfile.TarInfo, Iterable[bytes]]]:
        if self.tools:
            yield from _busybox_entries()
        size = self.size_bytes if self.content is None else len(self.content)
        body = _zeros(size) if self.content is None else [self.content]
        yield _info(self.path, size), body

    def stream(self) -> Iterator[bytes]:
        """The layer as a tar archive, piece by piece."""
        for info, body in self.entries():
            yield info.tobuf(tarfile.GNU_FORMAT)
            yield from body
            yield _padding(info.size)
        yield bytes(2 * BLOCK)

    @property
    def archive_bytes(self) -> int:
        return sum(BLOCK + _padded(info.size) for info, _ in self.entries()) + 2 * BLOCK


@dataclass(frozen=True)
class Step:
    """A line of history that makes no layer: ENV, CMD, LABEL ..."""

    created_by: str
    created_at: datetime | None = None


@dataclass(frozen=True)
class Image:
    """An image as it is to be loaded: references, steps bottom-up, and its configuration."""

    references: Sequence[str]
    steps: Sequence[Layer | Step]
    created_at: datetime | None = EPOCH
    labels: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)  # Env, Cmd, Entrypoint, ExposedPorts, User, ...
    architecture: str = "amd64"
    author: str = ""
    has_history: bool = True

    @property
    def layers(self) -> list[Layer]:
        return [step for step in self.steps if isinstance(step, Layer)]

    def config_document(self, diff_ids: list[str]) -> bytes:
        config = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["sleep", "1000000"]} | self.config
        if self.labels:
            config["Labels"] = self.labels
        document: dict[str, Any] = {
            "architecture": self.architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }  # fmt: skip
        if self.created_at:
            document["created"] = _stamp(self.created_at)
        if self.author:
            document["author"] = self.author
        if self.has_history:
            document["history"] = [self._history(step) for step in self.steps]
        return json.dumps(document).encode()

    def _history(self, step: Layer | Step) -> dict[str, Any]:
        entry: dict[str, Any] = {"created_by": step.created_by or "/bin/sh -c true"}
        if moment := step.created_at or self.created_at:
            entry["created"] = _stamp(moment)
        return entry if isinstance(step, Layer) else entry | {"empty_layer": True}


def load(api: docker.APIClient, *images: Image) -> dict[str, str]:
    """Loads the images in one archive and gives each first reference's engine ID.

    An image without a reference is dangling afterwards and missing in the answer; see `load_dangling`.
    """
    raw: Any = api  # docker-py's own calls are typed in part only
    for line in raw.load_image(archive(images)):
        if "error" in line:
            raise RuntimeError(line["error"])
    names = [image.references[0] for image in images if image.references]
    return {name: inspect(api, name)["Id"] for name in names}


def inspect(api: docker.APIClient, name: str) -> dict[str, Any]:
    raw: Any = api
    document: dict[str, Any] = raw.inspect_image(name)
    return document


def load_dangling(api: docker.APIClient, image: Image) -> str:
    """Loads one image and takes its references away; gives the engine ID."""
    name = f"drydock-dangling:{hashlib.sha256(repr(image).encode()).hexdigest()[:12]}"
    engine_id = load(api, Image(**(image.__dict__ | {"references": [name]})))[name]
    return untag(api, name, engine_id)


def untag(api: docker.APIClient, name: str, engine_id: str) -> str:
    """Takes a reference away and leaves the image, by moving the reference to an empty image first."""
    empty = import_image(api, "drydock-empty:1", size_bytes=0)
    repository, tag = name.rsplit(":", 1)
    api.tag(empty, repository, tag)
    api.remove_image(name)
    api.remove_image("drydock-empty:1")
    return engine_id


def archive(images: Iterable[Image]) -> Iterator[bytes]:
    """The bytes of a `docker load` archive; a layer that several images share is in it once."""
    manifest: list[dict[str, Any]] = []
    written: dict[Layer, tuple[str, str]] = {}
    for image in images:
        diff_ids = []
        for layer in image.layers:
            if layer not in written:
                digest = hashlib.sha256()
                name = f"layer{len(written)}.tar"
                yield _info(name, layer.archive_bytes).tobuf(tarfile.GNU_FORMAT)
                for piece in layer.stream():
                    digest.update(piece)
                    yield piece
                yield _padding(layer.archive_bytes)
                written[layer] = (name, f"sha256:{digest.hexdigest()}")
            diff_ids.append(written[layer][1])
        document = image.config_document(diff_ids)
        config = f"{hashlib.sha256(document).hexdigest()}.json"
        yield from _file(config, document)
        names = [written[layer][0] for layer in image.layers]
        manifest.append({"Config": config, "RepoTags": list(image.references) or None, "Layers": names})
    yield from _file("manifest.json", json.dumps(manifest).encode())
    yield bytes(2 * BLOCK)


def import_image(api: docker.APIClient, name: str, *, size_bytes: int = 1000, path: str = "file") -> str:
    """An image of one layer by `docker import` (quick, no history of its own); gives the engine ID."""
    repository, tag = name.rsplit(":", 1)
    data = b"".join(Layer(path, size_bytes).stream())
    answer = api.import_image_from_data(data, repository=repository, tag=tag)
    return str(json.loads(answer.strip().splitlines()[-1])["status"])


def build(
    api: docker.APIClient,
    dockerfile: str,
    *,
    tag: str = "",
    files: dict[str, bytes] | None = None,
    buildkit: bool = False,
    **parameters: str,
) -> str:
    """Builds with the classic builder, or BuildKit without a session; gives the engine ID.

    Parameters are the query of `POST /build`, such as `target` or `nocache`. Raises RuntimeError with what
    the engine says.
    """
    raw: Any = api
    context = b"".join(_context({"Dockerfile": dockerfile.encode()} | (files or {})))
    query = {"t": tag, "version": "2" if buildkit else "1", "rm": "1", "networkmode": "none"} | parameters
    headers = {"Content-Type": "application/x-tar"}
    response = raw._post(raw._url("/build"), data=context, params=query, headers=headers, stream=True)
    engine_id = ""
    for line in raw._stream_helper(response, decode=True):
        if "error" in line:
            raise RuntimeError(line["error"])
        if isinstance(line.get("aux"), dict) and "ID" in line["aux"]:
            engine_id = line["aux"]["ID"]
    return engine_id


def run_container(
    api: docker.APIClient, image: str, name: str = "", *, start: bool = True, **options: Any
) -> str:
    """A container without a network; started when the image has tools. Gives its ID."""
    options = {"command": ["/bin/busybox", "sleep", "1000000"], "stop_timeout": 1} | options
    raw: Any = api
    host_config = raw.create_host_config(
        network_mode="none", restart_policy=options.pop("restart_policy", None)
    )
    container = raw.create_container(image, name=name or None, host_config=host_config, **options)
    if start:
        api.start(container["Id"])
    return str(container["Id"])


def busybox_path() -> Path | None:
    """A statically linked busybox: the only program that sample containers run."""
    found = shutil.which("busybox")
    return Path(found) if found else None


def _busybox_entries() -> Iterator[tuple[tarfile.TarInfo, Iterable[bytes]]]:
    path = busybox_path()
    if path is None:
        raise RuntimeError("busybox-static is not installed")
    program = path.read_bytes()
    info = _info("bin/busybox", len(program))
    info.mode = 0o755
    yield info, [program]
    for applet in APPLETS:
        link = _info(f"bin/{applet}", 0)
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        yield link, []


def _context(files: dict[str, bytes]) -> Iterator[bytes]:
    for name, content in files.items():
        yield from _file(name, content)
    yield bytes(2 * BLOCK)


def _file(name: str, content: bytes) -> Iterator[bytes]:
    yield _info(name, len(content)).tobuf(tarfile.GNU_FORMAT)
    yield content
    yield _padding(len(content))


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(EPOCH.timestamp()), 0o644
    return info


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield ZEROS[: min(size, CHUNK)]
        size -= CHUNK


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _padding(size: int) -> bytes:
    return bytes(_padded(size) - size)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
