"""Reads an engine: who it is, what it holds. One request each, unless said otherwise."""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from docker.errors import APIError, NotFound

from images.engine.client import Engine
from images.engine.snapshots import (
    CacheUse,
    ContainerSummary,
    EngineInfo,
    HistoryStep,
    ImageContent,
    ImageSummary,
)

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)  # in seconds; a run of removals ends or rests meanwhile
T = TypeVar("T")


def moment(value: Any) -> datetime | None:
    """A time as engines write it: seconds since 1970, or RFC 3339 with nanoseconds. Year 1 and 0 are None."""
    if not value:
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, tz=UTC) if value > 0 else None
    try:
        parsed = datetime.fromisoformat(_trim_nanoseconds(str(value)))
    except ValueError:
        return None
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return parsed if parsed.year > 1 else None


def _trim_nanoseconds(text: str) -> str:
    """Python 3.11 reads at most six digits after the point."""
    head, point, tail = text.partition(".")
    if not point:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[: min(digits, 6)]}{tail[digits:]}"


def info(engine: Engine) -> EngineInfo:
    """Two requests: info and version."""
    facts: Mapping[str, Any] = engine.api.info()
    version: Mapping[str, Any] = engine.api.version()
    components = version.get("Components") or [{}]
    is_podman = "podman" in str(components[0].get("Name", "")).lower()
    return EngineInfo(
        engine_id=facts.get("ID") or "",
        engine_kind="podman" if is_podman else "docker",
        engine_version=(components[0].get("Version") if is_podman else "") or version.get("Version") or "",
        api_version=version.get("ApiVersion") or "",
        # Podman counts the bytes of tar archives: its layers must not be mixed up with Docker's.
        store_kind="podman" if is_podman else "containerd" if _has_containerd_store(facts) else "graph",
        storage_driver=facts.get("Driver") or "",
        operating_system=facts.get("OperatingSystem") or "",
        architecture=facts.get("Architecture") or "",
        root_directory=facts.get("DockerRootDir") or "",
        registry_mirrors=tuple((facts.get("RegistryConfig") or {}).get("Mirrors") or ()),
    )


def _has_containerd_store(facts: Mapping[str, Any]) -> bool:
    rows = facts.get("DriverStatus") or []
    return any("io.containerd.snapshotter.v1" in str(part) for row in rows for part in row)


def list_images(engine: Engine) -> list[ImageSummary]:
    """Every image, the untagged parents of classic builds included."""
    return [_image_summary(row) for row in _whole(lambda: engine.api.images(all=True))]


def _whole(ask: Callable[[], T]) -> T:
    """With the containerd store (28.5) a list fails whole, with 404, when one of its images goes meanwhile."""
    for pause in PAUSES:
        try:
            return ask()
        except NotFound:
            time.sleep(pause)
    return ask()


_NO_NAME = "<none>"


def _image_summary(row: Mapping[str, Any]) -> ImageSummary:
    return ImageSummary(
        engine_id=_full_id(row["Id"]),
        parent_engine_id=_full_id(row.get("ParentId")),
        references=_names(row),
        size_bytes=row.get("Size") or 0,
        created_at=moment(row.get("Created")),
        labels=row.get("Labels") or {},
    )


def _full_id(engine_id: str | None) -> str:
    """Podman leaves the algorithm out in places."""
    return f"sha256:{engine_id}" if engine_id and ":" not in engine_id else engine_id or ""


def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
    names = [*(row.get("RepoTags") or ()), *(row.get("RepoDigests") or ())]
    return tuple(dict.fromkeys(name for name in names if _NO_NAME not in name))


def find_image(engine: Engine, name: str) -> ImageSummary | None:
    """One image by ID or reference, as the list would show it; None when there is no such image."""
    try:
        row: Mapping[str, Any] = engine.api.inspect_image(name)
    except NotFound:
        return None
    except APIError as error:
        # Docker 20.10 and Podman answer 500 where a name is not one, such as the path in a load event.
        if any(words in str(error) for words in ("invalid reference format", "normalizing name")):
            return None
        raise
    return ImageSummary(
        engine_id=_full_id(row["Id"]),
        parent_engine_id=_full_id(row.get("Parent")),
        references=_names(row),
        size_bytes=row.get("Size") or 0,
        created_at=moment(row.get("Created")),
        labels=(row.get("Config") or {}).get("Labels") or {},
        content_bytes=row.get("Size") or 0,
    )


def digest_here(image: ImageSummary | None, repositories: Iterable[str]) -> str:
    """Under which digest an image came from this repository, as it may be spelt; empty when it has none or several.

    Podman (5.4, 5.8) does not say it at the end of a pull.
    """
    spelt = set(repositories)
    parts = [name.partition("@") for name in (image.references if image else ())]
    found = {digest for repository, _, digest in parts if digest and repository in spelt}
    return found.pop() if len(found) == 1 else ""


def find_container(engine: Engine, container_id: str) -> ContainerSummary | None:
    """One container, as the list would show it; None when it is gone."""
    try:
        row: Mapping[str, Any] = engine.api.inspect_container(container_id)
    except NotFound:
        return None
    return ContainerSummary(
        container_id=row["Id"],
        name=(row.get("Name") or "").lstrip("/"),
        image_engine_id=_full_id(row.get("Image")),
        image_name=(row.get("Config") or {}).get("Image") or "",
        state=(row.get("State") or {}).get("Status") or "",
        created_at=moment(row.get("Created")),
        is_build_step=_is_build_step(row.get("Config") or {}),
    )


def _is_build_step(config: Mapping[str, Any]) -> bool:
    """The classic builder switches health checks off for RUN, and writes "#(nop)" for what runs nothing."""
    no_check = (config.get("Healthcheck") or {}).get("Test") == ["NONE"]
    return no_check or any(str(word).startswith("#(nop)") for word in config.get("Cmd") or ())


def list_containers(engine: Engine) -> list[ContainerSummary]:
    """Every container in any state."""
    return [_container_summary(row) for row in engine.api.containers(all=True)]


def _container_summary(row: Mapping[str, Any]) -> ContainerSummary:
    names = row.get("Names") or [""]
    return ContainerSummary(
        container_id=row["Id"],
        name=names[0].lstrip("/"),
        image_engine_id=_full_id(row.get("ImageID")),
        image_name=row.get("Image") or "",
        state=row.get("State") or "",
        created_at=moment(row.get("Created")),
    )


def content(engine: Engine, engine_id: str) -> ImageContent:
    """The inspect document and the history of one image: two requests. Raises docker.errors.ImageNotFound."""
    inspect = engine.api.inspect_image(engine_id)
    try:
        steps = engine.api.history(engine_id) or []  # null on the containerd store for an image without
    except Exception:
        # An image that is present only in part has an inspect document and no readable history.
        if (inspect.get("RootFS") or {}).get("Layers"):
            raise
        steps = []
    return ImageContent(engine_id, inspect, tuple(_step(row) for row in reversed(steps)))


def _step(row: Mapping[str, Any]) -> HistoryStep:
    created = moment(row.get("Created"))
    return HistoryStep(
        created_by=row.get("CreatedBy") or "",
        size_bytes=row.get("Size") or 0,
        created_at=created.isoformat() if created else "",
        comment=row.get("Comment") or "",
    )


def layers_size(engine: Engine) -> int | None:
    """The engine's own total of image layers in bytes: what "freed" is measured by. Slow on a full host.

    None where the engine has images and no total, as Podman 4 does.
    """
    told = _disk_use(engine)
    total = int(told.get("LayersSize") or 0)
    is_told = total > 0 or not any(row.get("Size") for row in told.get("Images") or ())
    return total if is_told else None


def cache_use(engine: Engine) -> CacheUse:
    """BuildKit's cache; no cache means nothing used. Quick since API 1.42, else like `layers_size`."""
    records = _disk_use(engine, only="build-cache").get("BuildCache") or []
    return CacheUse(
        total_bytes=sum(record.get("Size") or 0 for record in records if not record.get("Shared")),
        holds_layers=any(record.get("Shared") for record in records),
    )


def _disk_use(engine: Engine, only: str = "") -> Mapping[str, Any]:
    api = engine.api
    # Older engines pass over `type` and tell everything.
    use: Mapping[str, Any] = _whole(
        lambda: api._result(api._get(api._url("/system/df"), params={"type": only or None}), json=True)
    )
    return use
