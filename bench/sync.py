"""Syncs against the bare engine calls: first sync of 1000 new images, and of an unchanged host.

    .venv/bin/python -m bench.sync [--images 1000] [--layers 10] [--rounds 7]

Needs root and dockerd: a private engine is started, filled by `docker load` and thrown away.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FIRST_BUDGET, UNCHANGED_BUDGET = 1.5, 1.3
FIRST_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drydock-bench-") as name, private_database(Path(name)) as folder:
        measure(folder, arguments.images, arguments.layers, arguments.rounds)


@contextmanager
def private_database(folder: Path) -> Iterator[Path]:
    """Django on an SQLite file of its own."""
    os.environ |= {"DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
    import django

    django.setup()
    logging.disable(logging.WARNING)
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    yield folder
    connection.close()


def measure(folder: Path, images: int, layers: int, rounds: int) -> None:
    from config.demo import images as maker
    from config.demo.engines import PrivateEngine
    from images.engine.client import Connection, open_engine
    from images.inventory.picture import sync
    from images.models import Copy, Host, ImageLayer

    engine = PrivateEngine(folder / "e", "bench").start()
    try:
        with engine.client() as api:
            maker.load(api, *content(images, layers))
        host = Host.objects.create(name="bench", address=engine.address, store_kind="graph")
        with open_engine(Connection.of(host)) as opened:

            def first() -> None:
                sync(host, opened)

            print(f"{images} images of {layers} layers")
            firsts = []
            for _ in range(FIRST_ROUNDS):
                forget_everything(host)
                firsts.append((timed(lambda: read_everything(opened.api)), timed(first)))
                assert Copy.objects.count() == images
                assert ImageLayer.objects.count() == images * layers
            report_medians("first sync", firsts, "bare inspect + history", FIRST_BUDGET)
            host.refresh_from_db()
            pairs = [
                (timed(lambda: lists(opened.api)), timed(lambda: sync(host, opened))) for _ in range(rounds)
            ]
            report_medians("unchanged", pairs, "bare lists", UNCHANGED_BUDGET)
    finally:
        engine.destroy()


def content(images: int, layers: int) -> Iterator[Any]:
    """Images that share all layers but the last two, as the versions of a service do."""
    from config.demo.images import Image, Layer

    for number in range(images):
        shared = [Layer(f"base{n}", 1000 + n) for n in range(layers - 2)]
        own = [Layer(f"app{number}", 2000), Layer(f"config{number}", 100)]
        yield Image([f"shop/service{number % 40}:1.{number}"], [*shared, *own])


def forget_everything(host: object) -> None:
    """So that the next sync is a first one again."""
    from images.models import Copy, Host, Image, Layer

    Copy.objects.all().delete()
    Image.objects.all().delete()
    Layer.objects.all().delete()
    Host.objects.filter(pk=host.pk).update(inventory_digest="", synced_at=None)  # type: ignore[attr-defined]
    host.refresh_from_db()  # type: ignore[attr-defined]


def read_everything(api: object) -> None:
    """What a sync has to ask: the lists, and inspect and history of every image, one after the other."""
    for row in lists(api):
        api.inspect_image(row["Id"])  # type: ignore[attr-defined]
        api.history(row["Id"])  # type: ignore[attr-defined]


def lists(api: object) -> list[dict[str, str]]:
    images: list[dict[str, str]] = api.images(all=True)  # type: ignore[attr-defined]
    api.containers(all=True)  # type: ignore[attr-defined]
    return images


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report_medians(name: str, pairs: list[tuple[float, float]], against: str, budget: float) -> None:
    """Each pair is the seconds of the bare calls and of the sync, taken in turn."""
    bare, own = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = own / bare
    verdict = "within" if ratio <= budget else "OVER"
    print(
        f"{name:12} {own * 1000:9.0f} ms   {against} {bare * 1000:7.0f} ms"
        f"   ratio {ratio:.2f} (budget {budget}: {verdict})"
    )


if __name__ == "__main__":
    main()
