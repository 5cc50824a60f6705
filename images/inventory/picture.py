"""From what an engine tells to rows: full lists, single images, containers, and the sums over a host."""

import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from docker.errors import APIError, NotFound

from images.engine import read
from images.engine.client import Engine
from images.engine.snapshots import CacheUse, ContainerSummary, ImageContent, ImageSummary
from images.errors import UserError
from images.inventory.bulk import own_bytes_write
from images.inventory.contents import Known, contents_known, contents_store
from images.inventory.copies import container_counts_write, containers_write, copies_write, intermediates_mark
from images.inventory.holdings import host_holdings
from images.live import progress
from images.models import Container, Copy, Host, StoreKind

logger = logging.getLogger(__name__)

READERS = 4  # on overlay2 more readers only get in each other's way; the containerd store gains from a few
BATCH = 100  # contents written at once: a first sync shows its images while it runs
BATCHES_AHEAD = 1  # read while another is written
CACHE_EVERY = timedelta(minutes=30)
"""A build of somebody else that fails leaves layers in the cache, and neither an event nor another list."""


@dataclass(frozen=True)
class SyncResult:
    """What a full list changed."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unreadable: int = 0  # images the engine lists and can not inspect
    is_unchanged: bool = False


def sync(
    host: Host, engine: Engine, *, keep_alive: Callable[[], None] = lambda: None, refresh: bool = False
) -> SyncResult:
    """Makes the rows of a host match its engine. An unchanged host costs one image and one container list,
    and once in CACHE_EVERY the question for its build cache.

    `keep_alive` is called after every batch of a long sync. `refresh` looks at everything again.
    Raises UserError host_* when the engine can not be reached or refuses to list.
    """
    started, known_ids, container_ids = timezone.now(), _copies_seen(host), _container_ids(host)
    with refusals(host):
        summaries, containers = read.list_images(engine), read.list_containers(engine)
    keep_alive()
    digest = _digest(summaries, containers)
    if not refresh and _is_unchanged(host, digest, started):
        if _cache_is_due(host, started):
            cache_refresh(host, engine)
        publish(host)
        return SyncResult(is_unchanged=True)
    fresh = [summary for summary in summaries if _needs_content(host, summary, known_ids)]
    with ThreadPoolExecutor(1, "cache") as beside:
        # Engines before API 1.42 add up all they hold to tell this: that goes on while contents are read.
        cache = beside.submit(read.cache_use, engine)
        unreadable = _add(host, engine, fresh, keep_alive)
    if fresh:
        # Reading contents may have taken a minute; containers come and go in less.
        with refusals(host):
            containers = read.list_containers(engine)
    listed = {summary.engine_id for summary in summaries}
    gone = {engine_id: seen for engine_id, seen in known_ids.items() if engine_id not in listed}
    done = {summary.engine_id for summary in fresh}
    with transaction.atomic():
        lock(host)
        removed = _forget(host, gone)
        changed = copies_write(host, _still(host, summaries, done, started), {}, timezone.now())
        missing = container_ids - {container.container_id for container in containers}
        containers_write(host, containers, timezone.now(), gone=missing)
        _finish(host, started)
    _cache_write(host, cache.result)
    recount(host)
    # Last: a sync that broke off before its sums were written must not count as "unchanged" the next time. What
    # an event wrote meanwhile is not in this list either.
    quiet = Q(last_event_at=None) | Q(last_event_at__lt=started)
    Host.objects.filter(quiet, pk=host.pk).update(inventory_digest=digest)
    return SyncResult(len(fresh) - unreadable, changed, removed, unreadable)


def _copies_seen(host: Host) -> dict[str, tuple[datetime, int]]:
    """Each engine ID with when its row was last touched and its bytes, as they stand before the list."""
    rows = Copy.objects.filter(host=host).values_list(
        "engine_id", "last_seen_at", "size_bytes", "content_bytes"
    )
    return {engine_id: (seen, size + (content or 0)) for engine_id, seen, size, content in rows}


def _container_ids(host: Host) -> set[str]:
    return set(Container.objects.filter(host=host).order_by().values_list("container_id", flat=True))


def _digest(summaries: Sequence[ImageSummary], containers: Sequence[ContainerSummary]) -> str:
    """Of everything in the lists that rows are made from; the same lists give the same digest."""
    lines = sorted(
        f"{s.engine_id} {s.parent_engine_id} {s.size_bytes} {sorted(s.references)}" for s in summaries
    )
    lines += sorted(f"{c.container_id} {c.image_engine_id} {c.name} {c.state}" for c in containers)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _is_unchanged(host: Host, digest: str, started: datetime) -> bool:
    """Compares and notes it in one update: an event meanwhile has emptied the digest."""
    same = Host.objects.filter(pk=host.pk, inventory_digest=digest)
    if not same.update(synced_at=started):
        return False
    used = Copy.objects.filter(host=host, container_count__gt=0)
    used.update(last_used_at=started)
    return True


def _needs_content(host: Host, summary: ImageSummary, known: dict[str, tuple[datetime, int]]) -> bool:
    if summary.engine_id not in known:
        return True
    # On the containerd store an index can gain another platform: then its bytes grow.
    before = known[summary.engine_id][1]
    return host.store_kind == StoreKind.CONTAINERD and abs(before - summary.size_bytes) > before // 20


def _add(host: Host, engine: Engine, fresh: Sequence[ImageSummary], keep_alive: Callable[[], None]) -> int:
    """Reads contents that are not known yet and adds the copies, in batches; gives how many it could not."""
    unreadable = 0
    for batch, known, contents in _read_ahead(host, engine, fresh):
        with transaction.atomic():
            lock(host)
            known |= contents_store(contents, host.store_kind)
            copies_write(host, [s for s in batch if s.engine_id in known], known, timezone.now())
        unreadable += len(batch) - len(known)
        keep_alive()
    return unreadable


def _read_ahead(
    host: Host, engine: Engine, fresh: Sequence[ImageSummary]
) -> Iterator[tuple[Sequence[ImageSummary], dict[str, Known], list[ImageContent]]]:
    """Batches with what is known of them and what was read; the engine works on the next meanwhile."""
    pool = ThreadPoolExecutor(READERS, "read")
    waiting: deque[tuple[Sequence[ImageSummary], dict[str, Known], list[Future[ImageContent | None]]]] = (
        deque()
    )
    try:
        for start in range(0, len(fresh), BATCH):
            batch = fresh[start : start + BATCH]
            known = contents_known([summary.engine_id for summary in batch], host.store_kind)
            unknown = [s.engine_id for s in batch if s.engine_id not in known]
            waiting.append((batch, known, [pool.submit(_read, engine, engine_id) for engine_id in unknown]))
            if len(waiting) > BATCHES_AHEAD:
                yield _gathered(*waiting.popleft())
        while waiting:
            yield _gathered(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _gathered(
    batch: Sequence[ImageSummary], known: dict[str, Known], asked: Iterable[Future[ImageContent | None]]
) -> tuple[Sequence[ImageSummary], dict[str, Known], list[ImageContent]]:
    return batch, known, [content for content in (future.result() for future in asked) if content]


def known_contents(
    host: Host, engine: Engine, engine_ids: Sequence[str], *, again: bool = False
) -> dict[str, Known]:
    """The images of these engine IDs; what no host has shown before (or all, `again`) is read and stored."""
    known = {} if again else contents_known(engine_ids, host.store_kind)
    contents = read_contents(engine, [engine_id for engine_id in engine_ids if engine_id not in known])
    with transaction.atomic():
        return known | contents_store(contents, host.store_kind)


def read_contents(engine: Engine, engine_ids: Sequence[str]) -> list[ImageContent]:
    """Inspect documents and histories, several at a time; what vanished or can not be read is left out."""
    if len(engine_ids) < 2:
        return [content for content in (_read(engine, engine_id) for engine_id in engine_ids) if content]
    with ThreadPoolExecutor(READERS, "read") as pool:
        return [content for content in pool.map(lambda pk: _read(engine, pk), engine_ids) if content]


def _read(engine: Engine, engine_id: str) -> ImageContent | None:
    try:
        return read.content(engine, engine_id)
    except NotFound:
        return None
    except APIError as error:
        logger.warning("Image %s can not be inspected: %s", engine_id, error)
        return None


@contextlib.contextmanager
def refusals(host: Host) -> Iterator[None]:
    """Turns an engine's own refusal to answer into words."""
    try:
        yield
    except APIError as error:
        raise UserError("host_refused_list", host=host, raw=str(error)[:2000]) from error


def lock(host: Host) -> None:
    """Writers of one host's rows wait for each other (on SQLite every writer does)."""
    if connection.features.has_select_for_update:
        list(Host.objects.select_for_update().filter(pk=host.pk).values_list("pk"))


def _still(
    host: Host, summaries: Sequence[ImageSummary], done: Collection[str], started: datetime
) -> list[ImageSummary]:
    """Those whose rows nobody touched since the list was asked for: an event knows better than an older list.

    New rows were written just now; a row that an event has removed is not made again from the list.
    """
    rows = Copy.objects.filter(host=host).values_list("engine_id", "last_seen_at")
    current = dict(rows)
    return [
        s
        for s in summaries
        if s.engine_id in current and s.engine_id not in done and current[s.engine_id] < started
    ]


def _forget(host: Host, gone: dict[str, tuple[datetime, int]]) -> int:
    """Deletes rows that are not listed any more, unless an event touched them since the list began."""
    if not gone:
        return 0
    rows = Copy.objects.filter(host=host, engine_id__in=gone).values_list("pk", "engine_id", "last_seen_at")
    return copies_delete([pk for pk, engine_id, seen in rows if seen <= gone[engine_id][0]])


def copies_delete(pks: Collection[int]) -> int:
    """Containers on these copies keep the image: it was removed by force and they still hold its layers."""
    Copy.objects.filter(pk__in=pks).delete()
    return len(pks)


def forget(host: Host) -> None:
    """Forgets every copy and container: another engine is behind the host now."""
    Container.objects.filter(host=host).delete()
    Copy.objects.filter(host=host).delete()
    Host.objects.filter(pk=host.pk).update(
        inventory_digest="", image_count=0, container_count=0, changed_at=timezone.now()
    )


def _finish(host: Host, started: datetime) -> None:
    touched(host)
    Host.objects.filter(pk=host.pk).update(synced_at=started)


def cache_unsure(host: Host) -> None:
    """A build that came to no image may have filled the cache: the next sync asks, whatever the lists say."""
    Host.objects.filter(pk=host.pk).update(cache_asked_at=None)


def _cache_is_due(host: Host, now: datetime) -> bool:
    old = Q(cache_asked_at=None) | Q(cache_asked_at__lt=now - CACHE_EVERY)
    return Host.objects.filter(old, pk=host.pk).exists()


def cache_refresh(host: Host, engine: Engine) -> None:
    """Asks for BuildKit's cache, which can hold layers back; not quick on engines before API 1.42."""
    _cache_write(host, lambda: read.cache_use(engine))


def _cache_write(host: Host, ask: Callable[[], CacheUse]) -> None:
    told: dict[str, Any] = {"cache_asked_at": timezone.now()}
    # Podman has no cache, and an engine in trouble has said so elsewhere.
    with contextlib.suppress(APIError):
        use = ask()
        told |= {"build_cache_bytes": use.total_bytes, "build_cache_holds_layers": use.holds_layers}
    for name, value in told.items():
        setattr(host, name, value)
    Host.objects.filter(pk=host.pk).update(**told)


def recount(host: Host) -> None:
    """Brings a host's counts and bytes up to date, and each copy's own bytes; tells the pages."""
    holdings = host_holdings(host)
    own = holdings.own_bytes_all()
    rows = Copy.objects.filter(host=host).values_list("pk", "own_bytes")
    own_bytes_write([(own.get(pk, 0), pk) for pk, shown in rows if shown != own.get(pk, 0)])
    totals = holdings.totals()
    Host.objects.filter(pk=host.pk).update(
        image_count=Copy.objects.filter(host=host, is_intermediate=False).count(),
        container_count=Container.objects.filter(host=host).count(),
        total_bytes=totals.total,
        shared_bytes=totals.shared,
        unused_bytes=totals.unused,
        is_estimate=host.store_kind in (StoreKind.CONTAINERD, StoreKind.PODMAN),
        changed_at=timezone.now(),
    )
    publish(host)


def publish(host: Host) -> None:
    """Tells the pages, once the rows can be read."""
    transaction.on_commit(
        lambda: progress.publish(f"host:{host.pk}", "inventory", host_id=host.pk, data={"host": host.pk})
    )


def copies_removed(host: Host, engine_ids: Iterable[str]) -> None:
    """After a removal: takes the rows away at once, without a list."""
    with transaction.atomic():
        lock(host)
        pks = Copy.objects.filter(host=host, engine_id__in=list(engine_ids)).values_list("pk", flat=True)
        copies_delete(list(pks))
        touched(host)
    recount(host)


def touched(host: Host) -> bool:
    """After rows changed without a full list: the next list is compared row by row.

    Whether an image is in use now that was not, or the other way round.
    """
    intermediates_mark(host)
    uses_changed = container_counts_write(host, timezone.now())
    Host.objects.filter(pk=host.pk).update(inventory_digest="")
    return uses_changed


def images_refresh(
    host: Host,
    names: Iterable[str],
    engine: Engine,
    *,
    arrived_at: datetime | None = None,
    again: bool = False,
) -> None:
    """Makes the rows of these images (IDs or references) match the engine, with all that depends on them.

    That is: who held a reference before it moved, and the untagged parents of a new image, for which engines
    before 28 send no event. Does not recount.
    """
    found, gone = _look(host, set(names), engine)
    known = known_contents(host, engine, _unknown(host, found, again), again=again)
    now = timezone.now()
    with transaction.atomic():
        lock(host)
        copies_delete(Copy.objects.filter(host=host, engine_id__in=gone).values_list("pk", flat=True))
        have = set(Copy.objects.filter(host=host, engine_id__in=found).values_list("engine_id", flat=True))
        usable = [s for s in found.values() if s.engine_id in known or s.engine_id in have]
        copies_write(host, usable, known, now, min(arrived_at, now) if arrived_at else None)
        touched(host)


def _unknown(host: Host, found: dict[str, ImageSummary], again: bool) -> list[str]:
    if again:
        return list(found)
    have = Copy.objects.filter(host=host, engine_id__in=found).values_list("engine_id", flat=True)
    return list(found.keys() - set(have))


def _look(host: Host, names: set[str], engine: Engine) -> tuple[dict[str, ImageSummary], set[str]]:
    """Asks the engine for each name and for what follows from the answers; IDs that are gone come second."""
    found: dict[str, ImageSummary] = {}
    gone: set[str] = set()
    asked: set[str] = set()
    while waiting := names - asked - found.keys():
        for name in sorted(waiting):
            asked.add(name)
            summary = read.find_image(engine, name)
            if summary is None:
                gone.add(name)
            else:
                found[summary.engine_id] = summary
        names |= _followers(host, found, gone)
    return found, gone - found.keys()


def _followers(host: Host, found: dict[str, ImageSummary], gone: set[str]) -> set[str]:
    """Copies that hold a name which is gone or has moved, new parents, and parents of what is gone."""
    names = gone | {name for summary in found.values() for name in summary.references if "@" not in name}
    holders = Copy.objects.filter(host=host, references__name__in=names)
    parents = {s.parent_engine_id for s in found.values() if s.parent_engine_id}
    rows = Copy.objects.filter(host=host, engine_id__in=parents).values_list("engine_id", flat=True)
    bereft = Copy.objects.filter(host=host, engine_id__in=gone).exclude(parent_engine_id="")
    return (
        set(holders.values_list("engine_id", flat=True))
        | (parents - set(rows))
        | set(bereft.values_list("parent_engine_id", flat=True))
    )
