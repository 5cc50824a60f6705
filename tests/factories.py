"""The fixed cast and the things the tests are about; every helper writes real rows."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from images import access
from images.models import (
    Copy,
    Grant,
    Host,
    HostGroup,
    HostState,
    Image,
    ImageLayer,
    Layer,
    Reference,
    Role,
    StoreKind,
    Team,
    User,
)

_sequence = iter(range(1, 10**9))


def make_user(name: str = "", **fields: Any) -> User:
    name = name or f"user{next(_sequence)}"
    return User.objects.create_user(username=name, password="a long password", **fields)


def make_admin(name: str = "root") -> User:
    return make_user(name, is_superuser=True, is_staff=True)


def role(slug: str) -> Role:
    name, permissions = access.BUILT_IN_ROLES[slug]
    defaults = {"name": name, "permissions": sorted(str(p) for p in permissions), "is_built_in": True}
    return Role.objects.get_or_create(slug=slug, defaults=defaults)[0]


def grant(user: User, role_slug: str, group: HostGroup | None = None) -> Grant:
    """Gives the user the role through a team of their own; on every host unless a group is named."""
    team, _ = Team.objects.get_or_create(name=f"team of {user.username}")
    team.members.add(user)
    for cached in ("_drydock_grants", "_drydock_scopes"):
        user.__dict__.pop(cached, None)
    return Grant.objects.create(team=team, role=role(role_slug), group=group)


def make_host(name: str = "", *, groups: tuple[HostGroup, ...] = (), **fields: Any) -> Host:
    number = next(_sequence)
    now = timezone.now()
    defaults: dict[str, Any] = {
        "name": name or f"host{number:05}",
        "address": f"unix:///run/host{number}.sock",
        "state": HostState.ONLINE,
        "state_since": now,
        "synced_at": now,
        "use_known_since": now,
        "store_kind": StoreKind.GRAPH,
        "engine_kind": "docker",
    }
    host = Host.objects.create(**(defaults | fields))
    host.groups.add(*groups)
    return host


def make_layer(
    size_bytes: int, chain_id: str = "", store_kind: str = StoreKind.GRAPH, created_by: str = ""
) -> Layer:
    chain = chain_id or f"sha256:{next(_sequence):064x}"
    return Layer.objects.create(
        chain_id=chain, diff_id=chain, size_bytes=size_bytes, store_kind=store_kind, created_by=created_by
    )


def make_image(*layers: Layer, **fields: Any) -> Image:
    image = Image.objects.create(
        **(
            {"content_key": f"{next(_sequence):064x}", "architecture": "amd64", "operating_system": "linux"}
            | fields
        )
    )
    ImageLayer.objects.bulk_create(
        ImageLayer(image=image, layer=layer, position=n) for n, layer in enumerate(layers)
    )
    return image


def make_copy(
    host: Host, *names: str, image: Image | None = None, arrived_at: datetime | None = None, **fields: Any
) -> Copy:
    """A copy with the given `repository:tag` or `repository@digest` references; none makes it dangling."""
    now = timezone.now()
    image = image or make_image(make_layer(1000))
    size = sum(image.image_layers.values_list("layer__size_bytes", flat=True))
    tags = [name for name in names if "@" not in name]
    repository, _, tag = tags[0].rpartition(":") if tags else ("", "", "")
    defaults: dict[str, Any] = {
        "engine_id": f"sha256:{next(_sequence):064x}",
        "size_bytes": size,
        "own_bytes": size,
        "first_seen_at": arrived_at or now,
        "arrived_at": arrived_at or now,
        "last_seen_at": now,
        "built_at": image.built_at,
        "repository": repository,
        "tag": tag,
        "is_dangling": not tags,
        "is_latest": any(name.endswith(":latest") for name in tags),
    }
    copy = Copy(host=host, image=image, **(defaults | fields))
    labels = [f"{key}={value}" for key, value in image.labels.items()]
    copy.search_text = " ".join([*names, copy.engine_id, *labels]).lower()
    copy.save()
    for name in names:
        repo, _, rest = name.partition("@") if "@" in name else name.rpartition(":")
        first = repo.split("/")[0]
        registry = (
            first if "/" in repo and ("." in first or ":" in first or first == "localhost") else "docker.io"
        )
        Reference.objects.create(
            copy=copy, host=host, name=name, registry=registry, repository=repo,
            tag="" if "@" in name else rest, digest=rest if "@" in name else "",
        )  # fmt: skip
    return copy
