"""Similarities of maps by pairs of pixels and by their largest pixels."""

from __future__ import annotations

import numpy as np
from array_api_compat import device

from agnostic_rand.adapters import Array
from agnostic_rand.arguments import real_number
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

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.
        share: The share of pixels that count as the largest, in (0, 1].

    Returns:
        `(n,)`, in [0, 1]; about `share` for unrelated maps. Of tied pixels, the first count. NaN
        where a map is constant or holds NaN.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.
        ArgumentError: `share` is out of range.

    Example:
        >>> import numpy as np
        >>> top_overlap(np.arange(10.0)[None], np.arange(10.0)[None][:, ::-1], share=0.2)
        array([0.])
    """
    real_number("share", share, least=0, example=0.1, above=True)
    same_shape(first, second)
    xp, a = as_rows(first)
    _, b = as_rows(second)
    count = max(1, round(min(share, 1.0) * a.shape[1]))
    chosen = []
    for rows in (a, b):
        order = xp.argsort(-precise(xp, rows), axis=1, stable=True)
        chosen.append(xp.argsort(order, axis=1, stable=True) < count)
    both = precise(xp, chosen[0] & chosen[1])
    scores = xp.sum(both, axis=1) / count
    broken = xp.any(xp.isnan(precise(xp, a)) | xp.isnan(precise(xp, b)), axis=1)
    undefined = is_constant(xp, a) | is_constant(xp, b) | broken
    return xp.where(undefined, xp.full_like(scores, xp.nan), scores)
