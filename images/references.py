"""Image references by distribution's grammar, and the key that makes one image of its copies. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from docker_image import reference as grammar

DEFAULT_REGISTRY = "docker.io"


class InvalidReferenceError(ValueError):
    """The text is not a reference; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A reference in its parts. `name` and `repository` are as written: "redis:7" stays "redis"."""

    name: str
    registry: str
    repository: str
    tag: str = ""
    digest: str = ""
    path: str = ""  # in the registry, in full: "library/redis"


@lru_cache(maxsize=16384)
def parse(name: str) -> Parsed:
    """Takes `repository`, `repository:tag` or `repository@digest` apart. Raises InvalidReferenceError."""
    try:
        parsed = grammar.Reference.parse_normalized_named(name)
    except grammar.InvalidReference as error:
        raise InvalidReferenceError(f"“{name}” is not an image reference: {error}") from error
    bare, _, _ = name.partition("@")
    tag = parsed["tag"] or ""
    return Parsed(
        name=name,
        registry=parsed.repository["domain"],
        repository=bare.removesuffix(f":{tag}") if tag else bare,
        tag=tag,
        digest=parsed["digest"] or "",
        path=parsed.repository["path"],
    )


# Of an image's Config, only what builders write on purpose; the rest differs by engine.
_CONFIG_KEYS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "ArgsEscaped", "Healthcheck", "OnBuild", "Shell",
)  # fmt: skip

# Named one by one: an engine to come may add to the document what nobody else should read.
_DOCUMENT_KEYS = (
    "Architecture", "Author", "Comment", "Created", "Os", "OsFeatures", "OsVersion", "RootFS", "Variant",
)  # fmt: skip


def content_key(inspect: Mapping[str, Any]) -> str:
    """A key that is the same for one content on every engine, whatever ID that engine gives it.

    The image ID is the config digest on graph drivers and a manifest digest on the containerd store, so the
    key is made from what both tell. Where the layers are missing (content present in part) the repository
    digest and the platform stand in.
    """
    layers = (inspect.get("RootFS") or {}).get("Layers") or []
    platform = [inspect.get(key) or "" for key in ("Architecture", "Os", "Variant")]
    if not inspect.get("RootFS"):
        digests = sorted(digest.partition("@")[2] for digest in inspect.get("RepoDigests") or [])
        return _hash({"partial": digests or inspect.get("Id"), "platform": platform})
    created = inspect.get("Created") or ""
    config = inspect.get("Config") or {}
    return _hash(
        {
            "layers": layers,
            "platform": platform,
            "author": inspect.get("Author") or "",
            "created": "" if created.startswith("0001-01-01") else created,
            "config": {key: config[key] for key in _CONFIG_KEYS if config.get(key)},
        }
    )


def content_document(inspect: Mapping[str, Any]) -> dict[str, Any]:
    """Of an inspect document, what belongs to the content: the same on every host that holds the image.

    Names, digests, parents and paths are a host's own, and who sees one host need not see the other.
    """
    document = {key: inspect[key] for key in _DOCUMENT_KEYS if key in inspect}
    if config := inspect.get("Config"):
        document["Config"] = {key: config[key] for key in _CONFIG_KEYS if key in config}
    return document


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
