"""New names to offer for an image: `registry/project/service:version` below each known registry.

Service and version come from the names the image has, here or on other hosts; without any from what its builder
wrote into its labels. A name that has no project gets those that are in use at that registry.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from images import access
from images.models import Copy, Permission, Reference, Registry, User
from images.references import InvalidReferenceError, parse

MOST_SUGGESTIONS = 12
MOST_PROJECTS = 3
LOOKED_AT = 2000  # names of a registry, to see which projects it has
# Of the image specification: https://github.com/opencontainers/image-spec/blob/main/annotations.md
TITLE, VERSION = "org.opencontainers.image.title", "org.opencontainers.image.version"


def suggestions(user: User, copy: Copy) -> tuple[str, ...]:
    """At most a dozen, the likeliest first; none of them a name that the copy has."""
    own = set(copy.references.values_list("name", flat=True))
    sources = list(_sources(user, copy))
    is_one_without = any("/" not in path for path, _ in sources)
    found: dict[str, None] = {}
    for prefix in Registry.objects.order_by("prefix").values_list("prefix", flat=True):
        projects = _projects(user, prefix) if is_one_without and "/" not in prefix else []
        for path, version in sources:
            for name in _below(prefix, path, projects):
                found[f"{name}:{version}".removeprefix("docker.io/")] = None
    return tuple(name for name in found if name not in own and _is_valid(name))[:MOST_SUGGESTIONS]


def _sources(user: User, copy: Copy) -> Iterator[tuple[str, str]]:
    """Paths ("shop/api", "api") with a version each: of its tags, else of its digests, else of its labels."""
    everywhere = Reference.objects.filter(copy__image=copy.image_id)
    here = list(copy.references.order_by("name"))
    there = list(
        access.restrict_by_host(everywhere, user, Permission.VIEW).exclude(copy=copy).order_by("name")
    )
    labels = copy.image.labels
    version = str(labels.get(VERSION, "")) or "latest"
    tagged = [reference for reference in (*here, *there) if reference.tag]
    seen: dict[tuple[str, str], None] = {}
    for reference in tagged or (*here, *there):
        if path := _path(reference.name):
            seen[path, reference.tag or version] = None
    if not seen and (title := _path(str(labels.get(TITLE, "")).lower())):
        seen[title, version] = None
    yield from seen


def _path(name: str) -> str:
    try:
        return parse(name).path.removeprefix("library/")
    except InvalidReferenceError:
        return ""


def _below(prefix: str, path: str, projects: Sequence[str]) -> list[str]:
    """ "shop/api" below "ghcr.io/acme" is "ghcr.io/acme/api": a prefix with a path stands for the project."""
    service = path.rpartition("/")[2]
    if "/" in prefix:
        return [f"{prefix}/{service}"]
    if "/" in path:
        return [f"{prefix}/{path}"]
    return [f"{prefix}/{project}/{service}" for project in projects] or [f"{prefix}/{path}"]


def _projects(user: User, registry: str) -> list[str]:
    """The projects of a registry that most names the person may see are in."""
    names = access.restrict_by_host(Reference.objects.filter(registry=registry), user, Permission.VIEW)
    paths = (_path(name) for name in names.values_list("repository", flat=True)[:LOOKED_AT])
    counted = Counter(path.partition("/")[0] for path in paths if "/" in path)
    return [project for project, _ in counted.most_common(MOST_PROJECTS)]


def _is_valid(name: str) -> bool:
    try:
        return bool(parse(name).tag)
    except InvalidReferenceError:
        return False
