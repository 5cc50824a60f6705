"""Who may import whom, as docs/architecture.md draws it; read from the code without running it."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

BASE_DIR = Path(__file__).resolve().parent.parent.parent
APPS = ("config", "images", "cleanup")

# Rooms from the street to the cellar: a module imports from its own floor or a lower one, never from above.
FLOORS: list[tuple[str, ...]] = [
    (
        "images.views",
        "images.urls",
        "images.account_urls",
        "images.tasks",
        "images.management",
        "images.live.streams",
        "images.transfers.archive_stream",
    ),
    ("images.forms", "images.templatetags"),
    ("images.models", "images.errors", "images.problems"),
]
PURE = (  # no Django, no SDK, no rows
    "images.engine.buildkit",
    "images.engine.step_logs",
    "images.engine.steps",
    "images.contexts.dockerfiles",
    "images.fleet.treemap",
    "images.addresses",
    "images.ssh_keys",
    "images.meter",
    "images.jobs.turns",
    "images.layers",
    "images.promises",
    "images.references",
    "images.secrets",
    "cleanup.facts",
    "cleanup.patterns",
    "cleanup.planner",
    "cleanup.rules",
    "cleanup.schedule",
    "cleanup.versions",
)
# The Docker SDK is spoken in one room; everything else sees typed snapshots.
MAY_USE_DOCKER = ("images.engine", "config.demo")


def modules() -> Iterator[tuple[str, Path]]:
    for app in APPS:
        for path in sorted((BASE_DIR / app).rglob("*.py")):
            if "migrations" not in path.parts:
                parts = path.relative_to(BASE_DIR).with_suffix("").parts
                yield ".".join(part for part in parts if part != "__init__"), path


def imports(name: str, path: Path) -> Iterator[tuple[str, bool]]:
    """Each module imported, and whether at the top of the file (not in a function, not for types alone)."""
    tree = ast.parse(path.read_text())
    tops = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in tops) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in tops


def is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def floor(module: str) -> int | None:
    return next((number for number, rooms in enumerate(FLOORS) if is_in(module, rooms)), None)


ALL = list(modules())


@pytest.mark.parametrize(("name", "path"), ALL, ids=[name for name, _ in ALL])
def test_module_imports_only_what_it_may(name: str, path: Path) -> None:
    wrong = [target for target, is_top in imports(name, path) if not is_allowed(name, target, is_top=is_top)]
    assert not wrong, f"{name} may not import {', '.join(wrong)}"


def is_allowed(name: str, target: str, *, is_top: bool) -> bool:
    root = target.split(".")[0]
    # To catch the SDK's errors is not to speak to an engine.
    if root == "docker" and not target.startswith("docker.errors") and not is_in(name, MAY_USE_DOCKER):
        return False
    if is_in(name, PURE) and root in {"django", "docker", "config"}:
        return False
    if is_in(name, PURE) and root in APPS and not is_in(target, PURE):
        return False
    if root not in APPS:
        return True
    if name.startswith("images") and root in {"cleanup", "config"}:
        return False
    if name.startswith("cleanup") and root == "config":
        return False
    return not is_top or is_downwards(name, target)


def is_downwards(name: str, target: str) -> bool:
    """An import inside a function is a deliberate knot; at the top of a file it must go down."""
    here, there = floor(name), floor(target)
    if there is None:
        return here is None or here < 2 or target.startswith("config")
    if here is None:
        return there > 0 or name.startswith(("config", "cleanup"))
    return there >= here


ENGINE_KNOWS = ("images.engine", "images.errors", *PURE)
"""Typed in, typed out: images/engine knows no rows, so that it can be tried on any engine by itself."""

# What a host row says of how it is reached, and the names of outcomes.
ENGINE_TAKES = {"images.models.host.Host", "images.models.job.ItemState"}


@pytest.mark.parametrize(("name", "path"), [(n, p) for n, p in ALL if is_in(n, ("images.engine",))])
def test_engine_is_read_without_the_database(name: str, path: Path) -> None:
    known = [target for target, is_top in imports(name, path) if target.split(".")[0] in APPS and is_top]
    wrong = [t for t in known if not is_in(t, ENGINE_KNOWS) and t not in ENGINE_TAKES]
    assert not wrong, f"{name} may not import {wrong}"


WEB = (
    "images.views",
    "images.forms",
    "images.templatetags",
    "images.live",
    "images.transfers.archive_stream",
    "images.transfers.admission",
    "images.transfers.upload_stream",
    "cleanup.views",
    "cleanup.forms",
)


def test_web_speaks_to_no_engine() -> None:
    """A page waits for nobody: what an engine is asked is a job, or a task of a worker."""
    found = {
        name: [target for target, _ in imports(name, path) if is_in(target, ("images.engine", "docker"))]
        for name, path in ALL
        if is_in(name, WEB)
    }
    # A description of how a host is reached, to be stored; nothing is opened by it.
    assert {name: targets for name, targets in found.items() if targets} == {
        "images.views.hosts": ["images.engine.client.Connection"]
    }


def test_rooms_depend_on_each_other_one_way_only() -> None:
    """A package is one room, any other module a room of its own; among them there is no cycle."""
    modules_known = {name for name, _ in ALL}
    graph: dict[str, set[str]] = {}
    for name, path in ALL:
        for target, is_top in imports(name, path):
            while target and target not in modules_known:
                target = target.rpartition(".")[0]
            if is_top and target and room(target) != room(name):
                graph.setdefault(room(name), set()).add(room(target))
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle
    assert order.index("images.models") < order.index("images.jobs") < order.index("images.views")


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])
