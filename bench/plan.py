"""Time to plan: one host of 1000 images, and a fleet of 200 such hosts. `python -m bench.plan [--hosts 200]`.

Uses a database of its own: SQLite in a temporary folder, or the empty one that DATABASE_URL names.
"""

import argparse
import os
import resource
import tempfile
import time
from datetime import timedelta
from typing import Any

os.environ.setdefault("DEBUG", "1")
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="drydock-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

IMAGES = 1000
LAYERS = 10
HOST_SECONDS, FLEET_SECONDS = 0.2, 20.0


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--hosts", type=int, default=200)
    count = arguments.parse_args().hosts
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    # Queries are kept in memory where DEBUG is on: that is none of what is measured.
    settings.DEBUG = False
    call_command("migrate", verbosity=0)
    names = fill(count)
    single = best(names[0])
    print(
        f"one host of {IMAGES} images: {single:.3f} s, budget {HOST_SECONDS} s, ratio {single / HOST_SECONDS:.2f}"
    )
    before = memory_mb()
    seconds, items = timed_plan(None)
    budget = FLEET_SECONDS * count / 200
    print(
        f"{count * IMAGES:,} images on {count} hosts, {items:,} items: {seconds:.1f} s, budget {budget:.1f} s, ",
        end="",
    )
    print(f"ratio {seconds / budget:.2f}; memory +{memory_mb() - before:.0f} MB")


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best(name: str) -> float:
    """The best of five, so that a busy machine counts less."""
    return min(timed_plan(name)[0] for _ in range(5))


def timed_plan(name: str | None) -> tuple[float, int]:
    """Seconds and items of one plan, for one host or for all."""
    from cleanup import planning
    from cleanup.models import Plan, Policy, PolicyRule
    from images.models import Host

    policy = Policy.objects.create(name=f"bench {time.monotonic_ns()}", all_hosts=name is None)
    policy.hosts.set(Host.objects.filter(name=name))
    for effect, kind, parameters in (
        ("delete", "dangling", {}),
        ("delete", "unused_for", {"days": 30}),
        ("delete", "beyond_newest", {"count": 5, "order": "version"}),
        ("delete", "tag_pattern", {"pattern": "pr-[0-9]+", "syntax": "regex", "target": "tag"}),
        ("keep", "keep_newest", {"count": 3, "order": "version"}),
        ("keep", "keep_label", {"label": "keep"}),
        ("keep", "used_within", {"days": 7}),
    ):
        PolicyRule.objects.create(policy=policy, effect=effect, kind=kind, parameters=parameters)
    rules = list(policy.rules.values("effect", "kind", "parameters"))
    plan = Plan.objects.create(policy=policy, policy_revision=1, rules=rules)
    started = time.perf_counter()
    planning.plan_carry_out(plan.pk)
    seconds = time.perf_counter() - started
    plan.refresh_from_db()
    assert plan.state == "ready", plan.error_raw
    return seconds, plan.item_count


def make_images() -> list[Any]:
    """Ten layers each, half of them shared with others."""
    from images.models import Image, ImageLayer, Layer

    layers = Layer.objects.bulk_create(
        Layer(
            chain_id=f"sha256:{n:064x}",
            diff_id=f"sha256:{n:064x}",
            store_kind="graph",
            size_bytes=1000 + n,
        )
        for n in range(IMAGES * LAYERS // 2 + 100)
    )
    images = Image.objects.bulk_create(Image(content_key=f"{n:064x}") for n in range(IMAGES))
    stacks: list[Any] = []
    for n, image in enumerate(images):
        own = layers[100 + n * LAYERS // 2 : 100 + (n + 1) * LAYERS // 2]
        shared = layers[(n % 20) * 5 : (n % 20) * 5 + LAYERS // 2]
        stacks += [ImageLayer(image=image, layer=layer, position=p) for p, layer in enumerate(shared + own)]
    ImageLayer.objects.bulk_create(stacks, batch_size=5000)
    return images


def fill(count: int) -> list[str]:
    """Hosts that all hold the same images, as a fleet does; their names."""
    from django.db import transaction
    from django.utils import timezone

    from images.models import Copy, Host, Reference

    now = timezone.now()
    with transaction.atomic():
        images = make_images()
    hosts = []
    for number in range(count):
        with transaction.atomic():
            host = Host.objects.create(
                name=f"bench-{number}", address=f"unix:///bench/{number}", state="online", store_kind="graph",
                synced_at=now, use_known_since=now - timedelta(days=400), watched_since=now,
                watcher_lease_until=now + timedelta(days=1), engine_kind="docker",
            )  # fmt: skip
            hosts.append(host.name)
            old = now - timedelta(days=100)
            copies = Copy.objects.bulk_create(
                Copy(
                    host=host, image=image, engine_id=f"sha256:{n:064x}",
                    repository=f"team/app{n % 50}" if n % 10 else "", tag=f"1.{n // 50}" if n % 10 else "",
                    is_dangling=not n % 10, size_bytes=10_000,
                    first_seen_at=old, arrived_at=old, last_seen_at=now,
                    last_used_at=now - timedelta(days=n % 60), built_at=old,
                )
                for n, image in enumerate(images)
            )  # fmt: skip
            Reference.objects.bulk_create(
                Reference(
                    copy=copy, host=host, name=f"{copy.repository}:{copy.tag}", registry="docker.io",
                    repository=copy.repository, tag=copy.tag,
                )
                for copy in copies
                if copy.repository
            )  # fmt: skip
    return hosts


if __name__ == "__main__":
    main()
