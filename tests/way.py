"""The way to a registry, made slow or cut: a proxy on 127.0.0.1 that looks at what passes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PIECE_BYTES = 16 * 1024


class Way:
    """`slow_bytes` a second when it is not 0; `cut` is how many more requests that hold `sign` are cut off.

    With `cut_after` connections are cut in the middle instead, whenever so many bytes have passed since the last.
    """

    def __init__(self, port: int, target: int) -> None:
        self.host, self.target = f"127.0.0.1:{port}", target
        self.slow_bytes, self.cut, self.sign, self.cut_after = 0, 0, b"", 0
        self.cut_count = self.passed_bytes = self.open_count = 0
        self._lock = threading.Lock()

    def serve(self, client: socket.socket) -> None:
        registry = socket.create_connection(("127.0.0.1", self.target))
        with self._lock:
            self.open_count += 1
        ends = [
            threading.Thread(target=self._pass_on, args=pair, daemon=True)
            for pair in ((client, registry, True), (registry, client, False))
        ]
        for end in ends:
            end.start()
        for end in ends:
            end.join()
        client.close()
        registry.close()
        with self._lock:
            self.open_count -= 1

    def _pass_on(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                if self._is_cut(data, is_request):
                    for end in (source, target):
                        end.shutdown(socket.SHUT_RDWR)
                    return
                if self.slow_bytes and len(data) > 4096:
                    time.sleep(len(data) / self.slow_bytes)
                target.sendall(data)
                self.passed_bytes += len(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, data: bytes, is_request: bool) -> bool:
        with self._lock:
            is_due = (
                self.passed_bytes >= self.cut_after if self.cut_after else is_request and self.sign in data
            )
            if self.cut <= 0 or not is_due:
                return False
            self.passed_bytes = 0
            self.cut -= 1
            self.cut_count += 1
            return True


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    """A way to what listens on this port of 127.0.0.1."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    way = Way(server.getsockname()[1], port)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=way.serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield way
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
