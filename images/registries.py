"""Which account a reference is pulled or pushed with."""

from images.engine.transfer import Credentials
from images.models import Registry
from images.references import parse


def full_repository(name: str) -> str:
    """ "redis:7" -> "docker.io/library/redis": where a reference really is. Raises InvalidReferenceError."""
    parsed = parse(name)
    return f"{parsed.registry}/{parsed.path}"


def registry_for(name: str) -> Registry | None:
    """The account with the longest prefix that the reference's repository begins with, at whole path parts."""
    parts = full_repository(name).split("/")
    prefixes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    found = list(Registry.objects.filter(prefix__in=prefixes))
    return max(found, key=lambda registry: len(registry.prefix), default=None)


def credentials_of(registry: Registry | None) -> Credentials | None:
    """What engines are sent; None where nobody signs in. Docker Hub's address is a special one."""
    if registry is None or not registry.username:
        return None
    host = registry.prefix.partition("/")[0]
    server = "https://index.docker.io/v1/" if host == "docker.io" else host
    return Credentials(registry.username, registry.password, server)
