"""Removes one copy from an engine, carefully: never more than was asked, and undone where it is refused.

An engine removes an image with one reference only, and takes references away one request at a time. So all
references but one are taken away first; when the engine then refuses, they are put back.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from docker.errors import APIError, NotFound

from images.engine.client import Engine, EngineCut, translated
from images.errors import UserError
from images.models.job import ItemState

TIMEOUT_SECONDS = 60.0

Journal = Callable[[str], None]
"""Called with a reference right before it is taken away, so that a killed worker leaves a record."""


@dataclass(frozen=True)
class Outcome:
    """What became of one copy. `code` and `values` are a problem of images/problems; "" when all went well."""

    state: ItemState
    code: str = ""
    values: dict[str, str] = field(default_factory=dict)
    raw: str = ""
    deleted: tuple[str, ...] = ()  # the engine IDs that went: the copy and untagged parents
    untagged: tuple[str, ...] = ()  # references that are gone
    # References that were taken away and could not be put back (a digest can only be pulled again).
    lost: tuple[str, ...] = ()


def remove_copy(
    engine: Engine,
    engine_id: str,
    references: Iterable[str],
    *,
    force: bool = False,
    journal: Journal,
    containers_checked: bool = False,
    must_have: Iterable[str] = (),
) -> Outcome:
    """Removes the copy with all its references, unless it gained one that is not among `references`.

    Without `force` a copy that a container uses stays as it is, with all its references. With it the copy of a
    stopped container goes; that of a running one stays. Podman would remove the container as well: there force
    changes nothing. `containers_checked` spares one request where the caller has just listed the containers.
    A copy that lost one of `must_have` stays as well: it is not what somebody looked at. Raises UserError host_*
    when the engine can not be reached, EngineCut when it was cut off; a request whose answer never came gives
    ItemState.UNKNOWN.
    """
    present = _references(engine, engine_id)
    if present is None:
        return Outcome(ItemState.GONE, "image_gone")
    if gained := _gained(present, references):
        return Outcome(ItemState.SKIPPED, "image_changed", {"references": ", ".join(gained)})
    if missing := [name for name in must_have if name not in present]:
        return Outcome(ItemState.SKIPPED, "image_changed", {"references": ", ".join(missing)})
    if force and _force_takes_containers(engine):
        force = False
    if not containers_checked and (name := _user(engine, engine_id, only_running=force)):
        return Outcome(ItemState.SKIPPED, "image_in_use", {"container": name})
    if force:
        for reference in present:
            journal(reference)
        return _delete(engine, engine_id, force=True, untagged=())
    return _remove_unforced(engine, engine_id, present, journal)


def _remove_unforced(engine: Engine, engine_id: str, present: Sequence[str], journal: Journal) -> Outcome:
    """Takes all references but one away, then removes the copy by its ID: that refuses what is in use."""
    untagged: list[str] = []
    for reference in independent(present)[:-1]:
        journal(reference)
        stop = _untag(engine, engine_id, reference)
        if stop is None:
            untagged.append(reference)
        elif stop.state == ItemState.UNKNOWN:
            return stop
        elif stop.state != ItemState.GONE:
            return _put_back(engine, engine_id, untagged, stop)
    outcome = _delete(engine, engine_id, force=False, untagged=tuple(untagged))
    if outcome.state in (ItemState.REMOVED, ItemState.GONE, ItemState.UNKNOWN):
        return outcome
    return _put_back(engine, engine_id, untagged, outcome)


def remove_references(engine: Engine, engine_id: str, taken: Iterable[str], *, journal: Journal) -> Outcome:
    """Takes some references away and leaves the copy. Refuses where none would be left: the copy would go."""
    present = _references(engine, engine_id)
    if present is None:
        return Outcome(ItemState.GONE, "image_gone")
    wanted = [reference for reference in taken if reference in present]
    if not wanted:
        return Outcome(ItemState.GONE, "reference_gone")
    if not set(independent(present)) - set(wanted):
        return Outcome(ItemState.SKIPPED, "image_changed")
    untagged: list[str] = []
    for reference in wanted:
        journal(reference)
        stop = _untag(engine, engine_id, reference)
        if stop is None:
            untagged.append(reference)
        elif stop.state != ItemState.GONE:
            return stop
    return Outcome(ItemState.UNTAGGED, untagged=tuple(untagged))


def independent(references: Iterable[str]) -> list[str]:
    """The references that hold a copy by themselves, a tag last where there is one.

    A digest of a repository goes with the last tag of that repository, on both kinds of store; only a digest
    whose repository has no tag (pulled by digest) is a reference of its own.
    """
    names = list(references)
    tags = [name for name in names if "@" not in name]
    tagged = {_repository(tag) for tag in tags}
    return [n for n in names if "@" in n and _repository(n) not in tagged] + tags


def _repository(reference: str) -> str:
    name, at, _ = reference.partition("@")
    head, colon, last = name.rpartition(":")
    # The last colon may belong to a registry's port.
    return name if at or not colon or "/" in last else head


def _gained(present: Iterable[str], seen: Iterable[str]) -> list[str]:
    """References that are new since somebody looked; a digest of a known repository comes with a push."""
    known = set(seen)
    repositories = {_repository(name) for name in known}
    return [n for n in present if n not in known and not ("@" in n and _repository(n) in repositories)]


def _references(engine: Engine, name: str) -> list[str] | None:
    """The references of an image as the engine knows them now; None when it is gone."""
    found = _inspect(engine, name)
    if found is None:
        return None
    names = [*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())]
    return list(dict.fromkeys(reference for reference in names if "<none>" not in reference))


def _inspect(engine: Engine, name: str) -> dict[str, Any] | None:
    with translated(engine.connection, TIMEOUT_SECONDS):
        try:
            document: dict[str, Any] = engine.api.inspect_image(name)
        except NotFound:
            return None
    return document


def _user(engine: Engine, engine_id: str, *, only_running: bool) -> str:
    """The name of a container of this very image; "" without one. `ancestor` also gives those of children."""
    with translated(engine.connection, TIMEOUT_SECONDS):
        try:
            # Podman (5.4, 5.8) finds nothing by an ID with its "sha256:"; either of the two will do.
            rows = engine.api.containers(all=True, filters={"ancestor": [engine_id, _plain(engine_id)]})
        except NotFound:
            return ""
    wanted = engine_id.removeprefix("sha256:")
    for row in rows:
        if str(row.get("ImageID") or "").removeprefix("sha256:") == wanted:
            if only_running and row.get("State") not in ("running", "paused", "restarting"):
                continue
            return _container_name(row)
    return ""


def _force_takes_containers(engine: Engine) -> bool:
    """Docker leaves containers alone; Podman removes stopped ones with the image (5.8), and running ones too (5.4)."""
    with translated(engine.connection, TIMEOUT_SECONDS):
        components = engine.api.version().get("Components") or [{}]
    return "podman" in str(components[0].get("Name")).lower()


def _container_name(row: dict[str, Any]) -> str:
    names = row.get("Names") or [row.get("Name") or ""]
    return str(names[0]).lstrip("/") or str(row.get("Id") or "?")[:12]


def _untag(engine: Engine, engine_id: str, reference: str) -> Outcome | None:
    """Takes one reference away; None when done. The reference may point elsewhere by now: then it stays."""
    found = _inspect(engine, reference)
    if found is None:
        return Outcome(ItemState.GONE, "reference_gone")
    if found.get("Id") != engine_id and _plain(found.get("Id")) != _plain(engine_id):
        return Outcome(ItemState.SKIPPED, "image_changed", {"references": reference})
    try:
        rows = _request_removal(engine, reference, force=False)
        if deleted := [row["Deleted"] for row in rows if row.get("Deleted")]:
            # The reference moved in the very moment: the engine took the image it came to, as its last name.
            # No API can prevent it; it is said aloud, and nothing more is taken away.
            return Outcome(ItemState.FAILED, "untag_removed", {"image": deleted[0], "reference": reference})
    except APIError as error:
        if _inspect(engine, reference) is None:
            return None
        return _refusal(engine, error)
    except UserError as error:
        return _no_answer(engine, error)
    return None


def _plain(engine_id: Any) -> str:
    return str(engine_id or "").removeprefix("sha256:")


def _delete(engine: Engine, engine_id: str, *, force: bool, untagged: tuple[str, ...]) -> Outcome:
    """Removes by ID, and looks again before it believes an error."""
    try:
        rows = _request_removal(engine, engine_id, force=force)
    except APIError as error:
        # Removals side by side give stray 404s, 409s and 500s for images that are gone.
        if _inspect(engine, engine_id) is None:
            state = ItemState.GONE if isinstance(error, NotFound) and not untagged else ItemState.REMOVED
            code = "image_gone" if state == ItemState.GONE else ""
            return Outcome(state, code, deleted=(engine_id,), untagged=untagged)
        return _refusal(engine, error)
    except UserError as error:
        return _no_answer(engine, error)
    # Podman leaves "sha256:" out.
    deleted = tuple(f"sha256:{_plain(row['Deleted'])}" for row in rows if row.get("Deleted"))
    names = (*untagged, *(row["Untagged"] for row in rows if row.get("Untagged")))
    if engine_id not in deleted and _inspect(engine, engine_id) is not None:
        return Outcome(ItemState.UNTAGGED, untagged=names)
    return Outcome(ItemState.REMOVED, deleted=deleted or (engine_id,), untagged=names)


def _request_removal(engine: Engine, name: str, *, force: bool) -> list[dict[str, str]]:
    with translated(engine.connection, TIMEOUT_SECONDS):
        rows: list[dict[str, str]] = engine.api.remove_image(name, force=force) or []
    return rows


def _no_answer(engine: Engine, error: UserError) -> Outcome:
    """A hung engine may still carry the request out when it wakes: nobody knows until the next sync."""
    if engine.is_cut:
        raise EngineCut from error
    return Outcome(ItemState.UNKNOWN, error.code, error.values, error.raw)


# Docker 20.10 to 29 write "container 0123456789ab is using" or "used by running container 0123456789ab", Podman
# (5.4, 5.8) "image used by 0123456789ab...: image is in use by a container".
_CONTAINER = re.compile(r"(?:container|image used by) ([0-9a-f]{12,64})")


def _refusal(engine: Engine, error: APIError) -> Outcome:
    """The engine's refusal in Drydock's terms. A refusal is no failure: the copy is as it was."""
    raw = str(error.explanation or error)
    if "child" in raw:
        return Outcome(ItemState.SKIPPED, "image_has_children", raw=raw)
    if match := _CONTAINER.search(raw):
        return Outcome(ItemState.SKIPPED, "image_in_use", {"container": _named(engine, match[1])}, raw)
    if "multiple repositories" in raw:
        return Outcome(ItemState.SKIPPED, "image_changed", raw=raw)
    return Outcome(ItemState.FAILED, "image_conflict", raw=raw)


def _named(engine: Engine, container_id: str) -> str:
    with translated(engine.connection, TIMEOUT_SECONDS):
        try:
            return _container_name(engine.api.inspect_container(container_id))
        except APIError:
            return container_id[:12]


def _put_back(engine: Engine, engine_id: str, untagged: Iterable[str], outcome: Outcome) -> Outcome:
    """Gives the copy its references back after a refusal; `lost` names those that could not be."""
    lost = [reference for reference in untagged if not _tag(engine, engine_id, reference)]
    if not lost:
        return outcome
    values = outcome.values | {"lost": ", ".join(lost)}
    return Outcome(outcome.state, outcome.code, values, outcome.raw, lost=tuple(lost))


def put_back(engine: Engine, engine_id: str, references: Iterable[str]) -> list[str]:
    """Gives a copy back what a killed worker may have taken; those that it could not."""
    present = _references(engine, engine_id) or []
    missing = [reference for reference in references if reference not in present]
    return [reference for reference in missing if not _tag(engine, engine_id, reference)]


def _tag(engine: Engine, engine_id: str, reference: str) -> bool:
    if "@" in reference or _inspect(engine, reference) is not None:
        # Somebody else took the name meanwhile, and it is theirs now; a digest can not be given by hand.
        return False
    repository = _repository(reference)
    with translated(engine.connection, TIMEOUT_SECONDS):
        try:
            return bool(engine.api.tag(engine_id, repository, reference[len(repository) + 1 :]))
        except APIError:
            return False
