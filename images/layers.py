"""Layers and bytes: chain IDs, layer sizes, and what removing a set of copies frees. Pure.

An engine stores a layer once, however many images use it, and keys it by its chain ID: the same diff over
another parent is another layer. So a set frees the layers that its copies use and that nothing else on the
host uses. On graph-driver stores this equals the drop of the engine's own `LayersSize` to the byte.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from images.promises import Promise


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain ID of each layer, bottom first (OCI image spec: chain_i = sha256("chain_{i-1} diff_i"))."""
    chains: list[str] = []
    for diff_id in diff_ids:
        if not chains:
            chains.append(diff_id)
        else:
            digest = hashlib.sha256(f"{chains[-1]} {diff_id}".encode()).hexdigest()
            chains.append(f"sha256:{digest}")
    return chains


# What an engine's history says of steps that change no file, classic builder and BuildKit alike.
_EMPTY_STEPS = (
    "ENV",
    "CMD",
    "LABEL",
    "ENTRYPOINT",
    "EXPOSE",
    "USER",
    "VOLUME",
    "ARG",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "ONBUILD",
    "SHELL",
    "MAINTAINER",
)


def makes_layer(created_by: str, size_bytes: int) -> bool:
    """Whether a history entry made a layer: one with bytes did; RUN, COPY, ADD, WORKDIR always do."""
    if size_bytes:
        return True
    step = created_by.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").strip()
    return not step.upper().startswith(_EMPTY_STEPS)


def layer_steps(diff_count: int, history: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """For each layer, bottom first, the index of the history entry (oldest first) that made it, or None.

    History entries carry `created_by` and `bytes`. When more entries look like layers than there are, those
    with bytes come first; when fewer, the layers left over have no entry (images of bazel or nix).
    """
    likely = [i for i, step in enumerate(history) if makes_layer(step["created_by"], step["bytes"])]
    surplus = len(likely) - diff_count
    for index in [i for i in likely if not history[i]["bytes"]]:
        if surplus <= 0:
            break
        likely.remove(index)
        surplus -= 1
    if len(likely) < diff_count:
        spare = [i for i in range(len(history)) if i not in set(likely)]
        likely = sorted(likely + spare[: diff_count - len(likely)])
    steps: list[int | None] = list(likely[:diff_count])
    return steps + [None] * (diff_count - len(steps))


def layer_sizes(
    diff_ids: Sequence[str], history: Sequence[Mapping[str, Any]], total_bytes: int = 0
) -> list[int]:
    """The bytes of each layer, bottom first, read off the history (oldest first).

    Where the history names fewer layers than there are, what is left of `total_bytes` goes to the rest.
    """
    steps = layer_steps(len(diff_ids), history)
    sizes = [history[step]["bytes"] if step is not None else 0 for step in steps]
    unknown = [index for index, step in enumerate(steps) if step is None]
    rest = max(0, total_bytes - sum(sizes))
    for place, index in enumerate(unknown):
        sizes[index] = rest // len(unknown) + (rest % len(unknown) if place == 0 else 0)
    return sizes


def settled_sizes(sizes: Sequence[int], known: Sequence[int | None]) -> list[int]:
    """Guessed sizes corrected by those that other images tell; what is left goes to the remaining layers."""
    open_places = [index for index, size in enumerate(known) if size is None]
    rest = max(0, sum(sizes) - sum(size for size in known if size is not None))
    settled = [size or 0 for size in known]
    for place, index in enumerate(open_places):
        settled[index] = rest // len(open_places) + (rest % len(open_places) if place == 0 else 0)
    return settled


# Manifest, configuration and tar headers of one image on the containerd store: 2-16 KiB on 28.5.
BLOB_OVERHEAD_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Holding:
    """A copy as far as bytes are concerned. `layers` are keys into the sizes, bottom first."""

    key: int
    layers: tuple[int, ...]
    parent: int | None = None
    is_tagged: bool = True
    is_in_use: bool = False
    # Compressed blobs beside the layers (containerd store), at most; None: not known.
    extra_bytes: int | None = 0


@dataclass(frozen=True, slots=True)
class Freed(Promise):
    """What removing a set frees, in bytes."""

    # In order of removal, children first; sums to `high`.
    by_key: dict[int, int] = field(default_factory=dict)
    parents: tuple[int, ...] = ()  # untagged parents that go along
    # A copy that frees nothing, and the copies that hold its layers.
    blockers: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a host, in bytes: every layer once; those of several copies; freed if all unused went."""

    total: int
    shared: int
    unused: int


class Holdings:
    """All copies of one host with their layers; answers what any set of them would free."""

    def __init__(
        self,
        holdings: Iterable[Holding],
        sizes: Mapping[int, int],
        *,
        held: Collection[int] = (),
        is_up_to: bool = False,
        is_estimate: bool = False,
    ) -> None:
        self._copies = {holding.key: holding for holding in holdings}
        self._sizes = sizes
        self._held = frozenset(held)  # layers of containers whose image is no longer listed
        self._is_up_to = is_up_to
        self._is_estimate = is_estimate
        self._uses = Counter(layer for copy in self._copies.values() for layer in set(copy.layers))
        self._children: dict[int, set[int]] = {}
        for copy in self._copies.values():
            if copy.parent is not None and copy.parent in self._copies:
                self._children.setdefault(copy.parent, set()).add(copy.key)

    def __contains__(self, key: int) -> bool:
        return key in self._copies

    def closure(self, keys: Iterable[int]) -> list[int]:
        """The set with the untagged parents whose every child goes, in order of removal: children first."""
        going = {key for key in keys if key in self._copies}
        waiting = list(going)
        while waiting:
            above = self._copies[waiting.pop()].parent
            parent = self._copies.get(above) if above is not None else None
            if parent and parent.key not in going and self._goes_along(parent, going):
                going.add(parent.key)
                waiting.append(parent.key)
        return sorted(going, key=lambda key: (-self._depth(key), key)) if len(going) > 1 else list(going)

    def _goes_along(self, parent: Holding, going: set[int]) -> bool:
        return not parent.is_tagged and not parent.is_in_use and self._children[parent.key] <= going

    def _depth(self, key: int) -> int:
        depth, parent = 0, self._copies[key].parent
        while parent is not None and parent in self._copies:
            depth, parent = depth + 1, self._copies[parent].parent
        return depth

    def removable(self, keys: Iterable[int]) -> list[int]:
        """Those that no container uses. A container keeps the layers even of an image removed by force."""
        return [key for key in keys if key in self._copies and not self._copies[key].is_in_use]

    def freed(self, keys: Iterable[int]) -> Freed:
        """The bytes that removing these copies frees; unknown keys are passed over."""
        asked = {key for key in keys if key in self._copies}
        order = self.closure(asked)
        layer_bytes, left = self._release(order)
        by_key = {key: size + self._blobs(self._copies[key], size) for key, size in layer_bytes.items()}
        is_up_to = self._is_up_to or self._is_estimate
        return Freed(
            low=0 if is_up_to else sum(layer_bytes.values()),
            high=sum(by_key.values()),
            is_up_to=is_up_to,
            by_key=by_key,
            parents=tuple(key for key in order if key not in asked),
            blockers=self._blockers(asked, set(order), left),
        )

    def _release(self, order: Iterable[int]) -> tuple[dict[int, int], dict[int, int]]:
        """The layer bytes each copy frees when they go in this order, and the uses left of their layers."""
        left: dict[int, int] = {}
        freed: dict[int, int] = {}
        for key in order:
            freed[key] = 0
            for layer in set(self._copies[key].layers):
                left[layer] = left.get(layer, self._uses[layer]) - 1
                if not left[layer] and layer not in self._held:
                    freed[key] += self._sizes[layer]
        return freed, left

    @staticmethod
    def _blobs(copy: Holding, layer_bytes: int) -> int:
        """The compressed blobs that go at most: those of layers that stay are shared and stay too.

        Which blobs images share the engine does not tell; a blob is hardly larger than its layer.
        """
        most = layer_bytes + BLOB_OVERHEAD_BYTES
        return most if copy.extra_bytes is None else min(copy.extra_bytes, most)

    def _blockers(
        self, asked: set[int], going: set[int], left: Mapping[int, int]
    ) -> dict[int, tuple[int, ...]]:
        """For each asked copy of which no layer is freed: who else uses its topmost layer that has bytes."""
        blockers: dict[int, tuple[int, ...]] = {}
        for key in sorted(asked):
            heavy = [layer for layer in self._copies[key].layers if self._sizes[layer]]
            if heavy and all(left[layer] or layer in self._held for layer in heavy):
                blockers[key] = tuple(other for other in self._users[heavy[-1]] if other not in going)
        return blockers

    @cached_property
    def _users(self) -> dict[int, list[int]]:
        """The copies that use each layer."""
        users: dict[int, list[int]] = {}
        for copy in self._copies.values():
            for layer in set(copy.layers):
                users.setdefault(layer, []).append(copy.key)
        return users

    def own_bytes_all(self) -> dict[int, int]:
        """For each copy, the bytes freed if only that one went (its untagged parents go along)."""
        own: dict[int, int] = {}
        for key in self._copies:
            freed, _ = self._release(self.closure([key]))
            own[key] = sum(size + self._blobs(self._copies[going], size) for going, size in freed.items())
        return own

    def held_only_bytes(self) -> int:
        """Layers that only containers of images removed by force hold: on disk, but not in `LayersSize`."""
        return sum(self._sizes[layer] for layer in self._held - self._uses.keys())

    def totals(self) -> Totals:
        used = self._uses.keys() | self._held
        return Totals(
            total=sum(self._sizes[layer] for layer in used) + self._blobs_total(),
            shared=sum(self._sizes[layer] for layer, count in self._uses.items() if count > 1),
            unused=self.freed(copy.key for copy in self._copies.values() if not copy.is_in_use).high,
        )

    def _blobs_total(self) -> int:
        """The compressed blobs of all copies, those of a layer once: its part of what its image has."""
        parts: dict[int, float] = {}
        rest = 0
        for copy in self._copies.values():
            whole = sum(self._sizes[layer] for layer in copy.layers) if copy.extra_bytes else 0
            if not copy.extra_bytes or not whole:
                rest += copy.extra_bytes or 0
                continue
            for layer in copy.layers:
                part = copy.extra_bytes * self._sizes[layer] / whole
                parts[layer] = max(parts.get(layer, 0), part)
        return rest + round(sum(parts.values()))
