"""A check sum tells any two states of a layer apart, however large."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from agnostic_rand.weights.fingerprints import fingerprint

SIZES = (3, 2**18, 2**18 + 1, 2**20)
"""Elements of four octets: within a part, one part, and several."""


@pytest.mark.parametrize("size", SIZES)
def test_one_bit_or_the_order_of_two_elements_changes_it(size: int) -> None:
    values = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    before = fingerprint({"weight": values})
    assert fingerprint({"weight": values.copy()}) == before
    for place in (0, size // 2, size - 1):
        changed = values.copy()
        changed.view(np.uint32)[place] ^= 1
        assert fingerprint({"weight": changed}) != before
    swapped = values.copy()
    swapped[[0, -1]] = swapped[[-1, 0]]
    assert fingerprint({"weight": swapped}) != before
    parts = np.roll(values, size // 2)
    assert fingerprint({"weight": parts}) != before


def test_names_shapes_and_types_count_and_memory_layout_does_not() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    before = fingerprint({"a": values, "b": values})
    assert fingerprint({"b": values, "a": values}) == before
    assert fingerprint({"a": np.asfortranarray(values), "b": values}) == before
    for other in (
        {"a": values, "c": values},
        {"a": values.T.copy(), "b": values},
        {"a": values.view(np.int32), "b": values},
    ):
        assert fingerprint(other) != before


def _child(values: np.ndarray, queue: multiprocessing.Queue) -> None:
    queue.put(fingerprint({"weight": values}))


def test_a_forked_process_has_threads_of_its_own() -> None:
    values = np.ones(2**20, np.float32)
    before = fingerprint({"weight": values})
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(values, queue))
    child.start()
    assert queue.get(timeout=60) == before
    child.join(timeout=60)
    assert child.exitcode == 0
