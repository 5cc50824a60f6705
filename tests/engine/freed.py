"""The proof of freed bytes: what Drydock promises against what the engine's own total drops by."""

from collections.abc import Iterable
from dataclasses import dataclass

from config.demo.engines import STORE, PrivateEngine
from images.engine.client import Connection, Engine, open_engine
from images.engine.read import info, layers_size
from images.engine.remove import remove_copy
from images.hosts.freshness import host_reached
from images.inventory import picture
from images.inventory.holdings import host_holdings
from images.layers import Freed
from images.models import Copy, Host, ItemState, StoreKind
from images.removal import stored_bytes
from tests import factories


@dataclass(frozen=True)
class Proof:
    """A promise and what came of it, in bytes."""

    promised: Freed
    layers_size_drop: int  # of the engine's `LayersSize`
    freed: int  # as Drydock measures it: with the layers that only containers hold
    states: tuple[ItemState, ...]


def registered(address: str) -> Host:
    """A host row for an engine, with what the engine says of itself, and synced."""
    host = factories.make_host(address=address)
    with open_engine(Connection.of(host)) as engine:
        host_reached(host, info(engine))
        picture.sync(host, engine)
    host.refresh_from_db()
    return host


def prove(host: Host, names: Iterable[str], *, force: bool = False) -> Proof:
    """Syncs, removes the named copies (a reference, or an engine ID) for real, and syncs again."""
    with open_engine(Connection.of(host)) as engine:
        picture.sync(host, engine)
        host.refresh_from_db()
        copies = [find(host, name) for name in names]
        holdings = host_holdings(host)
        keys = [copy.pk for copy in copies]
        promised = holdings.freed(holdings.removable(keys))
        before, raw_before = told(stored_bytes(host, engine)), told(layers_size(engine))
        by_pk = {copy.pk: copy for copy in Copy.objects.filter(host=host)}
        states = tuple(_remove(engine, by_pk[key], force) for key in holdings.closure(keys))
        picture.sync(host, engine)
        raw_after, after = told(layers_size(engine)), told(stored_bytes(host, engine))
        return Proof(promised, raw_before - raw_after, before - after, states)


def find(host: Host, name: str) -> Copy:
    if name.startswith("sha256:"):
        return Copy.objects.get(host=host, engine_id=name)
    return Copy.objects.get(host=host, references__name=name)


def _remove(engine: Engine, copy: Copy, force: bool) -> ItemState:
    names = list(copy.references.values_list("name", flat=True))
    return remove_copy(engine, copy.engine_id, names, force=force, journal=lambda reference: None).state


def prove_freed(engine: PrivateEngine, freed: int, *names: str, host: Host | None = None) -> Proof:
    """Fails unless promise, the engine's total and Drydock's measurement are `freed`, to the byte.

    With the containerd store the promise is a range, in which both must be.
    """
    host = host or registered(engine.address)
    proof = prove(host, names)
    assert set(proof.states) <= {ItemState.REMOVED, ItemState.GONE}
    if host.store_kind == StoreKind.CONTAINERD:
        assert proof.promised.low <= proof.freed == proof.layers_size_drop <= proof.promised.high
        return proof
    assert proof.promised.is_exact
    assert freed == proof.promised.high == proof.layers_size_drop == proof.freed
    return proof


def on_disk(size_bytes: int) -> int:
    """What an engine says of a layer with a small file in it: the containerd store counts its blocks."""
    return 8192 if STORE == "containerd" else size_bytes


def told(size_bytes: int | None) -> int:
    """The engine's total, which Docker always tells."""
    assert size_bytes is not None
    return size_bytes
