"""Check sums of a model's weights: the proof that what should change changed, and nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.threads import host_threads

_PART = 2**20
"""Larger arrays are summed up in parts of so many bytes, by as many threads as there are cores."""


def fingerprint(values: Mapping[str, HostArray]) -> int:
    """A check sum of named arrays: the same for the same bits."""
    total = 0
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        total = zlib.crc32(f"{name}{array.shape}{array.dtype}".encode(), total)
        octets = array.reshape(-1).view(np.uint8)
        if octets.size <= _PART:
            total = zlib.crc32(octets.data, total)
            continue
        parts = [octets[start : start + _PART].data for start in range(0, octets.size, _PART)]
        total = zlib.crc32(np.array(list(host_threads().map(zlib.crc32, parts)), np.uint32).data, total)
    return total


def model_fingerprints(adapter: ModelAdapter) -> dict[str, int]:
    """The check sum of each layer, statistics included."""
    return {layer.name: fingerprint(adapter.read(layer.name)) for layer in adapter.layers()}
