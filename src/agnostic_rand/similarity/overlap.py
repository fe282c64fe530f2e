"""Similarities of maps by pairs of pixels and by their largest pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import device

from agnostic_rand.adapters import Array
from agnostic_rand.arguments import real_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity.rows import as_rows, is_constant, on_host, precise, same_shape


def kendall(first: Array, second: Array) -> Array:
    """Kendall's rank correlation tau-b of each pair of maps.

    Computed on the host: its algorithm has no counterpart in the array API standard.

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [-1, 1]. NaN where a map is constant or holds NaN.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.

    Source: Kendall 1945.

    Example:
        >>> import numpy as np
        >>> kendall(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 3.0, 2.0]])).round(3)
        array([0.333])
    """
    # SciPy's statistics take half a second to import: not before they are needed.
    from scipy import stats

    same_shape(first, second)
    xp, a = as_rows(first)
    _, b = as_rows(second)
    host_a, host_b = (on_host(rows).astype(np.float64) for rows in (precise(xp, a), precise(xp, b)))
    scores = [
        np.nan
        if np.isnan(x).any() or np.isnan(y).any() or np.ptp(x) == 0 or np.ptp(y) == 0
        else float(stats.kendalltau(x, y).statistic)
        for x, y in zip(host_a, host_b, strict=True)
    ]
    return xp.asarray(np.array(scores), device=device(a))


def top_overlap(first: Array, second: Array, share: float = 0.1) -> Array:
    """The share of each map's largest pixels that are among the other's largest too.

    Of pixels that tie at the threshold each counts by the same part, which is its chance under random
    tie-breaking. With `p` and `q` the parts (0 to 1) of all pixels, `m` their mean and `r` Pearson's
    correlation of `p` and `q`, the score is `m + (1 - m) r`: without ties the plain overlap, with them
    still 1 for equal maps and `m` for unrelated ones.

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.
        share: The share of pixels that count as the largest, in (0, 1].

    Returns:
        `(n,)`, in [0, 1]: 1 for equal maps, about `share` for unrelated ones, however many of their
        pixels are equal. NaN where a map is constant or holds NaN.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.
        ArgumentError: `share` is out of range.

    Source: the overlap is that of the top-k intersection of Ghorbani et al. 2019, section 3; the
    correction for ties is ours, after that of rank correlations.

    Example:
        >>> import numpy as np
        >>> top_overlap(np.array([[5.0, 4, 1, 0, 0]]), np.array([[5.0, 1, 4, 0, 0]]), share=0.4).round(9)
        array([0.5])
    """
    if real_number("share", share, least=0, example=0.1, above=True) > 1:
        raise ArgumentError("share", expected="a share in (0, 1]", received=repr(share), fix="Pass share=0.1.")
    same_shape(first, second)
    xp, a = as_rows(first)
    _, b = as_rows(second)
    size = int(a.shape[1])
    count = max(1, round(share * size))
    chance = count / size
    p, q = (_membership(xp, precise(xp, rows), count) - chance for rows in (a, b))
    lengths = xp.sqrt(xp.sum(p * p, axis=1) * xp.sum(q * q, axis=1))
    # All pixels are among the largest of both: nothing is left to tell apart.
    correlation = xp.where(lengths > 0, xp.sum(p * q, axis=1) / xp.where(lengths > 0, lengths, 1.0), 1.0)
    scores = xp.clip(chance + (1 - chance) * correlation, 0.0, 1.0)
    broken = xp.any(xp.isnan(precise(xp, a)) | xp.isnan(precise(xp, b)), axis=1)
    undefined = is_constant(xp, a) | is_constant(xp, b) | broken
    return xp.where(undefined, xp.full_like(scores, xp.nan), scores)


def _membership(xp: Any, rows: Array, count: int) -> Array:
    """By how much each pixel is among the largest `count` of its row, in [0, 1]; the sum is `count`."""
    threshold = xp.sort(rows, axis=1)[:, rows.shape[1] - count][:, None]
    above, tied = precise(xp, rows > threshold), precise(xp, rows == threshold)
    left = count - xp.sum(above, axis=1, keepdims=True)
    ties = xp.sum(tied, axis=1, keepdims=True)
    return above + tied * (left / xp.where(ties > 0, ties, 1.0))
