"""A run against the engine's own prune of the same images. `python -m bench.run [--images 500] [--rounds 3]`.

Needs root and dockerd: it starts a private engine. Each round loads the images twice: once they are pruned by
the engine, once removed by a run with every guard asked again; the best of the rounds count.
"""

import argparse
import os
import shutil
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
    parser.add_argument("--rounds", type=int, default=3)
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
    engine.start()
    try:
        rounds = [one_round(engine, arguments.images) for _ in range(arguments.rounds)]
    finally:
        engine.destroy()
        shutil.rmtree(directory, ignore_errors=True)
    prune, run = min(r[0] for r in rounds), min(r[1] for r in rounds)
    print(f"engine's own prune of {arguments.images} images: {prune:.2f} s")
    print(
        f"run over the same images, guards re-checked: {run:.2f} s, ratio {run / prune:.2f}, budget {BUDGET}"
    )


def one_round(engine: Any, count: int) -> tuple[float, float]:
    """Seconds of the prune and of the run."""
    load(engine, count)
    with engine.client(600) as api:
        started = time.perf_counter()
        api.prune_images(filters={"dangling": False})
        prune = time.perf_counter() - started
    load(engine, count)
    return prune, timed_run(engine, count)


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
    from images import inventory
    from images.engine import read
    from images.engine.client import Connection, open_engine
    from images.hosts import host_reached
    from images.jobs import job_carry_out
    from images.models import Host, Job, User

    Plan.objects.filter(run=None).delete()
    person = User.objects.get_or_create(username="bench", is_superuser=True)[0]
    host = Host.objects.create(name=f"bench {time.monotonic_ns()}", address=engine.address, state="online")
    with open_engine(Connection.of(host)) as opened:
        host_reached(host, read.info(opened))
        inventory.sync(host, opened)
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
