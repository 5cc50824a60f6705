"""A registry that hangs while the engine repeats itself, as engines with the containerd store do."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from images.engine import transfer
from images.engine.client import Connection, open_engine
from images.engine.transfer import Layers
from images.errors import UserError


class _Engine(BaseHTTPRequestHandler):
    """`says` gives the n-th line of a push, ten times as quick as a real one."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        pass

    def do_GET(self) -> None:
        body = b'{"ApiVersion": "1.44", "Version": "28.5.2"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number in range(300):
                line = f"{json.dumps(self.server.says(number))}\r\n".encode()  # type: ignore[attr-defined]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                time.sleep(0.01)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # it was cut off


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(transfer, "SILENT_SECONDS", 1.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def pushed(engine: Any, layers: Layers) -> str:
    """What went wrong with it."""
    with open_engine(Connection(f"tcp://127.0.0.1:{engine.server_port}")) as opened:
        try:
            for line in transfer.push(opened, "shop/api", tag="1", patience=layers.patience):
                layers.take(line)
        except UserError as error:
            return error.code
    return ""


def test_engine_that_says_the_same_again_and_again_has_said_nothing(engine: Any) -> None:
    engine.says = lambda number: {"status": "Waiting", "progressDetail": {}, "id": f"layer{number % 2}"}
    assert pushed(engine, Layers(is_queueing=False)) == "registry_silent"


def test_layer_that_moves_is_news(engine: Any) -> None:
    engine.says = lambda number: {
        "status": "Pushing", "progressDetail": {"current": number + 1, "total": 300}, "id": "layer",
    }  # fmt: skip
    layers = Layers(is_queueing=False)
    assert not pushed(engine, layers)
    assert layers.done_bytes == 300


def test_layers_that_queue_in_the_engine_wait_in_silence(engine: Any) -> None:
    engine.says = lambda number: {"status": "Waiting", "progressDetail": {}, "id": "layer"}
    assert not pushed(engine, Layers())
