"""Batches of maps as rows of numbers, in the array namespace and on the device where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_jax_array, to_device

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.errors import ExplanationError


def as_rows(maps: Array) -> tuple[Any, Array]:
    """The array namespace and the maps `(n, ...)` as `(n, k)`."""
    xp = array_namespace(maps)
    if maps.ndim < 2 or 0 in maps.shape:
        raise ExplanationError(
            "the maps to compare",
            expected="a batch (n, ...) of at least one map with at least one element",
            received=f"shape {tuple(maps.shape)}",
            fix="Add the batch dimension, or pass more samples.",
        )
    return xp, xp.reshape(maps, (maps.shape[0], -1))


def same_shape(first: Array, second: Array) -> None:
    """Refuse two batches that cannot be compared element by element.

    Raises:
        ExplanationError: Their shapes differ.
    """
    if tuple(first.shape) != tuple(second.shape):
        raise ExplanationError(
            "the maps to compare",
            expected=f"two batches of one shape, such as {tuple(first.shape)}",
            received=f"{tuple(first.shape)} and {tuple(second.shape)}",
            fix="Compare maps of the same inputs, reduced over channels in the same way.",
        )


def precise(xp: Any, rows: Array) -> Array:
    """The rows in the most precise real type that the namespace has (float64 where it can)."""
    kinds = xp.__array_namespace_info__().dtypes(kind="real floating")
    return xp.astype(rows, kinds.get("float64", kinds["float32"]))


def on_host(maps: Array) -> HostArray:
    """The values as a NumPy array."""
    return np.asarray(maps if is_jax_array(maps) else to_device(maps, "cpu"))


def is_constant(xp: Any, rows: Array) -> Array:
    """Whether all elements of a row are equal, `(n,)`; exact, unlike a variance of zero."""
    return xp.max(rows, axis=1) == xp.min(rows, axis=1)


def undefined_where(xp: Any, undefined: Array, scores: Array) -> Array:
    """NaN where a score is undefined; scores that rounding took outside [-1, 1] are put back."""
    clipped = xp.clip(scores, -1.0, 1.0)
    return xp.where(undefined, xp.full_like(clipped, xp.nan), clipped)
