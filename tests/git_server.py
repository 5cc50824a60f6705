"""A git server behind https, as the hosting sites are: TLS in front of git's own http-backend, and private parts."""

import base64
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.registry import make_certificate

AUTHOR = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass
class GitServer:
    """Serves the repositories below `root`; what is below /private/ is for who is in `accounts`."""

    root: Path
    certificate: Path
    url: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    """The password by user name."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where a path leads from now on."""
    hidden: set[str] = field(default_factory=set)
    """Paths of which it says that there is nothing, and to whom."""
    sent: list[tuple[str, str]] = field(default_factory=list)
    """The user name and the password of each request; both empty where none came."""
    on_request: Callable[[], None] = lambda: None

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def make(
        self, name: str, files: dict[str, str], submodules: dict[str, tuple[str, str]] | None = None
    ) -> str:
        """A bare repository of these files; `submodules`: by path its address and commit. Gives the commit."""
        work = self.work(name)
        work.mkdir(parents=True)
        self.git(work, "init", "-q", "-b", "main")
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        listed = ""
        for n, (path, (url, commit)) in enumerate((submodules or {}).items()):
            listed += f'[submodule "number {n}"]\n\tpath = {path}\n\turl = {url}\n'
            self.git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        if listed:
            (work / ".gitmodules").write_text(listed)
        self.git(work, "add", *(p.name for p in work.iterdir() if p.name != ".git"))
        self.git(work, "commit", "-qm", "one")
        self.git(work, "clone", "-q", "--bare", str(work), str(self.root / f"{name}.git"))
        return self.git(work, "rev-parse", "HEAD")

    def work(self, name: str) -> Path:
        """Where the files of a repository were put together."""
        return self.root.parent / f"work-{self.root.name}" / name

    def git(self, work: Path, *arguments: str) -> str:
        command = ["git", "-C", str(work), *arguments]
        result = subprocess.run(command, check=True, capture_output=True, env=os.environ | AUTHOR, text=True)
        return result.stdout.strip()


class _Backend(BaseHTTPRequestHandler):
    """One request as CGI; see git-http-backend(1)."""

    server: "_Server"
    protocol_version = "HTTP/1.1"  # GnuTLS takes the end of a connection for an attack

    def do_GET(self) -> None:
        served, parts = self.server.served, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        served.on_request()
        name, password = self._account()
        served.sent.append((name, password))
        body = self.rfile.read(length) if length else self._chunks()
        if parts.path.startswith("/private/") and (not name or served.accounts.get(name) != password):
            self._send(401, "", "WWW-Authenticate", 'Basic realm="git"')
        elif moved := next((old for old in served.moved if parts.path.startswith(old)), ""):
            self._send(302, "", "Location", served.moved[moved] + self.path.removeprefix(moved))
        elif any(parts.path.startswith(path) for path in served.hidden):
            self._send(404, f"no repository for {name} with {password}", "Content-Type", "text/plain")
        else:
            self._answer(body)

    do_POST = do_GET  # noqa: N815 - as the library calls it

    def _account(self) -> tuple[str, str]:
        kind, _, sent = self.headers.get("Authorization", "").partition(" ")
        name, _, password = (
            base64.b64decode(sent).decode().partition(":") if kind == "Basic" else ("", "", "")
        )
        return name, password

    def _send(self, status: int, text: str, name: str, value: str) -> None:
        self.send_response(status)
        self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.server.served.root), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": parts.path, "QUERY_STRING": parts.query,
            "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        own = ["-c", "safe.directory=*", "-c", "uploadpack.allowAnySHA1InWant=true"]
        command = ["git", *own, "http-backend"]
        answer = subprocess.run(command, input=body, env=environment, capture_output=True, check=True).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        headers.pop("Content-Length", None)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    served: GitServer


@contextlib.contextmanager
def git_server(directory: Path, address: str = "127.0.0.1") -> Iterator[GitServer]:
    """A server with a folder of its own; its certificate is to be trusted."""
    (directory / "served").mkdir()
    certificate, key = make_certificate(directory, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Server((address, 0), _Backend) as server:
        server.served = GitServer(directory / "served", certificate)
        server.served.url = f"https://{address}:{server.server_port}"
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server.served
        server.shutdown()
