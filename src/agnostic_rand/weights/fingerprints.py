"""Check sums of a model's weights: the proof that what should change changed, and nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.adapters.threads import host_threads

_PART = 2**20
"""Larger arrays are looked at in blocks of rows of about so many bytes, by as many threads as there are cores."""


def fingerprint(values: Mapping[str, HostArray]) -> dict[str, int]:
    """A check sum of each array: the same for the same shape, type and bits, whatever the memory layout."""
    return {name: _check_sum(array) for name, array in values.items()}


def row_blocks(array: HostArray) -> Iterator[HostArray]:
    """The array in blocks of rows, so that work on each needs little memory besides."""
    while array.ndim > 1 and len(array) == 1:
        array = array[0]
    if array.nbytes <= _PART:
        yield array
        return
    rows = max(1, _PART * len(array) // array.nbytes)
    yield from (array[start : start + rows] for start in range(0, len(array), rows))


def model_fingerprints(adapter: ModelAdapter) -> dict[str, dict[str, int]]:
    """The check sums of each layer, statistics included."""
    return {layer.name: fingerprint(adapter.read(layer.name)) for layer in adapter.layers()}


def _check_sum(array: HostArray) -> int:
    sums = list(host_threads().map(_of_block, row_blocks(array))) if array.nbytes > _PART else [_of_block(array)]
    return zlib.crc32(f"{array.shape}{array.dtype}".encode(), zlib.crc32(np.array(sums, np.uint32).data))


def _of_block(block: HostArray) -> int:
    return zlib.crc32(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
