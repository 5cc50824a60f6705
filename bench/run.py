"""A run against the engine's own prune of the same images. `python -m bench.run [--images 500] [--rounds 5]`.

Needs root and dockerd: it starts a private engine, loads the images once and keeps its disk. Each round puts that
disk back twice: once the images are pruned by the engine, once removed by a run with every guard asked again, whoever
begins changing from round to round. Medians count: the disk makes the same prune half as long again now and then.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("DEBUG", "1")
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="drydock-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

BUDGET = 1.1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from config.demo.engines import PrivateEngine

    settings.DEBUG = False
    settings.CELERY_BROKER_URL = "memory://"
    call_command("migrate", verbosity=0)
    directory = Path(tempfile.mkdtemp(prefix="drydock-bench-"))
    engine = PrivateEngine(directory / "engine", "bench")
    try:
        prunes, ran = measured(engine, arguments.images, arguments.rounds)
    finally:
        engine.destroy()
        shutil.rmtree(directory, ignore_errors=True)
    prune, run = statistics.median(prunes), statistics.median(ran)
    print(f"engine's own prune of {arguments.images} images: {prune:.2f} s ({listed(prunes)})")
    print(f"run over the same images, guards re-checked: {run:.2f} s ({listed(ran)})")
    print(f"ratio {run / prune:.2f}, budget {BUDGET}")


def listed(seconds: list[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in sorted(seconds))


def measured(engine: Any, count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each prune and of each run."""
    engine.start()
    load(engine, count)
    kept = engine.directory / "kept"
    engine.stop()
    shutil.move(engine.directory / "data", kept)
    prunes: list[float] = []
    ran: list[float] = []
    for n in range(rounds):
        ways = [(prunes, timed_prune), (ran, timed_run)]
        for seconds, way in ways if n % 2 else reversed(ways):
            put_back(engine, kept)
            seconds.append(way(engine, count))
    return prunes, ran


def put_back(engine: Any, kept: Path) -> None:
    engine.stop()
    shutil.rmtree(engine.directory / "data", ignore_errors=True)
    # cp and not shutil: layers hold devices and attributes that only it brings along.
    subprocess.run(["cp", "-a", kept, engine.directory / "data"], check=True)
    os.sync()
    engine.start()


def timed_prune(engine: Any, count: int) -> float:
    with engine.client(600) as api:
        started = time.perf_counter()
        told = api.prune_images(filters={"dangling": False})
        seconds = time.perf_counter() - started
    gone = {row["Untagged"] for row in told["ImagesDeleted"] if row.get("Untagged")}
    assert len(gone) == count, len(gone)
    return seconds


def load(engine: Any, count: int) -> None:
    from config.demo import images as demo

    engine.wipe()
    base = [demo.Layer(f"base{n}", 20_000) for n in range(5)]
    with engine.client(600) as api:
        demo.load(
            api,
            *(
                demo.Image(
                    [f"bench/app{n % 20}:1.{n}"], [*base, *(demo.Layer(f"l{n}-{m}", 2000) for m in range(5))]
                )
                for n in range(count)
            ),
        )


def timed_run(engine: Any, count: int) -> float:
    """Seconds that the job takes, from claim to end: guards, removals, records, inventory, measuring."""
    from cleanup import planning, runs
    from cleanup.models import Plan, Policy
    from cleanup.policies import plan_make
    from images.engine import read
    from images.engine.client import Connection, open_engine
    from images.hosts.freshness import host_reached
    from images.inventory import picture
    from images.jobs.life import job_carry_out
    from images.models import Host, Job, User

    Plan.objects.filter(run=None).delete()
    person = User.objects.get_or_create(username="bench", is_superuser=True)[0]
    host = Host.objects.create(name=f"bench {time.monotonic_ns()}", address=engine.address, state="online")
    with open_engine(Connection.of(host)) as opened:
        host_reached(host, read.info(opened))
        picture.sync(host, opened)
    policy = Policy.objects.create(name=f"bench {host.pk}", minimum_age_hours=0)
    policy.hosts.add(host)
    parameters = {"pattern": "*", "syntax": "glob", "target": "tag"}
    policy.rules.create(effect="delete", kind="tag_pattern", parameters=parameters)
    plan = plan_make(by=person, policy=policy)
    planning.plan_carry_out(plan.pk)
    plan.refresh_from_db()
    assert plan.item_count == count, plan.item_count
    run = runs.run_start(by=person, plan=plan)
    job = Job.objects.get(host_run__run=run)
    started = time.perf_counter()
    job_carry_out(job.pk)
    seconds = time.perf_counter() - started
    run.refresh_from_db()
    assert run.state == "succeeded", run.state
    assert run.freed_bytes == plan.promised_bytes, (run.freed_bytes, plan.promised_bytes)
    return seconds


if __name__ == "__main__":
    main()
