"""Chain IDs, layer sizes and freed bytes, held against a brute-force model."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.layers import (
    BLOB_OVERHEAD_BYTES,
    Holding,
    Holdings,
    chain_ids,
    layer_sizes,
    layer_steps,
    settled_sizes,
)


def step(created_by: str, size_bytes: int = 0) -> dict[str, Any]:
    return {"created_by": created_by, "bytes": size_bytes}


def test_chain_id_depends_on_every_layer_below() -> None:
    second = hashlib.sha256(b"sha256:a sha256:b").hexdigest()
    assert chain_ids(["sha256:a", "sha256:b"]) == ["sha256:a", f"sha256:{second}"]
    assert chain_ids(["sha256:x", "sha256:b"])[1] != f"sha256:{second}"
    assert chain_ids([]) == []


def test_steps_that_change_no_file_make_no_layer() -> None:
    history = [
        step("/bin/sh -c #(nop) ADD file:1 in / ", 70),
        step('/bin/sh -c #(nop)  CMD ["bash"]'),
        step("RUN /bin/sh -c make # buildkit", 30),
        step("ENV A=1"),
        step("WORKDIR /srv"),
        step("/bin/sh -c true"),
    ]
    assert layer_steps(4, history) == [0, 2, 4, 5]
    assert layer_sizes(["a", "b", "c", "d"], history) == [70, 30, 0, 0]


def test_surplus_step_without_bytes_is_left_out() -> None:
    """BuildKit makes no layer for a WORKDIR that exists already."""
    history = [step("ADD rootfs", 70), step("WORKDIR /"), step("COPY a /", 5)]
    assert layer_sizes(["a", "b"], history) == [70, 5]


def test_image_without_history_spreads_its_bytes() -> None:
    assert layer_sizes(["a", "b", "c"], [], 10) == [4, 3, 3]
    assert layer_sizes(["a", "b"], [step("bazel build", 6)], 10) == [6, 4]


def test_layer_over_another_parent_is_counted_twice() -> None:
    """Same diff, other chain: two keys, both freed."""
    holdings = Holdings([Holding(1, (10, 11)), Holding(2, (20, 21))], {10: 1, 11: 5, 20: 2, 21: 5})
    assert holdings.freed([1, 2]).high == 13


def test_shared_layer_goes_with_the_last_that_uses_it() -> None:
    holdings = Holdings([Holding(1, (1, 2)), Holding(2, (1, 3)), Holding(3, (1,))], {1: 100, 2: 10, 3: 5})
    assert holdings.freed([1]).high == 10
    assert holdings.freed([1, 2]).high == 15
    whole = holdings.freed([1, 2, 3])
    assert (whole.low, whole.high, whole.is_exact) == (115, 115, True)
    assert whole.by_key == {1: 10, 2: 5, 3: 100}


def test_copy_that_frees_nothing_names_who_holds_its_layers() -> None:
    holdings = Holdings([Holding(1, (1,)), Holding(2, (1, 2)), Holding(3, (1,))], {1: 100, 2: 0})
    assert holdings.freed([1]).blockers == {1: (2, 3)}
    assert holdings.freed([1, 3]).blockers == {1: (2,), 3: (2,)}
    assert holdings.freed([1, 2, 3]).blockers == {}


def test_untagged_parents_go_with_their_last_child_at_any_depth() -> None:
    chain = [
        Holding(1, (1,), is_tagged=False),
        Holding(2, (1, 2), parent=1, is_tagged=False),
        Holding(3, (1, 2, 3), parent=2),
        Holding(4, (1, 4), parent=1),
    ]
    holdings = Holdings(chain, {1: 1, 2: 2, 3: 4, 4: 8})
    assert holdings.closure([3]) == [3, 2]
    assert holdings.closure([4]) == [4]
    assert holdings.closure([3, 4]) == [3, 2, 4, 1]
    assert holdings.freed([3, 4]).parents == (2, 1)


def test_container_on_a_parent_keeps_it() -> None:
    chain = [Holding(1, (1,), is_tagged=False, is_in_use=True), Holding(2, (1, 2), parent=1)]
    assert Holdings(chain, {1: 5, 2: 3}).freed([2]).by_key == {2: 3}


def test_layers_of_a_container_without_image_stay() -> None:
    holdings = Holdings([Holding(1, (1, 2))], {1: 5, 2: 3, 9: 7}, held=[1, 9])
    assert holdings.freed([1]).high == 3
    assert holdings.totals().total == 15
    assert holdings.held_only_bytes() == 7


def test_build_cache_makes_it_up_to() -> None:
    freed = Holdings([Holding(1, (1,))], {1: 5}, is_up_to=True).freed([1])
    assert (freed.low, freed.high, freed.is_up_to, freed.is_exact) == (0, 5, True, False)


def test_unknown_blobs_give_a_range() -> None:
    freed = Holdings([Holding(1, (1,), extra_bytes=None)], {1: 5}).freed([1])
    assert (freed.low, freed.high) == (5, 10 + BLOB_OVERHEAD_BYTES)
    assert Holdings([Holding(1, (1,), extra_bytes=2)], {1: 5}).freed([1]).high == 7


def test_totals_of_a_host() -> None:
    copies = [Holding(1, (1, 2), is_in_use=True), Holding(2, (1, 3)), Holding(3, (4,))]
    totals = Holdings(copies, {1: 100, 2: 10, 3: 5, 4: 1}).totals()
    assert (totals.total, totals.shared, totals.unused) == (116, 100, 6)


@dataclass
class World:
    copies: list[Holding]
    sizes: dict[int, int]
    held: set[int]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Images that share prefixes as real ones do: each is built on another one or on nothing."""
    sizes: dict[int, int] = {}
    copies: list[Holding] = []
    for key in range(draw(st.integers(1, 8))):
        base = draw(st.one_of(st.none(), st.sampled_from(copies))) if copies else None
        added = draw(st.integers(0, 3))
        new = tuple(range(len(sizes), len(sizes) + added))
        sizes |= {layer: draw(st.integers(0, 50)) for layer in new}
        is_child = base is not None and draw(st.booleans())
        copies.append(
            Holding(
                key,
                (base.layers if base else ()) + new,
                parent=base.key if base and is_child else None,
                is_tagged=draw(st.booleans()),
                is_in_use=draw(st.integers(0, 9)) == 0,
            )
        )
    held = draw(st.sets(st.sampled_from(sorted(sizes)))) if sizes else set()
    return World(copies, sizes, held)


def brute_force(world: World, asked: set[int]) -> tuple[int, set[int]]:
    """What an engine does: removes the asked, then each untagged parent left without a child."""
    gone = set(asked)
    while True:
        more = {
            copy.key
            for copy in world.copies
            if copy.key not in gone and not copy.is_tagged and not copy.is_in_use
            if (children := {c.key for c in world.copies if c.parent == copy.key}) and children <= gone
        }
        if not more:
            break
        gone |= more
    everything = {layer for copy in world.copies for layer in copy.layers}
    left = {layer for copy in world.copies if copy.key not in gone for layer in copy.layers} | world.held
    return sum(world.sizes[layer] for layer in everything - left), gone


@given(worlds(), st.data())
def test_freed_equals_a_brute_force_model(world: World, data: st.DataObject) -> None:
    asked = data.draw(st.sets(st.sampled_from([copy.key for copy in world.copies])))
    holdings = Holdings(world.copies, world.sizes, held=world.held)
    expected, gone = brute_force(world, asked)
    freed = holdings.freed(asked)
    assert (freed.low, freed.high) == (expected, expected)
    assert sum(freed.by_key.values()) == freed.high
    assert set(freed.by_key) == gone
    assert set(freed.parents) == gone - asked
    assert not set(freed.blockers) - asked
    assert all(freed.by_key[key] == 0 for key in freed.blockers)
    place = {key: position for position, key in enumerate(freed.by_key)}
    for copy in world.copies:
        if copy.key in place and copy.parent in place:
            assert place[copy.key] < place[copy.parent], "children go before parents"


@given(worlds())
def test_own_bytes_are_what_each_frees_alone(world: World) -> None:
    holdings = Holdings(world.copies, world.sizes, held=world.held)
    expected = {copy.key: brute_force(world, {copy.key})[0] for copy in world.copies}
    assert holdings.own_bytes_all() == expected


@pytest.mark.parametrize("keys", [[], [99]])
def test_nothing_known_frees_nothing(keys: list[int]) -> None:
    assert Holdings([Holding(1, (1,))], {1: 5}).freed(keys).high == 0


def test_guessed_sizes_give_way_to_those_that_other_images_tell() -> None:
    assert settled_sizes([6, 6, 6], [10, None, None]) == [10, 4, 4]
    assert settled_sizes([6, 6], [None, 20]) == [0, 20]


def test_blob_that_images_share_is_counted_once() -> None:
    """On the containerd store, where the engine tells only what all blobs of an image come to."""
    sizes = {1: 1000, 2: 100, 3: 300}
    copies = [
        Holding(1, (1,), extra_bytes=500),
        Holding(2, (1, 2), extra_bytes=550),
        Holding(3, (3,), extra_bytes=None),
    ]
    assert Holdings(copies, sizes).totals().total == 1400 + 500 + 50
    assert Holdings([Holding(1, (), extra_bytes=7)], {}).totals().total == 7
