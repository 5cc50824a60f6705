"""Asks a registry itself: whether an account gets in, and which digest a tag points at. Never pulls anything.

The registry's v2 protocol with its two ways to sign in: a password with each request, or a token that another
server gives for the password. Digests are asked for by HEAD, which registries do not count as pulls.
"""

import base64
import contextlib
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from images.engine.failures import causes_of
from images.errors import UserError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
LONGEST_ANSWER_BYTES = 256 * 1024  # a token is some kB
DOCKER_HUB = "docker.io"
_HUB_API = "registry-1.docker.io"  # the name in references answers with a web page
# A repository of Docker's own that is there to be asked how many pulls are left.
_HUB_LIMITS = ("ratelimitpreview/test", "latest")
MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"^[a-z0-9+._-]+:[0-9a-f]{32,}$")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')

WHOLE_REGISTRY = frozenset(
    {
        "registry_refused", "registry_dns", "registry_timeout", "registry_cut", "registry_rate_limited",
        "registry_server_error", "registry_check_tls", "registry_check_http", "registry_check_https",
        "registry_login", "registry_needs_account", "registry_not_one",
    }
)  # fmt: skip
"""What goes wrong with a registry or the account, not with one repository: no use in asking it for more."""


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """Where a registry is and who signs in there; the password stays out of repr.

    `host` as references write it: "docker.io", "registry.example.com:5000". `ca` is trusted beside the public ones.
    """

    host: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    use_http: bool = False

    @property
    def url(self) -> str:
        host = _HUB_API if self.host == DOCKER_HUB else self.host
        return f"{'http' if self.use_http else 'https'}://{host}"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many pulls a registry grants in a window, and how many are left of them."""

    limit: int
    remaining: int
    window_seconds: int

    def as_json(self) -> dict[str, int]:
        return {"limit": self.limit, "remaining": self.remaining, "window_seconds": self.window_seconds}


def rate_limit_of(headers: Mapping[str, str]) -> RateLimit | None:
    """From "RateLimit-Limit: 100;w=21600" and "RateLimit-Remaining: 76;w=21600"; None when it is not told."""
    limit, window = _counted(headers.get("RateLimit-Limit", ""))
    remaining, _ = _counted(headers.get("RateLimit-Remaining", ""))
    return None if limit is None or remaining is None else RateLimit(limit, remaining, window or 0)


def _counted(text: str) -> tuple[int | None, int | None]:
    number, _, rest = text.partition(";")
    window = rest.strip().removeprefix("w=")
    if not number.strip().isdecimal():
        return None, None
    return int(number), int(window) if window.isdecimal() else None


@contextlib.contextmanager
def open_registry(login: RegistryLogin) -> Iterator["RegistryApi"]:
    """A connection to use for a few questions in a row; tokens are kept as long."""
    with requests.Session() as session:
        # No REQUESTS_CA_BUNDLE and no .netrc; a proxy of the environment is taken on purpose, see _send.
        session.trust_env = False
        session.mount("https://", _TrustingAdapter(login))
        yield RegistryApi(login, session)


class _TrustingAdapter(requests.adapters.HTTPAdapter):
    """Trusts the machine's CAs and the registry's own."""

    def __init__(self, login: RegistryLogin) -> None:
        self._context = ssl.create_default_context()
        if login.ca:
            try:
                self._context.load_verify_locations(cadata=login.ca)
            except (ssl.SSLError, ValueError) as error:
                raise UserError("registry_check_tls", registry=login.host, raw=str(error)) from error
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        return super().proxy_manager_for(*args, **options, ssl_context=self._context)


class RegistryApi:
    """Use `open_registry`. Every question raises UserError registry_* or image_not_found."""

    def __init__(self, login: RegistryLogin, session: requests.Session) -> None:
        self.login = login
        self.rate_limit: RateLimit | None = None  # as the last answer told
        self._session = session
        self._authorization: dict[str, str] = {}  # by scope

    def sign_in(self) -> None:
        """Raises unless the registry is one and lets the account in; also learns the limits of Docker Hub."""
        response = self._asked("GET", "/v2/", subject=self.login.host)
        if response.status_code != 200:
            raise self._not_one(response)
        if self.login.host == DOCKER_HUB:
            with contextlib.suppress(UserError):
                self.digest(*_HUB_LIMITS)

    def digest(self, path: str, tag: str) -> str:
        """What the tag points at: the digest of an index where there is one, else of the manifest."""
        subject = f"{self.login.host}/{path}:{tag}"
        url = f"/v2/{path}/manifests/{tag}"
        response = self._asked("HEAD", url, scope=f"repository:{path}:pull", subject=subject)
        if response.status_code == 404:
            raise UserError("image_not_found", subject=subject, registry=self.login.host)
        digest = response.headers.get("Docker-Content-Digest", "")
        if response.status_code != 200 or not _DIGEST.match(digest):
            raise self._not_one(response)
        return digest

    def _asked(self, method: str, path: str, *, subject: str, scope: str = "") -> requests.Response:
        """The answer after signing in as the registry wants it; a second refusal is final."""
        url, known = urljoin(self.login.url, path), self._authorization.get(scope, "")
        response = self._send(method, url, headers={"Accept": MANIFESTS, "Authorization": known or None})
        if response.status_code == 401:
            known = self._authorization[scope] = self._sign_in_for(response, scope)
            response = self._send(method, url, headers={"Accept": MANIFESTS, "Authorization": known})
        if response.status_code in (401, 403):
            raise self._refusal(response, subject, scope)
        return response

    def _refusal(self, response: requests.Response, subject: str, scope: str) -> UserError:
        if not scope:
            code = "registry_login" if self.login.username else "registry_needs_account"
            return UserError(code, registry=self.login.host, raw=_text(response))
        return UserError(
            "registry_unauthorized", registry=self.login.host, subject=subject, raw=_text(response)
        )

    def _sign_in_for(self, response: requests.Response, scope: str) -> str:
        """The Authorization that the refusal asks for."""
        kind, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        if kind.lower() == "bearer":
            return f"Bearer {self._token(dict(_PARAMETER.findall(rest)), scope)}"
        if not self.login.username:
            raise UserError("registry_needs_account", registry=self.login.host, raw=_text(response))
        return f"Basic {base64.b64encode(b':'.join(self._account())).decode()}"

    def _account(self) -> tuple[bytes, bytes]:
        """In UTF-8 (RFC 7617, section 2.1); requests would take text for Latin-1."""
        return self.login.username.encode(), self.login.password.encode()

    def _token(self, challenge: Mapping[str, str], scope: str) -> str:
        realm, login = challenge.get("realm", ""), self.login
        if _scheme(realm) not in (("http", "https") if login.use_http else ("https",)):
            # A password that was given for TLS does not travel without.
            raise UserError("registry_not_one", registry=login.host, raw=f"WWW-Authenticate realm: {realm}")
        wanted = {"service": challenge.get("service"), "scope": scope or challenge.get("scope")}
        auth = HTTPBasicAuth(*self._account()) if login.username else None
        parameters = {key: value for key, value in wanted.items() if value}
        response = self._send("GET", realm, params=parameters, auth=auth)
        if response.status_code in (400, 401, 403):
            raise self._refusal(response, scope.removeprefix("repository:").removesuffix(":pull"), scope)
        try:
            answer = json.loads(response.content)
            return str(answer.get("token") or answer["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise self._not_one(response) from error

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        proxies = requests.utils.get_environ_proxies(url)
        with self._translated():
            response = self._session.request(
                method, url, stream=True, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), proxies=proxies,
                allow_redirects=True, **options,
            )  # fmt: skip
            with response:
                # Set by hand, so that a server that never stops sending is not listened to for ever.
                response._content = response.raw.read(LONGEST_ANSWER_BYTES, decode_content=True)
        self.rate_limit = rate_limit_of(response.headers) or self.rate_limit
        if response.status_code == 429:
            raise UserError("registry_rate_limited", registry=self.login.host, raw=_text(response))
        if response.status_code >= 500:
            raise UserError("registry_server_error", registry=self.login.host, raw=_text(response))
        return response

    def _not_one(self, response: requests.Response) -> UserError:
        raw = _text(response)
        # Both Go's and nginx's words for a plain request to a port with TLS.
        if response.status_code == 400 and "https" in raw.lower() and self.login.use_http:
            return UserError("registry_check_https", registry=self.login.host, raw=raw)
        return UserError("registry_not_one", registry=self.login.host, raw=raw)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise fault(error, self.login.host) from error


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def fault(error: BaseException, registry: str) -> UserError:
    """Why a registry could not be asked."""
    causes, raw = list(causes_of(error)), str(error)[:2000]

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if "WRONG_VERSION_NUMBER" in raw or "record layer failure" in raw.lower():
        return UserError("registry_check_http", registry=registry, raw=raw)
    if has(ssl.SSLError):
        return UserError("registry_check_tls", registry=registry, raw=raw)
    if has(socket.gaierror, urllib3.exceptions.NameResolutionError):
        return UserError("registry_dns", registry=registry, host="Drydock", raw=raw)
    if has(ConnectionRefusedError):
        return UserError("registry_refused", registry=registry, raw=raw)
    if has(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
        return UserError("registry_timeout", registry=registry, raw=raw)
    return UserError("registry_cut", registry=registry, raw=raw)


def _text(response: requests.Response) -> str:
    """The status and what the registry says with it; never a token, which come with 200 alone."""
    said = "" if response.status_code == 200 else response.content[:1500].decode("utf-8", "replace")
    return f"HTTP {response.status_code} {response.reason or ''} {said}".strip()
