"""Event to browser: a thousand viewers on one web process, from `publish` to each viewer's socket.

    .venv/bin/python -m bench.sse [--viewers 1000] [--rate 50] [--seconds 20]

Redis, database and web process are private, on the loopback, and thrown away. Viewers are plain sockets of
this process; each is signed in with a session of its own, and half of them may see only half of the hosts.
The figure holds their own share of the two cores too.
"""

import argparse
import asyncio
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUDGET_MS, BUDGET_MEMORY_MB = 500.0, 150.0
MOST_VIEWERS, MOST_SECONDS, MOST_RATE = 5000, 120, 500
SENT_AT = re.compile(rb'"t": ([0-9.]+)')
HOSTS = 20
CONNECTING_AT_ONCE = 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=50, help="events a second")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args(sys.argv[1:] if __name__ == "__main__" else [])
    viewers, seconds = min(options.viewers, MOST_VIEWERS), min(options.seconds, MOST_SECONDS)
    with tempfile.TemporaryDirectory(prefix="drydock-bench-") as directory, _site(Path(directory)) as site:
        cookies = _people(viewers)
        result = asyncio.run(_measure(site, cookies, min(options.rate, MOST_RATE), seconds))
    _report(result, viewers)
    if not result["is_within"]:
        sys.exit(1)


def _report(result: dict[str, Any], viewers: int) -> None:
    late, memory, cpu = result["latencies_ms"], result["memory_mb"], result["cpu"]
    median, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    result["is_within"] = p99 < BUDGET_MS and not result["lost"] and result["memory_mb"] < BUDGET_MEMORY_MB
    print(f"viewers {viewers}, deliveries {len(late)} of {result['expected']}")
    print(f"median {median:.0f} ms, p99 {p99:.0f} ms (budget {BUDGET_MS:.0f}), max {late[-1]:.0f} ms")
    print(f"lost {result['lost']} (budget 0), shown to who may not see it {result['leaked']} (budget 0)")
    print(f"web process {memory:.0f} MB (budget {BUDGET_MEMORY_MB:.0f}), {cpu:.0%} of a core")


@contextmanager
def _site(directory: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A web process with a database and a Redis of its own; this process uses the same two."""
    from config.redis_server import RedisServer, free_port

    server = RedisServer(directory / "redis", is_durable=False).start()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(directory), "REDIS_URL": server.url,
        "DATABASE_URL": f"sqlite:///{directory}/bench.sqlite3", "DEBUG": "0",
        "SECRET_KEY": "a key of this bench alone",
    }  # fmt: skip
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    quiet = ["--no-access-log", "--log-level", "error", "--timeout-graceful-shutdown", "3"]
    web = subprocess.Popen([*command, *quiet])
    try:
        yield port, web
    finally:
        began = time.monotonic()
        web.terminate()
        try:
            web.wait(15)
        except subprocess.TimeoutExpired:
            web.kill()
            web.wait(15)
        print(f"stopped {time.monotonic() - began:.1f} s after it was told to, with every stream open")
        server.stop()


def _people(count: int) -> list[tuple[str, bool]]:
    """A session cookie for each viewer, and whether they may see every host."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.db import transaction

    from images.models import Host, HostGroup, User

    group = HostGroup.objects.create(name="half")
    for number in range(1, HOSTS + 1):
        host = Host.objects.create(pk=number, name=f"host{number}", address="unix:///nowhere")
        if number % 2:
            host.groups.add(group)
    cookies = []
    with transaction.atomic():
        for number in range(count):
            sees_all = number % 2 == 0
            person = User.objects.create(username=f"viewer{number}", is_superuser=sees_all, password="!")
            session = SessionStore()
            session[SESSION_KEY] = str(person.pk)
            session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            session[HASH_SESSION_KEY] = person.get_session_auth_hash()
            session.save()
            cookies.append((str(session.session_key), sees_all))
        _grant(group, User.objects.filter(is_superuser=False))
    return cookies


def _grant(group: Any, people: Any) -> None:
    from images.models import Grant, Role, Team

    team = Team.objects.create(name="half")
    team.members.add(*people)
    Grant.objects.create(team=team, role=Role.objects.get(slug="viewer"), group=group)


class Viewer:
    """Counts what arrives and how late."""

    def __init__(self, sees_all: bool) -> None:
        self.sees_all = sees_all
        self.latencies_ms: list[float] = []
        self.leaked = 0
        self.tail = b""

    def take(self, chunk: bytes) -> None:
        now = time.time()
        text = self.tail + chunk
        cut = text.rfind(b"\n") + 1
        self.tail = text[cut:]
        self.latencies_ms += [(now - float(sent)) * 1000 for sent in SENT_AT.findall(text[:cut])]
        if not self.sees_all:
            self.leaked += text[:cut].count(b'"even"')


async def _measure(
    site: tuple[int, subprocess.Popen[bytes]], cookies: list[tuple[str, bool]], rate: int, seconds: int
) -> dict[str, Any]:
    port, web = site
    await _until_open(port)
    viewers = [Viewer(sees_all) for _, sees_all in cookies]
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
    is_open = [asyncio.Event() for _ in viewers]
    tasks = [
        asyncio.create_task(_view(port, cookie, viewer, gate, event))
        for (cookie, _), viewer, event in zip(cookies, viewers, is_open, strict=True)
    ]
    async with asyncio.timeout(120):
        await asyncio.gather(*(event.wait() for event in is_open))
    await asyncio.sleep(2)
    before, began = _cpu_seconds(web.pid), time.monotonic()
    even, odd = await asyncio.to_thread(_publish, rate, seconds)
    cpu = (_cpu_seconds(web.pid) - before) / (time.monotonic() - began)
    await asyncio.sleep(3)
    memory = _memory_mb(web.pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    expected = sum(even + odd if viewer.sees_all else odd for viewer in viewers)
    late = sorted(each for viewer in viewers for each in viewer.latencies_ms)
    leaked = sum(viewer.leaked for viewer in viewers)
    return {
        "latencies_ms": late, "expected": expected, "lost": expected - len(late), "leaked": leaked,
        "memory_mb": memory, "cpu": cpu,
    }  # fmt: skip


async def _until_open(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def _view(
    port: int, cookie: str, viewer: Viewer, gate: asyncio.Semaphore, is_open: asyncio.Event
) -> None:
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET /events/?topics=jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: sessionid={cookie}\r\n\r\n"
        writer.write(head.encode())
        status = await reader.readline()
        assert b" 200 " in status, status
        is_open.set()
    try:
        while chunk := await reader.read(65536):
            viewer.take(chunk)
    finally:
        writer.close()


def _publish(rate: int, seconds: int) -> tuple[int, int]:
    """Evenly, as many jobs would; each event is of a job of its own, so that none may be merged away."""
    from images.live import progress

    counts = [0, 0]
    began = time.monotonic()
    for number in range(rate * seconds):
        host_id = number % HOSTS + 1
        parity = "odd" if host_id % 2 else "even"
        counts[host_id % 2] += 1
        data = {
            "id": number,
            "state": "running",
            "done": number,
            "total": 1000,
            "parity": parity,
            "t": time.time(),
        }
        progress.publish(f"job:{number}", "jobs", host_id=host_id, data=data)
        time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    return counts[0], counts[1]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return resident * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
