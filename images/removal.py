"""Removing copies: what it would free, the jobs that do it, and what came of each copy."""

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from images import audit
from images.engine.client import Engine, EngineCut
from images.engine.read import layers_size
from images.engine.remove import Outcome, independent, remove_copy, remove_references
from images.errors import UserError
from images.hosts.identity import engine_check
from images.inventory import picture
from images.inventory.holdings import host_holdings
from images.jobs.context import JobContext
from images.jobs.life import ItemInput, job_start
from images.jobs.operations import operation
from images.layers import Freed
from images.models import Copy, Host, ItemState, Job, JobItem, Permission, Pin, Reference, StoreKind, User
from images.promises import Promise
from images.restoring import reference_taken

MOST_HOLDERS = 200
References = Mapping[int, Sequence[str]]
"""References by the pk of their copy."""


@dataclass(frozen=True)
class HostRemoval:
    """What a removal means on one host, before it is started."""

    host: Host
    copies: list[Copy]  # in order of removal: children first, untagged parents that go along included
    freed: Freed  # without the copies in use: their containers keep the layers, removed by force or not
    in_use: list[Copy]
    parents: list[Copy]
    takes: dict[int, list[str]] = field(default_factory=dict)  # copies of which only these references go


def removal_preview(*, copies: Iterable[Copy], references: References | None = None) -> list[HostRemoval]:
    """What removing these copies would do, host by host.

    `references` names, for copies that are not meant as a whole, the references to take away; naming all
    of them means the copy. Taking one of several frees nothing.
    """
    selected: defaultdict[int, list[int]] = defaultdict(list)
    for copy in copies:
        selected[copy.host_id].append(copy.pk)
    hosts = Host.objects.filter(pk__in=selected).order_by("name")
    return [_host_removal(host, selected[host.pk], references or {}) for host in hosts]


def _host_removal(host: Host, keys: Sequence[int], references: References) -> HostRemoval:
    asked = {copy.pk: copy for copy in _copies(keys)}
    takes = {pk: list(references[pk]) for pk in asked if pk in references}
    takes = {pk: names for pk, names in takes.items() if set(independent(_names(asked[pk]))) - set(names)}
    holdings = host_holdings(host)
    whole = [pk for pk in asked if pk not in takes]
    freed = holdings.freed(holdings.removable(whole))
    order = holdings.closure(whole)
    parents = {copy.pk: copy for copy in _copies(set(freed.parents))}
    everything = asked | parents
    return HostRemoval(
        host=host,
        copies=[everything[pk] for pk in order if pk in everything] + [asked[pk] for pk in takes],
        freed=freed,
        in_use=[asked[pk] for pk in whole if asked[pk].container_count],
        parents=list(parents.values()),
        takes=takes,
    )


def _copies(keys: Iterable[int]) -> Iterable[Copy]:
    return Copy.objects.filter(pk__in=list(keys)).prefetch_related("references")


def _names(copy: Copy) -> list[str]:
    return [reference.name for reference in copy.references.all()]


def removal_start(
    *,
    by: User,
    copies: Iterable[Copy],
    references: References | None = None,
    shown: References | None = None,
    force: bool = False,
) -> list[Job]:
    """One job per host, all of one batch. The caller has checked the permission to remove on every host.

    `references` is as in `removal_preview`. `shown` holds the references the person saw when deciding: a copy
    that has others by then is left alone. Raises UserError image_pinned when a copy that would go is pinned,
    removal_empty when nothing is left to do, host_switched_off.
    """
    with transaction.atomic():
        removals = [r for r in removal_preview(copies=copies, references=references) if r.copies]
        if not removals:
            raise UserError("removal_empty")
        for removal in removals:
            if not removal.host.is_enabled:
                raise UserError("host_switched_off", host=removal.host.name)
            _refuse_pinned(removal)
        batch = uuid.uuid4()
        return [_start(by, removal, shown or {}, force=force, batch=batch) for removal in removals]


@dataclass(frozen=True)
class Holder:
    """Another copy of the same image that has the same reference."""

    copy: Copy
    is_last: bool  # by which it holds on there: the image would go with it

    @property
    def mark(self) -> str:
        """Says which copy, and how it stood when somebody looked at it."""
        return f"{self.copy.pk}:{int(self.is_last)}:{references_mark([self.copy.pk])[:16]}"


def holders(user: User, copy: Copy, reference: str) -> list[Holder]:
    """Where else the person may take this reference away; not where a container keeps the last one."""
    others = Copy.objects.visible_to(user, Permission.REMOVE).exclude(pk=copy.pk)
    held = others.filter(image=copy.image_id, references__name=reference, host__is_enabled=True)
    rows = held.select_related("host").prefetch_related("references").order_by("host__name")[:MOST_HOLDERS]
    found = [Holder(each, set(independent(_names(each))) <= {reference}) for each in rows]
    return [holder for holder in found if not (holder.is_last and holder.copy.container_count)]


NOT_DONE = (ItemState.PENDING, ItemState.RUNNING, ItemState.SKIPPED, ItemState.FAILED, ItemState.UNKNOWN)


def removal_again(by: User, job: Job) -> Job:
    """Starts a new removal of what an ended one did not do, as far as it is still as it was then.

    Raises UserError removal_empty when nothing is left of it, and what `removal_start` raises.
    """
    rest = list(job.items.filter(state__in=NOT_DONE, copy__host=job.host_id, copy__is_intermediate=False))
    plans = {item.copy_id: job.parameters["items"][item.position] for item in rest if item.copy_id}
    [again] = removal_start(
        by=by,
        copies=Copy.objects.filter(pk__in=plans),
        references={pk: plan["take"] for pk, plan in plans.items() if plan["take"]},
        shown={pk: plan["seen"] for pk, plan in plans.items()},
        force=job.parameters["force"],
    )
    return again


def _refuse_pinned(removal: HostRemoval) -> None:
    images = [copy.image_id for copy in removal.copies if copy.pk not in removal.takes]
    if pin := _pins(removal.host, images).first():
        raise UserError("image_pinned", reason=pin.reason)


def references_mark(copy_ids: Iterable[int]) -> str:
    """Of all references of these copies: another mark means that somebody changed them since it was made."""
    rows = Reference.objects.filter(copy__in=list(copy_ids)).order_by("copy_id", "name")
    digest = hashlib.sha256()
    for copy_id, name in rows.values_list("copy_id", "name"):
        digest.update(f"{copy_id} {name}\n".encode())
    return digest.hexdigest()[:32]


def _pins(host: Host, image_ids: Iterable[int]) -> Any:
    pins = Pin.objects.active(timezone.now()).filter(image__in=list(image_ids))
    return pins.filter(Q(host=host) | Q(host=None))


def _start(by: User, removal: HostRemoval, shown: References, *, force: bool, batch: uuid.UUID) -> Job:
    plan = [
        {"seen": list(shown.get(copy.pk, _names(copy))), "take": removal.takes.get(copy.pk)}
        for copy in removal.copies
    ]
    parameters = {
        "engine": removal.host.engine_mark,
        "force": force,
        "items": plan,
        **removal.freed.values,
    }
    items = [_item(copy, removal.takes.get(copy.pk)) for copy in removal.copies]
    job = job_start(
        kind="remove", host=removal.host, by=by, parameters=parameters, items=items, batch=batch,
        # Of several images the pages say how many, in the reader's language.
        subject=items[0].name if len(items) == 1 else "",
    )  # fmt: skip
    if force:
        audit.record(by=by, action="image.force", target=f"#{job.pk}", host=removal.host, copies=len(items))
    return job


def _item(copy: Copy, take: Sequence[str] | None) -> ItemInput:
    return ItemInput(", ".join(take)[:450] if take else copy.name, copy.engine_id, copy.pk)


@operation("remove", label=_("Remove images"), permission=Permission.REMOVE, limit="most_removals")
def remove(context: JobContext) -> dict[str, Any]:
    """Works the items off in order and measures on the engine what that freed."""
    parameters, host, engine = context.job.parameters, context.host, context.engine
    if promise := Promise.of(parameters):
        context.result.update(promise.values)
    engine_check(host, engine, parameters["engine"])
    before = stored_bytes(host, engine)
    work = _Work(context, engine)
    try:
        work.carry_out()
    finally:
        context.result["counts"] = dict(work.counts)
        if work.gone:
            picture.copies_removed(host, work.gone)
    if work.changed:
        picture.images_refresh(host, work.changed, engine)
        picture.recount(host)
    after = stored_bytes(host, engine)
    return {"freed_bytes": None if before is None or after is None else before - after}


def stored_bytes(host: Host, engine: Engine) -> int | None:
    """Bytes of layers on the host: a removal is measured by how this drops. Seconds on a full host.

    None where the engine does not tell.

    With graph drivers the engine's own `LayersSize` counts only layers that listed images use (tried on 20.10 to
    28.5): those that just a container holds, after its image was removed by force, are on the disk as well. With
    the containerd store it counts all that is stored.
    """
    total = layers_size(engine)
    if total is None or host.store_kind == StoreKind.CONTAINERD:
        return total
    return total + host_holdings(host).held_only_bytes()


class _Work:
    """One removal under way."""

    def __init__(self, context: JobContext, engine: Engine) -> None:
        self.context, self.engine = context, engine
        self.counts: Counter[str] = Counter()
        self.gone: set[str] = set()  # engine IDs
        self.changed: set[str] = set()  # engine IDs whose references are others now
        self._deleted: set[str] = set()  # by this job

    def carry_out(self) -> None:
        items, total = self.context.items(), len(self.context.job.parameters["items"])
        for done, item in enumerate(items, total - len(items) + 1):
            try:
                outcome = self._outcome(item)
            except EngineCut:
                self.context.item_done(item, ItemState.UNKNOWN, values=item.error_values)
                raise
            self._note(item, outcome)
            self.context.progress(done, total)

    def _outcome(self, item: JobItem) -> Outcome:
        plan = self.context.job.parameters["items"][item.position]
        if plan["take"]:
            # What a person asked for is not given back when the job is cut off in the middle of it.
            note = lambda reference: self.context.log(f"{item.engine_id} - {reference}")  # noqa: E731
            return remove_references(self.engine, item.engine_id, plan["take"], journal=note)
        if item.engine_id in self._deleted:
            return Outcome(ItemState.REMOVED)  # an untagged parent that went with its last child
        if pin := self._pin(item):
            return Outcome(ItemState.SKIPPED, "image_pinned", {"reason": pin.reason})
        return remove_copy(
            self.engine,
            item.engine_id,
            plan["seen"],
            force=self.context.job.parameters["force"],
            journal=self._journal(item),
        )

    def _pin(self, item: JobItem) -> Pin | None:
        """A pin that was set after the job was started still holds."""
        found: Pin | None = _pins(self.context.host, [item.copy.image_id]).first() if item.copy else None
        return found

    def _journal(self, item: JobItem) -> Any:
        return lambda reference: reference_taken(item, reference)

    def _note(self, item: JobItem, outcome: Outcome) -> None:
        state = outcome.state
        # Of an answer that never came, what was taken is still owed; see restoring.py.
        values = outcome.values | (item.error_values if state == ItemState.UNKNOWN else {})
        self.context.item_done(item, state, code=outcome.code, values=values, raw=outcome.raw)
        self.counts[state] += 1
        self._deleted.update(outcome.deleted)
        self.gone.update(outcome.deleted)
        if state in (ItemState.REMOVED, ItemState.GONE) and outcome.code != "reference_gone":
            self.gone.add(item.engine_id)
        elif state != ItemState.UNKNOWN:
            self.changed.add(item.engine_id)
