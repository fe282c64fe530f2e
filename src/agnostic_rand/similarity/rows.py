"""Rows of numbers that batches of maps are, in the array namespace and on the device where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_jax_array, to_device

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


def known_array(maps: Any) -> None:
    """Refuse what is no array of a library that follows the array API standard.

    Raises:
        ExplanationError: It is none.
    """
    if not is_array_api_obj(maps):
        raise ExplanationError(
            "the maps to compare",
            expected="an array of NumPy, PyTorch, JAX or another library of the array API standard",
            received=type(maps).__name__,
            fix="Pass for example numpy.asarray(maps).",
        )


def same_shape(first: Array, second: Array) -> None:
    """Refuse two batches that cannot be compared element by element.

    Raises:
        ExplanationError: One is no array, they are arrays of two libraries, or their shapes differ.
    """
    known_array(first)
    known_array(second)
    try:
        array_namespace(first, second)
    except TypeError:
        kinds = (f"{type(one).__module__}.{type(one).__name__}" for one in (first, second))
        raise ExplanationError(
            "the maps to compare",
            expected="two arrays of one library",
            received=" and ".join(kinds),
            fix="Convert one of them, for example both to NumPy.",
        ) from None
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
    # An array that records gradients has to be told to let go of them.
    values = maps.detach() if hasattr(maps, "detach") else maps
    return np.asarray(values if is_jax_array(values) else to_device(values, "cpu"))


def is_constant(xp: Any, rows: Array) -> Array:
    """Whether all elements of a row are equal, `(n,)`; exact, unlike a variance of zero."""
    return xp.max(rows, axis=1) == xp.min(rows, axis=1)


def undefined_where(xp: Any, undefined: Array, scores: Array) -> Array:
    """NaN where a score is undefined; scores that rounding took outside [-1, 1] are put back."""
    clipped = xp.clip(scores, -1.0, 1.0)
    return xp.where(undefined, xp.full_like(clipped, xp.nan), clipped)
