"""Resizing of coarse layers' maps to the size of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter


def upsampled(maps: Array, size: tuple[int, ...], adapter: ModelAdapter) -> Array:
    """Maps `(n, *space)` as `(n, *size)`, linear in each direction between pixel centres, edges continued."""
    xp: Any = array_namespace(maps)
    for fine in size:
        weights = _native(_weights(maps.shape[1], fine), maps, adapter)
        # The direction that is done goes to the end, so that the next is first.
        maps = xp.tensordot(maps, weights, axes=((1,), (1,)))
    return maps


def _native(weights: HostArray, maps: Array, adapter: ModelAdapter) -> Array:
    if isinstance(maps, np.ndarray):
        return weights.astype(maps.dtype)
    return array_namespace(maps).astype(adapter.asarray(weights), maps.dtype)


def _weights(coarse: int, fine: int) -> HostArray:
    """The matrix `(fine, coarse)` of linear interpolation."""
    centres = np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)
    low = np.floor(centres).astype(int)
    high = np.minimum(low + 1, coarse - 1)
    weights = np.zeros((fine, coarse), dtype=np.float32)
    np.add.at(weights, (np.arange(fine), low), 1 - (centres - low))
    np.add.at(weights, (np.arange(fine), high), centres - low)
    return weights
