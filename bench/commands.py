"""Pull, push and build through Drydock against the docker CLI, on the same engine in the same run.

    .venv/bin/python -m bench.commands [--rounds 5] [--megabytes 300] [--layers 60] [--clicks 30] [--only PART]

Engine, registry, web, worker, Redis and database are private and real (needs root). Both sides do the same thing
after the same preparation, in turn, and whoever begins changes from round to round; medians count. Drydock's time
runs from the click to the end of its job, inventory included. At the end: from the click to the first byte that
arrives at the engine.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.transfer import _ended, _host, _sign_in, _site

BUDGET_RATIO, BUDGET_CLICK_MS = 1.1, 300.0
MOST_MEGABYTES, MOST_LAYERS, MOST_ROUNDS, MOST_CLICKS = 5000, 100, 50, 500
CLI_SECONDS = 900
PARTS = ("large", "small", "build", "clicks")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--layers", type=int, default=60)
    parser.add_argument("--clicks", type=int, default=30)
    parser.add_argument("--only", choices=PARTS, default="")
    options = parser.parse_args(sys.argv[1:] if __name__ == "__main__" else [])
    if reason := _why_not():
        print(f"left out: {reason}")
        return
    with tempfile.TemporaryDirectory(prefix="drydock-b-") as directory:
        is_within = _measure(Path(directory), options)
    sys.exit(0 if is_within else 1)


def _why_not() -> str:
    from config.demo import engines

    missing = [name for name in ("docker", "docker-registry") if not shutil.which(name)]
    return engines.why_not() or (f"{', '.join(missing)} not installed" if missing else "")


def _cli() -> str:
    """The client that belongs to the engine, where another one was put in front of it."""
    return "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else shutil.which("docker") or "docker"


@dataclass
class Bench:
    """All that takes part. `http` is signed in; `host` is the engine as Drydock knows it."""

    directory: Path
    engine: Any
    host: Any
    http: Any
    rounds: int

    def cli(self, *arguments: str, stdin: Path | None = None) -> float:
        """Seconds of a docker command."""
        environment = {
            "DOCKER_HOST": self.engine.address, "DOCKER_BUILDKIT": "1", "PATH": os.environ["PATH"],
            "HOME": str(self.directory), "DOCKER_CONFIG": str(self.directory / "docker"),
        }  # fmt: skip
        began = time.monotonic()
        with (stdin or Path(os.devnull)).open("rb") as file:
            subprocess.run(
                [_cli(), *arguments], check=True, env=environment, timeout=CLI_SECONDS, capture_output=True,
                stdin=file,
            )  # fmt: skip
        return time.monotonic() - began

    def drydock(self, url: str, **data: Any) -> float:
        """Seconds from the click to the end of the job that it started."""
        from images.models import Job

        began = datetime.now(UTC)
        response = self.http.post(url, data=data)
        assert response.status_code == 302, response.text[-2000:]
        job = Job.objects.get(pk=response.headers["Location"].rstrip("/").rpartition("/")[2])
        _ended(job)
        job.refresh_from_db()
        assert job.ended_at
        return (job.ended_at - began).total_seconds()

    def look(self) -> None:
        """Brings Drydock's picture of the engine up to date, as its watcher would."""
        from images.engine.client import Connection, open_engine
        from images.inventory import picture

        with open_engine(Connection.of(self.host)) as opened:
            picture.sync(self.host, opened)

    def empty(self) -> None:
        self.engine.wipe()
        self.look()

    def forget_builds(self) -> None:
        """Takes what was built and all that BuildKit remembers; the base stays."""
        with self.engine.client() as api:
            raw: Any = api
            for row in api.images():
                if "bench/tools:1" not in (row["RepoTags"] or []):
                    api.remove_image(row["Id"], force=True)
            raw._post(raw._url("/build/prune"), params={"all": "true"}).close()
        self.look()

    def compared(
        self,
        name: str,
        cli: Callable[[], float],
        drydock: Callable[[], float],
        before: Callable[[], None],
        *,
        budget: float = BUDGET_RATIO,
    ) -> bool:
        """Both in turn, `before` in front of each; prints medians, and says whether the budget is met, 0 for none."""
        times: dict[str, list[float]] = {"cli": [], "drydock": []}
        sides = [("cli", cli), ("drydock", drydock)]
        for number in range(self.rounds + 1):
            for side, run in sides if number % 2 else reversed(sides):
                before()
                seconds = run()
                if number:  # the first round warms up both
                    times[side].append(seconds)
        theirs, ours = statistics.median(times["cli"]), statistics.median(times["drydock"])
        ratio = ours / theirs
        spread = "; ".join(f"{side} {min(t):.2f}-{max(t):.2f}" for side, t in times.items())
        print(
            f"{name}: docker {theirs:.2f} s, Drydock {ours:.2f} s, ratio {ratio:.2f}"
            f" ({f'budget {budget}' if budget else f'{ours - theirs:.2f} s more'}; {spread})",
            flush=True,
        )
        return not budget or ratio <= budget


def _measure(directory: Path, options: argparse.Namespace) -> bool:
    import httpx

    from config.demo.engines import PrivateEngine

    with contextlib.ExitStack() as stack:
        site = stack.enter_context(_site(directory))
        engine = PrivateEngine(directory / "engine", "bench")
        stack.callback(engine.destroy)
        engine.start()
        http = stack.enter_context(httpx.Client(base_url=site["url"], timeout=CLI_SECONDS, trust_env=False))
        from images.models import User

        User.objects.create_superuser("root", password="a long password")
        _sign_in(http, site)
        bench = Bench(directory, engine, _host(engine), http, min(options.rounds, MOST_ROUNDS))
        print(f"{_version()}, engine {bench.host.engine_version or engine.name}, {os.cpu_count()} cores")
        parts: dict[str, Callable[[], Iterable[bool]]] = {
            "large": lambda: _transfers(bench, "one layer", _large(min(options.megabytes, MOST_MEGABYTES))),
            "small": lambda: _transfers(bench, "small layers", _small(min(options.layers, MOST_LAYERS))),
            "build": lambda: _builds(bench),
            "clicks": lambda: [_clicks(bench, min(options.clicks, MOST_CLICKS))],
        }
        within = [good for name in PARTS if options.only in ("", name) for good in parts[name]()]
    return all(within)


def _version() -> str:
    return subprocess.run([_cli(), "--version"], check=True, capture_output=True, text=True).stdout.strip()


# Pull and push


def _large(megabytes: int) -> tuple[str, list[Any]]:
    from config.demo.images import Layer

    # Bytes that nothing packs: zeros would travel as nothing.
    return f"{megabytes} MB", [Layer("data", content=os.urandom(megabytes * 1_000_000))]


def _small(count: int) -> tuple[str, list[Any]]:
    from config.demo.images import Layer

    return f"{count} of 20 kB", [Layer(f"l{n}", content=os.urandom(20_000)) for n in range(count)]


def _transfers(bench: Bench, name: str, made: tuple[str, list[Any]]) -> Iterator[bool]:
    """An image is pushed to a registry that has nothing of it, and pulled where nothing of it is."""
    from config.demo import images as demo

    size, layers = made
    with bench.engine.client(timeout_seconds=CLI_SECONDS) as api:
        engine_id = demo.load(api, demo.Image(["bench/image:1"], layers))["bench/image:1"]
    layers.clear()
    with _registries(bench) as fresh:
        reference = ""

        def another() -> None:
            nonlocal reference
            reference = f"{fresh()}/bench/image:1"
            with bench.engine.client() as api:
                api.tag(engine_id, reference.rpartition(":")[0], "1")
            bench.look()

        yield bench.compared(
            f"push, {name}, {size}",
            lambda: bench.cli("push", reference),
            lambda: bench.drydock(
                "/commands/push/",
                copy=str(_copy(bench, engine_id)),
                hosts=str(bench.host.pk),
                reference=reference,
            ),
            another,
        )
        yield bench.compared(
            f"pull, {name}, {size}",
            lambda: bench.cli("pull", reference),
            lambda: bench.drydock("/commands/pull/", reference=reference, hosts=str(bench.host.pk)),
            bench.empty,
        )
    bench.empty()


def _copy(bench: Bench, engine_id: str) -> int:
    from images.models import Copy

    return Copy.objects.get(host=bench.host, engine_id=engine_id).pk


@contextlib.contextmanager
def _registries(bench: Bench) -> Iterator[Callable[[], str]]:
    """Gives the address of a registry that has nothing: an engine remembers what it brought to which one."""
    running: list[Any] = []

    def fresh() -> str:
        from tests.registry import PrivateRegistry

        _close(running)
        directory = Path(tempfile.mkdtemp(prefix="registry-", dir=bench.directory))
        running.append(PrivateRegistry(directory).start())
        return str(running[0].host)

    try:
        yield fresh
    finally:
        _close(running)


def _close(running: list[Any]) -> None:
    while running:
        registry = running.pop()
        registry.stop()
        shutil.rmtree(registry.directory, ignore_errors=True)


# Builds

SHORT = """FROM bench/tools:1
RUN echo one > /one
RUN echo two > /two
RUN for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done
FROM scratch
COPY --from=0 /one /one
COPY --from=0 /two /two
LABEL bench=1
"""
WORK = """FROM bench/tools:1
RUN busybox dd if=/dev/urandom of=/data bs=1048576 count=200
RUN busybox sha256sum /data > /sum; busybox gzip -1 -c /data > /packed
FROM scratch
COPY --from=0 /packed /sum /
"""
FILES, FILE_BYTES = 2000, 10_000


def _builds(bench: Bench) -> Iterator[bool]:
    """Steps that do something, steps that do nothing, and a context of 20 MB; no cache on either side."""
    from config.demo import images as demo

    with bench.engine.client() as api:
        demo.load(api, demo.Image(["bench/tools:1"], [demo.Layer("tools", tools=True)]))
    options = {"tags": "bench/built:1", "network": "none", "no_cache": "on", "hosts": str(bench.host.pk)}
    command = ("build", "--no-cache", "--network", "none", "-t", "bench/built:1")
    for name, text in (("steps of some seconds", WORK), ("steps of nothing", SHORT)):
        folder = bench.directory / name.rpartition(" ")[2]
        folder.mkdir()
        (folder / "Dockerfile").write_text(text)
        yield bench.compared(
            f"build, {name}",
            lambda folder=folder: bench.cli(*command, str(folder)),  # type: ignore[misc]
            lambda text=text: bench.drydock("/builds/new/", context="typed", dockerfile_text=text, **options),  # type: ignore[misc]
            bench.forget_builds,
        )
    folder, archive = _context(bench)
    upload = ""

    def sent() -> None:
        nonlocal upload
        bench.forget_builds()
        upload = _uploaded(bench, archive)

    for kind, cli in (
        ("an archive", lambda: bench.cli(*command, "-", stdin=archive)),
        ("a folder", lambda: bench.cli(*command, str(folder))),
    ):
        yield bench.compared(
            f"build, context of {FILES} files of {FILE_BYTES // 1000} kB, docker given {kind}",
            cli,
            lambda: bench.drydock("/builds/new/", context="archive", upload=upload, **options),
            sent,
        )
    began = time.monotonic()
    _uploaded(bench, archive)
    print(f"sending that context to the site: {time.monotonic() - began:.2f} s more")


def _context(bench: Bench) -> tuple[Path, Path]:
    """The same files as a folder and as an archive."""
    folder, archive = bench.directory / "full", bench.directory / "context.tar"
    for number in range(FILES):
        file = folder / f"src/{number // 100}" / f"file{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(FILE_BYTES))
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY src /src\n")
    # Of the other format docker takes the first header for a Dockerfile.
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, arcname=".")
    return folder, archive


def _uploaded(bench: Bench, archive: Path) -> str:
    with archive.open("rb") as file:
        answer = bench.http.put("/builds/uploads/?name=context.tar", content=file)
    return str(answer.raise_for_status().json()["id"])


# From the click to the engine


def _clicks(bench: Bench, count: int) -> bool:
    """A proxy in front of the engine notes when the first byte of each connection comes."""
    from images.models import Host

    with _Proxy(bench.engine.socket, bench.directory / "proxy.sock") as proxy:
        host = Host.objects.create(name="behind the proxy", address=f"unix://{proxy.path}", state="online")
        waits = []
        for _ in range(count):
            proxy.first_at = 0.0
            began = time.monotonic()
            # Refused at once: how long the engine then works is not the question.
            response = bench.http.post(
                "/commands/pull/", data={"reference": "127.0.0.1:1/bench/nothing:1", "hosts": str(host.pk)}
            )
            assert response.status_code == 302, response.text[-2000:]
            while not proxy.first_at:
                assert time.monotonic() - began < 30, "nothing came to the engine"
                time.sleep(0.002)
            waits.append((proxy.first_at - began) * 1000)
            time.sleep(0.3)
    waits.sort()
    median = statistics.median(waits)
    print(
        f"click to the engine's first byte: median {median:.0f} ms (budget {BUDGET_CLICK_MS:.0f}),"
        f" slowest {waits[-1]:.0f} ms, {count} clicks"
    )
    return median <= BUDGET_CLICK_MS


class _Proxy:
    """Passes a unix socket on to another; `first_at` is when the first byte came since it was last set to 0."""

    def __init__(self, target: Path, path: Path) -> None:
        self.target, self.path, self.first_at = target, path, 0.0
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen(64)

    def __enter__(self) -> "_Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                engine.connect(str(self.target))
                for source, target, is_request in ((client, engine, True), (engine, client, False)):
                    threading.Thread(
                        target=self._pass_on, args=(source, target, is_request), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_request and not self.first_at:
                    self.first_at = time.monotonic()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
