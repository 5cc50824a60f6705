"""A git server behind https, as the hosting sites are: TLS in front of git's own http-backend."""

import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.registry import make_certificate


class _Backend(BaseHTTPRequestHandler):
    """One request as CGI; see git-http-backend(1)."""

    server: "_Server"
    protocol_version = "HTTP/1.1"  # GnuTLS takes the end of a connection for an attack

    def do_GET(self) -> None:
        parts, length = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
        if parts.path.startswith("/private/"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(length) if length else self._chunks()
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path, "QUERY_STRING": parts.query, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        command = [
            "git",
            "-c",
            "safe.directory=*",
            "-c",
            "uploadpack.allowAnySHA1InWant=true",
            "http-backend",
        ]
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

    do_POST = do_GET  # noqa: N815 - as the library calls it

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
    root: Path


@contextlib.contextmanager
def git_server(root: Path, directory: Path) -> Iterator[tuple[str, Path]]:
    """Serves the repositories below `root`; gives its address and the certificate to trust."""
    certificate, key = make_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Server(("127.0.0.1", 0), _Backend) as server:
        server.root = root
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}", certificate
        server.shutdown()
