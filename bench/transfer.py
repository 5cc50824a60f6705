"""Archives through Drydock: 2 GB from a browser into an engine, back out, and on to a second engine.

    .venv/bin/python -m bench.transfer [--megabytes 2000]

Web, worker, Redis, database and both engines are private and real (needs root). The web process and Redis must
stay small however much passes. The engine's own share is measured without Drydock, over the same socket.
"""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUDGET_WEB_MB, BUDGET_REDIS_MB, BUDGET_RELAY = 200.0, 200.0, 150.0
MOST_MEGABYTES = 20_000
END_SECONDS = 900


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args(sys.argv[1:] if __name__ == "__main__" else [])
    size = min(options.megabytes, MOST_MEGABYTES) * 1_000_000
    from config.demo import engines

    if reason := engines.why_not():
        print(f"left out: {reason}")
        return
    with tempfile.TemporaryDirectory(prefix="drydock-b-") as directory:
        is_within = _measure(Path(directory), size)
    sys.exit(0 if is_within else 1)


def _measure(directory: Path, size: int) -> bool:
    from config.demo.engines import PrivateEngine

    with contextlib.ExitStack() as stack:
        site = stack.enter_context(_site(directory))
        engines = [PrivateEngine(directory / name, name) for name in ("a", "b")]
        for engine in engines:
            stack.callback(engine.destroy)
            engine.start()
        relay = _relay_rate()
        alone = _alone(engines[1], size)
        engines[1].wipe()
        through = _through(site, engines, size)
        web, redis_mb = _peak_mb(site["web"].pid), _peak_mb(site["redis"].process.pid)
    print(f"relay alone {relay:.0f} MB/s (budget {BUDGET_RELAY:.0f})")
    for name, rate in through.items():
        share = f", the engine alone {alone[name]:.0f}" if name in alone else ""
        print(f"{name} of {size / 1e6:.0f} MB: {rate:.0f} MB/s{share}")
    print(f"web process {web:.0f} MB at most (budget {BUDGET_WEB_MB:.0f})")
    print(f"Redis {redis_mb:.0f} MB at most (budget {BUDGET_REDIS_MB:.0f})")
    return web < BUDGET_WEB_MB and redis_mb < BUDGET_REDIS_MB and relay >= BUDGET_RELAY


@contextlib.contextmanager
def _site(directory: Path) -> Iterator[dict[str, Any]]:
    """Web and a worker with a database and a Redis of their own; this process uses the same two."""
    from config.programs import programs
    from config.redis_server import RedisServer, free_port

    server = RedisServer(directory / "redis", is_durable=False).start()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(directory), "REDIS_URL": server.url,
        "DATABASE_URL": f"sqlite:///{directory}/bench.sqlite3", "DEBUG": "0", "HTTPS": "0",
        "SECRET_KEY": "a key of this bench alone", "STATIC_ROOT": str(directory / "static"),
    }  # fmt: skip
    import django

    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    port, started = free_port(), {}
    for program in programs(port=port, data=directory, workers={"engine": 2}):
        if program.name in ("web", "worker-engine"):
            started[program.name] = subprocess.Popen(program.command)
    try:
        yield started | {"redis": server, "url": f"http://127.0.0.1:{port}"}
    finally:
        for process in started.values():
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)
        server.stop()


def _peak_mb(pid: int) -> float:
    """The most memory the process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def _relay_rate(megabytes: int = 1000) -> float:
    """Two processes, one Redis, no engine and no browser; MB a second."""
    from images.transfers.relay import CHUNK_BYTES, Receiver

    code = (
        "import django; django.setup()\n"
        "from images.transfers.relay import CHUNK_BYTES, Sender\n"
        "sender, chunk = Sender('bench'), bytes(CHUNK_BYTES)\n"
        f"for _ in range({megabytes * 1_000_000} // CHUNK_BYTES): sender.send(chunk)\n"
        "sender.finish(); sender.until_taken()\n"
    )
    sender = subprocess.Popen([sys.executable, "-c", code])
    receiver = Receiver("bench")
    first = receiver.take()
    began = time.monotonic()
    moved = sum(len(chunk) for chunk in receiver)
    receiver.confirm()
    seconds = time.monotonic() - began
    sender.wait(30)
    assert len(first) == CHUNK_BYTES
    return moved / 1e6 / seconds


def _archive(size: int) -> Iterator[bytes]:
    from config.demo.images import Image, Layer, archive

    return archive([Image(["bench/large:1"], [Layer("data", size)])])


def _alone(engine: Any, size: int) -> dict[str, float]:
    """The same load and save without Drydock."""
    with engine.client(timeout_seconds=END_SECONDS) as api:
        began = time.monotonic()
        for line in api.load_image(_archive(size)):
            assert "error" not in line, line
        loaded = time.monotonic() - began
        began = time.monotonic()
        for _ in api.get_image("bench/large:1", chunk_size=1 << 20):
            pass
        saved = time.monotonic() - began
    return {"load": size / 1e6 / loaded, "save": size / 1e6 / saved}


def _through(site: dict[str, Any], engines: list[Any], size: int) -> dict[str, float]:
    """Loads by an upload, saves by a download, copies to the second host; MB a second of each, click to end."""
    import httpx

    from images.models import Copy, Job, User

    hosts = [_host(engine) for engine in engines]
    User.objects.create_superuser("root", password="a long password")
    rates = {}
    with httpx.Client(base_url=site["url"], timeout=END_SECONDS, trust_env=False) as http:
        _sign_in(http, site)
        began = time.monotonic()
        answer = http.post("/load/", data={"hosts": str(hosts[0].pk), "file": "large.tar"}).json()
        http.put(answer["upload"], content=_archive(size)).raise_for_status()
        _ended(Job.objects.latest("pk"))
        rates["load"] = size / 1e6 / (time.monotonic() - began)
        copy = Copy.objects.get(host=hosts[0])
        began = time.monotonic()
        http.post("/commands/save/", data={"copies": str(copy.pk)})
        job = Job.objects.latest("pk")
        _ended(job, phase="waiting")
        with http.stream("GET", f"/transfers/{job.pk}/") as response:
            received = sum(len(piece) for piece in response.iter_raw(1 << 20))
        _ended(job)
        assert received >= size
        rates["save"] = size / 1e6 / (time.monotonic() - began)
        began = time.monotonic()
        http.post("/commands/copy/", data={"copies": str(copy.pk), "hosts": str(hosts[1].pk)})
        _ended(Job.objects.latest("pk"))
        rates["copy"] = size / 1e6 / (time.monotonic() - began)
    return rates


def _host(engine: Any) -> Any:
    from django.utils import timezone

    from images.engine.client import Connection, open_engine
    from images.inventory import picture
    from images.models import Host

    host = Host.objects.create(
        name=engine.name, address=engine.address, state="online", state_since=timezone.now(),
        engine_kind="docker", store_kind="graph",
    )  # fmt: skip
    with open_engine(Connection.of(host)) as opened:
        picture.sync(host, opened)
    return host


def _sign_in(http: Any, site: dict[str, Any]) -> None:
    import httpx

    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            http.get("/account/login/").raise_for_status()
            break
        time.sleep(0.1)
    http.headers.update({"X-CSRFToken": http.cookies["csrftoken"], "Origin": site["url"]})
    http.post("/account/login/", data={"username": "root", "password": "a long password"})
    http.headers["X-CSRFToken"] = http.cookies["csrftoken"]


def _ended(job: Any, phase: str = "") -> None:
    """Waits for the end of the job, or for a phase."""
    give_up_at = time.monotonic() + END_SECONDS
    while time.monotonic() < give_up_at:
        job.refresh_from_db()
        if phase and job.detail.get("transfer", {}).get("phase") == phase:
            return
        if not job.is_open:
            assert job.state == "succeeded", f"{job} {job.error_code} {job.error_raw}"
            return
        time.sleep(0.05)
    raise AssertionError(f"{job} did not end")


if __name__ == "__main__":
    main()
