"""Keyed randomness: what a stream gives depends on its name and the seed, and on nothing else."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agnostic_rand.errors import ArgumentError
from agnostic_rand.weights import Purpose, Streams

KEYS = st.lists(st.integers(0, 5), max_size=4).map(tuple)


def first_values(streams: Streams, purpose: Purpose, key: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(streams.generator(purpose, *key).standard_normal(4))


def test_a_stream_is_the_keyed_philox_of_the_design() -> None:
    sequence = np.random.SeedSequence(7, spawn_key=(0, 1, 2, 3))
    expected = np.random.Generator(np.random.Philox(sequence)).standard_normal(5)
    np.testing.assert_array_equal(Streams(7).generator(Purpose.WEIGHTS, 1, 2, 3).standard_normal(5), expected)


@given(keys=st.lists(KEYS, min_size=1, max_size=6, unique=True), seed=st.integers(0, 2**64), order=st.randoms())
def test_the_order_of_asking_is_irrelevant(keys: list[tuple[int, ...]], seed: int, order: Any) -> None:
    asked = {key: first_values(Streams(seed), Purpose.WEIGHTS, key) for key in keys}
    streams, shuffled = Streams(seed), order.sample(keys, len(keys))
    for key in shuffled:
        assert first_values(streams, Purpose.WEIGHTS, key) == asked[key]


def test_distinct_names_give_distinct_values() -> None:
    keys = [(), (0,), (0, 0), (0, 0, 0), (1,), (0, 1), (1, 0), (0, 0, 1), (2**31,), (300, 7)]
    named = [(purpose, key) for purpose in Purpose for key in keys]
    values = [first_values(Streams(3), purpose, key) for purpose, key in named]
    for (name, a), (other, b) in combinations(zip(named, values, strict=True), 2):
        assert not set(a) & set(b), (name, other)


def test_distinct_seeds_give_distinct_values() -> None:
    seeds = [0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**63]
    values = {first_values(Streams(seed), Purpose.WEIGHTS, (0, 0)) for seed in seeds}
    assert len(values) == len(seeds)


def test_each_call_starts_the_stream_again() -> None:
    streams = Streams(1)
    streams.generator(Purpose.CONTROL, 4).random(100)
    assert first_values(streams, Purpose.CONTROL, (4,)) == first_values(Streams(1), Purpose.CONTROL, (4,))


@pytest.mark.parametrize("seed", [-1, True, 1.0, "1", None, np.float64(3), [1]])
def test_seeds_that_are_no_whole_numbers_are_refused(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="seed: expected an int of at least 0"):
        Streams(seed)


def test_seeds_of_numpy_are_plain_ints_afterwards() -> None:
    assert type(Streams(np.int64(5)).seed) is int  # type: ignore[arg-type]


def test_a_missing_seed_is_drawn_afresh_and_recorded() -> None:
    first, second = Streams.ensure(None), Streams.ensure(None)
    assert first.seed != second.seed
    assert Streams.ensure(first.seed) == first
    assert max(first.seed, second.seed) < 2**63


def test_seeds_for_frameworks_are_keyed_too() -> None:
    seeds = [Streams(seed).derived_seed(Purpose.TRAINING, key) for seed in range(3) for key in range(3)]
    assert len(set(seeds)) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert Streams(1).derived_seed(Purpose.TRAINING, 2) == seeds[5]


def test_drawing_leaves_the_global_generators_alone() -> None:
    import random

    python, legacy = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]
    Streams.ensure(None).generator(Purpose.WEIGHTS).random(10)
    assert random.getstate() == python
    assert np.random.get_state()[1].tobytes() == legacy  # type: ignore[index]
