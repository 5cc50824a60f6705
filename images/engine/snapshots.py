"""What an engine tells, typed. Missing fields have defaults; unknown fields are passed over."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Who answers at an address."""

    engine_id: str = ""
    engine_kind: str = "docker"  # or "podman"
    engine_version: str = ""
    api_version: str = ""
    store_kind: str = "graph"  # or "containerd", "podman"
    storage_driver: str = ""
    operating_system: str = ""
    architecture: str = ""
    root_directory: str = ""
    registry_mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """A line of the image list. `references` are tags and digests as the engine writes them."""

    engine_id: str
    parent_engine_id: str = ""
    references: tuple[str, ...] = ()
    size_bytes: int = 0
    created_at: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)
    content_bytes: int | None = None  # compressed blobs, where the engine tells them apart (inspect only)


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """A line of the container list, running or not."""

    container_id: str
    name: str = ""
    image_engine_id: str = ""
    image_name: str = ""
    state: str = ""
    created_at: datetime | None = None
    is_build_step: bool = False  # of a classic build (inspect only)


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One step of an image's history."""

    created_by: str
    size_bytes: int
    created_at: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ImageContent:
    """Everything about one image's content: the inspect document and the history, oldest step first."""

    engine_id: str
    inspect: dict[str, Any]
    history: tuple[HistoryStep, ...] = ()

    @property
    def diff_ids(self) -> list[str]:
        """The layers, bottom first; empty where the engine holds the content only in part."""
        return list((self.inspect.get("RootFS") or {}).get("Layers") or [])


@dataclass(frozen=True, slots=True)
class CacheUse:
    """BuildKit's cache: its bytes, and whether it shares layers with images (and so holds them back)."""

    total_bytes: int = 0
    holds_layers: bool = False


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """A line of the event stream."""

    kind: str  # "image" or "container"
    action: str  # "pull", "tag", "untag", "delete", "create", "start", "die", "destroy", ...
    actor_id: str  # image ID, reference or container ID, as this engine and version writes it
    attributes: dict[str, str] = field(default_factory=dict)
    at: datetime | None = None
    key: str = ""  # tells this event from every other of the engine
