"""The fleet list at 200 hosts x 1000 images: server time of list, search and filter, on SQLite and PostgreSQL.

    .venv/bin/python -m bench.fleet [--hosts 200] [--images 1000] [--rounds 21] [--only word] [sqlite] [postgresql]

Each database is private and thrown away. A request is the whole view through Django's test client: the fragment
that htmx swaps in, and of some the page around it as well. Each kind is held to the budget by itself.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests import postgres

BUDGETS_MS = {"sqlite": 150.0, "postgresql": 80.0}
WORDS = (
    "api", "web", "worker", "auth", "billing", "search", "cache", "proxy", "batch", "report", "mailer", "gateway",
    "store", "index", "feed",
)  # fmt: skip
REGISTRIES = ["docker.io/acme", "ghcr.io/acme", "registry.example.org/team", "quay.io/platform"]
REQUESTS = {
    "list": "",
    "page 150": "page=150",
    "by name": "sort=name",
    "by name, page 200": "sort=name&page=200",
    "by host": "sort=host",
    "by host, page 190": "sort=-host&page=190",
    "by ID": "sort=id",
    "by size": "sort=-size",
    "by own": "sort=own",
    "by build date": "sort=built",
    "by last use": "sort=-used",
    "by containers": "sort=-containers",
    "search: all copies": "q=acme",
    "search: frequent": "q=gateway&sort=-size",
    "search: rare": "q=feed+7.13&sort=name",
    "search: one": "q={engine_id}",
    "search: nothing": "q=xyzzyquux",
    "search: two letters": "q=gh",
    "search: two letters, nothing": "q=zq",
    "search: two letters, of IDs too": "q=ab",
    "search: two signs of a label": "q=北京",
    "search: two signs, nothing": "q=上海",
    "search: frequent and rare word": "q=acme+batch+3.1",
    "host": "host={host}",
    "group": "group={group}",
    "in use": "use=used&sort=-size",
    "unused": "use=unused&sort=own",
    "dangling": "use=dangling&sort=size",
    "latest": "latest=yes&sort=name",
    "newer in registry": "behind=1&sort=name",
    "registry": "registry=ghcr.io&sort=size",
    "registry, nothing": "registry=nowhere.example",
    "repository": "repository={repository}",
    "old and large": "older=365&larger=2800&sort=name",
    "idle": "idle=90&sort=name",
    "search, unused, old": "q=worker&use=unused&older=200&sort=-own",
}
GROUPED = {
    "group by repository": "by=repository",
    "group by repository, unused": "by=repository&use=unused&sort=-own",
    "group by image": "by=image",
    "group by image, page 20": "by=image&page=20&sort=-size",
}

PAGES = ("list", "search: frequent", "in use", "group by repository", "group by image")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("databases", nargs="*", default=[])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=21)  # the slowest one of which is left out of p95
    parser.add_argument("--only", default="", help="requests with this in their name")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        measure(arguments)
        return
    failed = False
    for database in arguments.databases or ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="drydock-bench-") as folder:
            failed |= bool(run(database, Path(folder), sys.argv[1:]))
    sys.exit(1 if failed else 0)


def run(database: str, folder: Path, options: list[str]) -> int:
    """Measures in a process of its own, because Django has one set of settings; its exit status."""
    environment = os.environ | {"DATA_DIR": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    options = [option for option in options if option not in BUDGETS_MS]
    command = [sys.executable, "-m", "bench.fleet", "--inside", database, *options]
    if database == "sqlite":
        (folder / "data").mkdir()
        environment["DATABASE_URL"] = f"sqlite:///{folder}/data/bench.sqlite3"
        return subprocess.run(command, env=environment, check=False).returncode
    if reason := postgres.why_not():
        print(f"postgresql: left out, {reason}")
        return 0
    with postgres.PrivatePostgres() as server:
        return subprocess.run(command, env=environment | {"DATABASE_URL": server.url}, check=False).returncode


def measure(arguments: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from config import memory

    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    started = time.monotonic()
    values = seed(arguments.hosts, arguments.images)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")
    took = time.monotonic() - started
    print(f"\n{arguments.inside}: {arguments.hosts} hosts x {arguments.images} copies, made in {took:.0f} s")
    memory.freeze()  # as the web process does at its start
    budget = BUDGETS_MS[arguments.inside]
    failed = False
    for person in ("root", "member"):
        fragment, page = Client(headers={"HX-Request": "true", "HX-Target": "fleet"}), Client()
        fragment.force_login(values[person])
        page.force_login(values[person])
        print(f"\n{person:42}{'p50 ms':>8}{'p95 ms':>8}   budget {budget:.0f} ms")
        queries = {
            name: query.format(**values)
            for name, query in (REQUESTS | GROUPED).items()
            if arguments.only in name
        }
        everything: list[float] = []
        for name, query in queries.items():
            times = timed(fragment, query, arguments.rounds)
            everything += times if name in REQUESTS else []
            failed |= report(name, times, budget)
        for name in PAGES if not arguments.only else ():
            failed |= report(f"whole page, {name}", timed(page, queries[name], arguments.rounds), budget)
        report("all list, search and filter requests", everything, budget)
    sys.exit(1 if failed else 0)


def timed(client: Any, query: str, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        response = client.get(f"/images/?{query}")
        response.content  # noqa: B018 - rendered here
        times.append((time.perf_counter() - started) * 1000)
        assert response.status_code == 200, response
    return times[1:]


def report(name: str, times: list[float], budget: float) -> bool:
    p95 = statistics.quantiles(times, n=20, method="inclusive")[18]
    mark = "" if p95 <= budget else "   OVER"
    print(f"  {name:40}{statistics.median(times):8.1f}{p95:8.1f}{mark}", flush=True)
    return p95 > budget


def seed(host_count: int, image_count: int) -> dict[str, Any]:
    """Copies as a fleet has them: 1 % in use by name, some dangling, repositories shared by all hosts."""
    from django.utils import timezone

    from images.models import HostGroup, Image
    from tests import factories

    draw, now = random.Random(7), timezone.now()
    repositories = [f"{registry}/{word}-{n}" for registry in REGISTRIES for word in WORDS for n in range(8)]
    groups = [HostGroup.objects.create(name=f"group {n}") for n in range(10)]
    hosts = [
        factories.make_host(f"node-{n:03}", groups=(groups[n % 10],), image_count=image_count)
        for n in range(host_count)
    ]
    images = Image.objects.bulk_create(
        [
            Image(
                content_key=f"{n:064x}",
                built_at=now - timedelta(days=draw.random() * 900),
                labels={"maintainer": "acme"} | ({"city": "北京"} if n % 500 == 0 else {}),
                config={"Env": ["x" * 3000]},
            )
            for n in range(image_count * 5)
        ],
        batch_size=5000,
    )
    for host in hosts:
        copies = fill(host, draw.sample(images, image_count), repositories, draw)
    member = factories.make_user("member")
    factories.grant(member, "maintainer", groups[3])
    factories.grant(member, "viewer", groups[4])
    return {
        "root": factories.make_admin(), "member": member, "engine_id": copies[5].engine_id[7:27], "host": hosts[13].pk,
        "group": groups[3].pk, "repository": repositories[77],
    }  # fmt: skip


def fill(host: Any, images: list[Any], repositories: list[str], draw: random.Random) -> list[Any]:
    """The host's copies of these images, and their names; their sizes and dates are drawn."""
    from django.utils import timezone

    from images.models import Copy, Reference

    now, copies = timezone.now(), []
    for image in images:
        repository = repositories[image.pk % len(repositories)]
        version = f"{image.pk % 9}.{image.pk % 40}.{image.pk % 100}"
        dangling = draw.random() < 0.05
        tag = "" if dangling else "latest" if draw.random() < 0.02 else version
        engine_id = f"sha256:{draw.getrandbits(256):064x}"
        digest = f"{repository}@sha256:{draw.getrandbits(256):064x}"
        moment = now - timedelta(days=draw.random() * 300)
        size = int(draw.lognormvariate(19, 1.2))
        labels = f"maintainer=acme org.opencontainers.image.title={repository}"
        labels += " city=北京" if "city" in image.labels else ""
        copies.append(
            Copy(
                host=host, image=image, engine_id=engine_id, repository="" if dangling else repository,
                tag=tag, search_text=f"{repository}:{tag} {digest} {engine_id} {labels}",
                is_dangling=dangling, is_latest=tag == "latest", size_bytes=size,
                is_behind=image.pk % 100 == 0,
                own_bytes=size // draw.randint(1, 9), container_count=draw.random() < 0.03,
                first_seen_at=moment, arrived_at=moment, last_seen_at=now,
                last_used_at=moment if draw.random() < 0.6 else None, built_at=image.built_at,
            )
        )  # fmt: skip
    Copy.objects.bulk_create(copies, batch_size=500)
    Reference.objects.bulk_create(
        [
            Reference(
                copy=copy, host=host, name=f"{copy.repository}:{copy.tag}", registry=copy.repository.split("/")[0],
                repository=copy.repository, tag=copy.tag,
            )
            for copy in copies if copy.tag
        ],
        batch_size=500,
    )  # fmt: skip
    return copies


if __name__ == "__main__":
    main()
