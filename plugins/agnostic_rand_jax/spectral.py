"""Spectral normalization keeps singular vectors of its kernel; they follow a new kernel here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import jax
import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand_jax.arrays import host_copy, replacing
from agnostic_rand_jax.compiled import Values

_ITERATIONS = 50


@dataclass(frozen=True)
class SpectralLink:
    """A kernel, and by key what is kept of its largest singular value.

    Args:
        kernel: The kernel.
        rows: Whether its first dimension makes the rows of the matrix; otherwise its last makes the
            columns.
        left: The left singular vector.
        right: The right singular vector.
        value: The singular value.
    """

    kernel: str
    rows: bool
    left: str | None = None
    right: str | None = None
    value: str | None = None


def following(links: Iterable[SpectralLink], current: Values, changes: Values) -> Values:
    """What follows from the kernels among `changes` and is not among them itself."""
    found: Values = {}
    for link in links:
        if link.kernel not in changes:
            continue
        left, right, value = _largest(changes[link.kernel], rows=link.rows)
        for key, array in ((link.left, left), (link.right, right), (link.value, value)):
            if key is not None and key not in changes:
                found[key] = replacing(current[key], array.reshape(current[key].shape))
    return found


def _largest(kernel: jax.Array, *, rows: bool) -> tuple[HostArray, HostArray, HostArray]:
    held = host_copy(kernel).astype(np.float64)
    matrix = held.reshape(held.shape[0], -1) if rows else held.reshape(-1, held.shape[-1])
    # A fixed start makes the vectors depend on the kernel alone, not on what was there before.
    left = np.ones(matrix.shape[0])
    for _ in range(_ITERATIONS):
        right = _normalized(matrix.T @ left)
        left = _normalized(matrix @ right)
    return left, right, np.asarray(left @ matrix @ right)


def _normalized(vector: HostArray) -> HostArray:
    length = np.linalg.norm(vector)
    scaled: HostArray = vector / max(float(length), 1e-12)
    return scaled
