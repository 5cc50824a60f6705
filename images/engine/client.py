"""Opens a connection to an engine, and can cut it from another thread."""

import contextlib
import socket
import ssl
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig
from docker.transport.unixconn import UnixHTTPAdapter
from docker.utils import compare_version

from images.engine import scratch, ssh
from images.engine.failures import causes_of
from images.errors import UserError
from images.models.host import Host

MINIMUM_API = "1.41"  # Docker 20.10
PREFERRED_API = "1.44"  # what Drydock is written against; an older engine is asked in its own version
CONNECT_SECONDS = 5.0
SKEW_IGNORED = timedelta(seconds=3)  # the header says whole seconds, and the answer took its time
REACH_SECONDS = 10.0  # the first answer decides whether an engine is there at all


class EngineCut(Exception):
    """The connection was cut on purpose: the job was cancelled or ran past its deadline."""


@dataclass(frozen=True)
class Connection:
    """How to reach an engine. The keys are secrets and stay out of repr."""

    address: str
    use_tls: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    ssh_key: str = ""
    ssh_host_key: str = ""

    def __repr__(self) -> str:
        return f"Connection({self.address!r}, use_tls={self.use_tls})"

    @classmethod
    def of(cls, host: Host) -> "Connection":
        tls = (host.use_tls, host.tls_ca, host.tls_certificate, host.tls_key)
        return cls(host.address, *tls, host.ssh_key, host.ssh_host_key)

    @property
    def route(self) -> ssh.Route | None:
        """How ssh gets there; None for an engine that is reached without it."""
        if not self.address.startswith("ssh://"):
            return None
        return ssh.Route(self.address, self.ssh_key, self.ssh_host_key)


class _Sockets:
    """The open sockets of one client, so that another thread can shut them down."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.is_cut = False

    def watch(self, pool: Any) -> Any:
        """Makes a urllib3 pool report every socket it opens."""
        new_connection = pool._new_conn

        def tracked() -> Any:
            connection = new_connection()
            connect = connection.connect

            def connect_and_report() -> None:
                connect()
                self._add(connection.sock)

            connection.connect = connect_and_report
            return connection

        pool._new_conn = tracked
        return pool

    def _add(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.add(sock)
            if self.is_cut:
                _shut(sock)

    def cut(self) -> None:
        with self._lock:
            self.is_cut = True
            for sock in list(self._open):
                _shut(sock)
            for end in self._ends:
                end()

    def on_cut(self, end: Callable[[], None]) -> None:
        with self._lock:
            self._ends.append(end)
            if self.is_cut:
                end()


def _shut(sock: socket.socket) -> None:
    # The raw shutdown wakes a thread that reads; SSLSocket.shutdown would first talk to the other side.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _UnixAdapter(UnixHTTPAdapter):
    def __init__(self, url: str, sockets: _Sockets, **options: Any) -> None:
        self._sockets = sockets
        super().__init__(url, **options)

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        known = self.pools.get(url)
        return known or self._sockets.watch(self._tidy(super().get_connection(url, proxies)))

    def _tidy(self, pool: Any) -> Any:
        """docker-py leaves its socket open when the connect fails; a host that is down is tried for days."""
        new_connection = pool._new_conn

        def tidy() -> Any:
            connection = new_connection()
            connection.connect = lambda: _connect_unix(connection)
            return connection

        pool._new_conn = tidy
        return pool


def _connect_unix(connection: Any) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(connection.timeout)
        sock.connect(connection.unix_socket)
    except BaseException:
        sock.close()
        raise
    connection.sock = sock


class _TcpAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, sockets: _Sockets, **options: Any) -> None:
        self._sockets = sockets
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        new_pool = self.poolmanager._new_pool
        self.poolmanager._new_pool = lambda *a, **k: self._sockets.watch(new_pool(*a, **k))


class Engine:
    """One open connection pool to one engine. Use `open_engine`."""

    def __init__(
        self,
        connection: Connection,
        api: Any,
        sockets: _Sockets,
        version: str = "",
        skew: timedelta = timedelta(0),
        near: Connection | None = None,
    ) -> None:
        self.connection = connection
        self.near = near or connection  # as this machine sees it: of ssh, the local end
        self.api: Any = api  # an APIClient; its stubs cover too little of it
        self.version = version  # as the engine told when the connection was opened
        self.skew = skew  # how far the engine's clock is ahead of ours
        self._sockets = sockets

    @property
    def is_cut(self) -> bool:
        return self._sockets.is_cut

    def cut(self) -> None:
        """Ends every request under way and to come; safe from any thread, also while one of them reads."""
        self._sockets.cut()

    def on_cut(self, end: Callable[[], None]) -> None:
        """Has `end` called as well when the connection is cut; at once if it is."""
        self._sockets.on_cut(end)

    def ping(self, timeout_seconds: float = 1.0) -> None:
        """Raises UserError host_* unless the engine answers in time."""
        with translated(self.connection, timeout_seconds):
            internals = self.api
            url = internals._url("/_ping", versioned_api=False)
            internals._raise_for_status(self.api.get(url, timeout=timeout_seconds))


@contextlib.contextmanager
def open_engine(
    connection: Connection,
    *,
    timeout_seconds: float = 60.0,
    reach_seconds: float = REACH_SECONDS,
    give_cut: Callable[[Callable[[], None]], object] = lambda cut: None,
    deadline_seconds: float | None = None,
) -> Iterator[Engine]:
    """A connected engine with its API version negotiated, which must be answered within `reach_seconds`.

    `deadline_seconds` cuts it off whatever it does: an engine that sends a byte now and then meets no other
    timeout. `give_cut` is handed the same as `Engine.cut` before anything is sent: an engine may hang from the start.
    Raises UserError host_* when it can not be reached or is no engine of use, here and for connection faults
    inside the block; EngineCut after `Engine.cut`. Errors of single calls (docker.errors.APIError) pass.
    """
    sockets = _Sockets()
    give_cut(sockets.cut)
    with contextlib.ExitStack() as stack:
        if deadline_seconds is not None:
            stack.enter_context(_cut_after(deadline_seconds, sockets))
        try:
            with translated(connection, timeout_seconds):
                near = stack.enter_context(_near(connection, sockets))
                api = stack.enter_context(_client(near, sockets, timeout_seconds))
                stack.callback(api.close)
                with translated(connection, reach_seconds):
                    api._version, version, skew = _negotiate(api, connection, reach_seconds)
                yield Engine(connection, api, sockets, version, skew, near)
        except UserError as error:
            if sockets.is_cut:
                raise EngineCut from error
            raise


@contextlib.contextmanager
def _cut_after(seconds: float, sockets: _Sockets) -> Iterator[None]:
    timer = threading.Timer(seconds, sockets.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _near(connection: Connection, sockets: _Sockets) -> Iterator[Connection]:
    """The connection as this machine sees it: over ssh the engine is behind a local socket."""
    route = connection.route
    if route is None:
        yield connection
        return
    with ssh.opened(route, is_cut=lambda: sockets.is_cut) as path:
        yield replace(connection, address=f"unix://{path}")


@contextlib.contextmanager
def _client(connection: Connection, sockets: _Sockets, timeout_seconds: float) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(dir=scratch.folder()) as folder:
        tls = _tls(connection, Path(folder))
        timeout: Any = timeout_seconds
        # Any, because the SDK has no public way to set the adapter and the negotiated version.
        api: Any = APIClient(
            _base_url(connection), version=MINIMUM_API, timeout=timeout, tls=tls, max_pool_size=16
        )
        # REQUESTS_CA_BUNDLE in the environment would override the CA of the host.
        api.trust_env = False
        adapter: requests.adapters.BaseAdapter
        if connection.address.startswith("unix://"):
            adapter = _UnixAdapter(
                f"http+{connection.address}", sockets, timeout=timeout_seconds, max_pool_size=16
            )
            api.mount("http+docker://", adapter)
        else:
            adapter = _TcpAdapter(sockets, pool_maxsize=16)
            api.mount("http://", adapter)
            api.mount("https://", adapter)
        api._custom_adapter = adapter
        yield api


def _base_url(connection: Connection) -> str:
    if connection.address.startswith("unix://") or not connection.use_tls:
        return connection.address
    return connection.address.replace("tcp://", "https://", 1)


def _tls(connection: Connection, folder: Path) -> Any:
    """docker-py takes certificates only as files; these live as long as the connection."""
    if not connection.use_tls:
        return False
    paths = {}
    for name, text in (("ca", connection.ca), ("cert", connection.certificate), ("key", connection.key)):
        if text:
            paths[name] = folder / name
            paths[name].touch(mode=0o600)
            paths[name].write_text(text)
    pair = (str(paths["cert"]), str(paths["key"])) if {"cert", "key"} <= paths.keys() else None
    ca = str(paths["ca"]) if "ca" in paths else None
    return TLSConfig(client_cert=pair, ca_cert=ca, verify=True)


def _negotiate(api: Any, connection: Connection, reach_seconds: float) -> tuple[str, str, timedelta]:
    """The API version to speak (the engine's own, at most the preferred one), its version, its clock's skew."""
    url = api._url("/version", versioned_api=False)
    response = api.get(url, timeout=(min(CONNECT_SECONDS, reach_seconds), reach_seconds))
    if response.status_code != 200:
        speaks_tls = "HTTPS" in response.text[:500]
        code = "host_needs_tls" if speaks_tls else "host_not_engine"
        raise UserError(code, address=connection.address, raw=response.text[:500])
    try:
        facts = response.json()
        version, minimum = facts["ApiVersion"], facts.get("MinAPIVersion") or MINIMUM_API
        is_old = compare_version(MINIMUM_API, version) < 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("host_not_engine", address=connection.address, raw=response.text[:500]) from error
    if is_old:
        raise UserError("host_api_too_old", version=version, minimum=MINIMUM_API)
    spoken = version if compare_version(PREFERRED_API, version) < 0 else PREFERRED_API
    # An engine that has dropped what Drydock prefers is asked in the oldest version it still speaks.
    chosen = minimum if compare_version(spoken, minimum) > 0 else spoken
    return chosen, str(facts.get("Version") or ""), _skew(response.headers.get("Date") or "")


def _skew(date: str) -> timedelta:
    """How far ahead a clock is that just said this; nothing where it says nothing or is right within seconds."""
    try:
        told = parsedate_to_datetime(date) - datetime.now(UTC)
    except (ValueError, TypeError):
        return timedelta(0)
    return told if abs(told) > SKEW_IGNORED else timedelta(0)


@contextlib.contextmanager
def translated(connection: Connection, timeout_seconds: float) -> Iterator[None]:
    """Turns faults of the connection into UserError host_*; an engine's own refusals (APIError) pass."""
    try:
        yield
    except (APIError, UserError):
        raise
    except (requests.RequestException, DockerException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _reach_error(connection, timeout_seconds, error) from error


def _reach_error(connection: Connection, timeout_seconds: float, error: BaseException) -> UserError:
    causes = list(causes_of(error))
    address, raw = connection.address, str(error)[:2000]

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    is_late = has(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
    if connection.route and not is_late and (told := ssh.fault(connection.route)):
        return told
    if "WRONG_VERSION_NUMBER" in raw or "record layer failure" in raw.lower():
        return UserError("host_not_tls", address=address, raw=raw)
    if has(ssl.SSLError) or "certificate" in raw.lower():
        return UserError("host_certificate", detail=_ssl_detail(causes), raw=raw)
    if has(socket.gaierror):
        return UserError("host_unknown_name", address=address, raw=raw)
    if has(FileNotFoundError):
        return UserError("host_no_socket", address=address, raw=raw)
    if has(PermissionError):
        return UserError("host_permission", address=address, raw=raw)
    if has(ConnectionRefusedError):
        return UserError("host_refused", address=address, raw=raw)
    if is_late:
        return UserError("host_timeout", address=address, seconds=f"{timeout_seconds:g}", raw=raw)
    if "HTTP/0.9" in raw or (has(urllib3.exceptions.ProtocolError) and "BadStatusLine" in raw):
        return UserError("host_not_engine", address=address, raw=raw)
    return UserError("host_gone", host=urlsplit(address).netloc or address, raw=raw)


def _ssl_detail(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return getattr(cause, "verify_message", "") or cause.reason or str(cause)
    return str(causes[0])[:200]
