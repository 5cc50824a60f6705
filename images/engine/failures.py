"""The engine's text about a registry, a disk or a name, as a problem of images/problems.

Engines wrap Go's errors in their own words; what is looked for here was the same from Docker 20.10 to 28.5 on
both stores and on Podman.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from docker.errors import APIError

from images.errors import UserError

# The first that occurs in the text wins, so what is more special stands higher.
_SIGNS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("disk_full", ("no space left on device",)),
    # Whatever is said after it is said of the proxy, not of the registry.
    ("registry_proxy", ("proxyconnect tcp", "proxy authentication required")),
    ("registry_rate_limited", ("toomanyrequests", "too many requests", "pull rate limit")),
    ("registry_http_https", ("server gave http response to https client",)),
    ("registry_tls", ("x509:", "tls: ", "certificate signed by unknown authority", "certificate is not trusted")),
    # Whatever a lookup ends with, also a DNS server that refuses or does not answer.
    ("registry_dns", ("no such host", "server misbehaving", "temporary failure in name resolution",
                      "dial tcp: lookup")),
    ("registry_refused", ("connection refused",)),
    ("registry_unreachable", ("network is unreachable", "no route to host", "host is down", "host is unreachable")),
    ("registry_unauthorized", ("unauthorized", "authentication required", "no basic auth credentials",
                               "incorrect username or password", "401 unauthorized", "access denied",
                               "requested access to the resource is denied", "denied:", "403 forbidden")),
    ("platform_not_found", ("no matching manifest for", "no match for platform",
                            "does not match the specified platform")),
    ("image_not_found", ("manifest unknown", "name unknown", "not found", "repository does not exist", "name_unknown",
                         "does not exist")),
    ("registry_timeout", ("timeout exceeded while awaiting headers", "i/o timeout", "deadline exceeded",
                          "connection timed out", "tls handshake timeout", "context canceled while waiting",
                          "client.timeout")),
    ("registry_cut", ("unexpected eof", "connection reset by peer", "broken pipe", ": eof", "failed to copy",
                      "short read", "http2: server sent goaway", "unexpected commit digest",
                      "use of closed network connection", "server closed idle connection")),
    ("reference_invalid", ("invalid reference format", "invalid tag format", "repository name must be")),
    ("registry_server_error", ("500 internal server error", "502 bad gateway", "503 service unavailable",
                               "504 gateway", "received unexpected http status")),
)  # fmt: skip

RETRIED = frozenset({"registry_cut", "registry_timeout", "registry_server_error"})
"""What may go better a moment later, and can be repeated without harm."""

_NAME_OF_HOST = re.compile(r"https?://([^/\"\s]+)")


def failure(text: str, *, subject: str = "", host: str = "", registry: str = "") -> UserError:
    """The problem an engine's text speaks of; `engine_refused` where it says nothing known.

    `subject` is the reference the request was about, `registry` its registry, `host` the engine's host.
    """
    low = text.lower()
    code = next((code for code, signs in _SIGNS if any(sign in low for sign in signs)), "engine_refused")
    asked = _NAME_OF_HOST.search(text)
    where = registry or (asked[1] if asked else "")
    return UserError(code, raw=text[:4000], subject=subject, host=host, registry=where)


def refused(error: APIError, *, subject: str = "", host: str = "", registry: str = "") -> UserError:
    """The same for an answer whose status already says that it failed."""
    return failure(str(error.explanation or error), subject=subject, host=host, registry=registry)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error and everything it came from: contexts, reasons and wrapped arguments."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
