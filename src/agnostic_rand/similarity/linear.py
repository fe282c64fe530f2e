"""Linear similarities of maps: Pearson's correlation and the cosine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agnostic_rand.adapters import Array
from agnostic_rand.similarity.rows import as_rows, is_constant, precise, same_shape, undefined_where


@dataclass(frozen=True)
class PreparedDirections:
    """The base maps as vectors of length 1, and where they are undefined."""

    shape: tuple[int, ...]
    directions: Array
    undefined: Array


def prepare_pearson(maps: Array) -> PreparedDirections:
    """What Pearson's correlation needs of the base maps `(n, ...)`; computed once."""
    xp, rows = as_rows(maps)
    return PreparedDirections(
        tuple(maps.shape), _directions(xp, _centred(xp, rows)), is_constant(xp, rows) | _broken(xp, rows)
    )


def compare_pearson(prepared: PreparedDirections, maps: Array) -> Array:
    """Pearson's correlation with the prepared maps, `(n,)`."""
    xp, rows = as_rows(maps)
    scores = xp.sum(prepared.directions * _directions(xp, _centred(xp, rows)), axis=1)
    undefined = prepared.undefined | is_constant(xp, rows) | _broken(xp, rows)
    return undefined_where(xp, undefined, scores)


def pearson(first: Array, second: Array) -> Array:
    """Pearson's correlation of each pair of maps.

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [-1, 1]. NaN where a map is constant or holds NaN.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.

    Example:
        >>> import numpy as np
        >>> a = np.array([[1.0, 2.0, 3.0]])
        >>> pearson(a, 5 - 2 * a).round(12)
        array([-1.])
    """
    same_shape(first, second)
    return compare_pearson(prepare_pearson(first), second)


def prepare_cosine(maps: Array) -> PreparedDirections:
    """What the cosine needs of the base maps `(n, ...)`; computed once."""
    xp, rows = as_rows(maps)
    undefined = xp.all(rows == 0, axis=1) | _broken(xp, rows)
    return PreparedDirections(tuple(maps.shape), _directions(xp, _finite(xp, rows)), undefined)


def compare_cosine(prepared: PreparedDirections, maps: Array) -> Array:
    """The cosine with the prepared maps, `(n,)`."""
    xp, rows = as_rows(maps)
    scores = xp.sum(prepared.directions * _directions(xp, _finite(xp, rows)), axis=1)
    undefined = prepared.undefined | xp.all(rows == 0, axis=1) | _broken(xp, rows)
    return undefined_where(xp, undefined, scores)


def cosine(first: Array, second: Array) -> Array:
    """The cosine of the angle between each pair of maps.

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [-1, 1]. NaN where a map is zero everywhere or holds NaN.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.

    Example:
        >>> import numpy as np
        >>> cosine(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 2.0], [1.0, 1.0]]))
        array([ 0., nan])
    """
    same_shape(first, second)
    return compare_cosine(prepare_cosine(first), second)


def second_moment_mse(first: Array, second: Array) -> Array:
    """The mean squared difference after each map is divided by its root mean square.

    A distance, not a similarity: it equals `2 (1 - cosine)`.

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [0, 4]: 0 for equal maps, 2 for unrelated signed ones, 4 for opposite ones. NaN
        where a map is zero everywhere or holds NaN.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.

    Source: the scaling is that of Binder et al. 2023.

    Example:
        >>> import numpy as np
        >>> second_moment_mse(np.array([[1.0, -1.0]]), np.array([[-3.0, 3.0]])).round(9)
        array([4.])
    """
    return 2 * (1 - cosine(first, second))


def _centred(xp: Any, rows: Array) -> Array:
    exact = _finite(xp, rows)
    return exact - xp.mean(exact, axis=1, keepdims=True)


def _finite(xp: Any, rows: Array) -> Array:
    """The rows in full precision; zeros for rows that are not finite, which have no score."""
    exact = precise(xp, rows)
    return xp.where(_broken(xp, rows)[:, None], xp.zeros_like(exact), exact)


def _directions(xp: Any, rows: Array) -> Array:
    # Scaling by the largest element first keeps squares within range.
    largest = xp.max(xp.abs(rows), axis=1, keepdims=True)
    scaled = rows / xp.where(largest > 0, largest, 1.0)
    length = xp.sqrt(xp.sum(scaled * scaled, axis=1, keepdims=True))
    return scaled / xp.where(length > 0, length, 1.0)


def _broken(xp: Any, rows: Array) -> Array:
    return ~xp.all(xp.isfinite(rows), axis=1)
