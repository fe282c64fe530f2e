"""Rank correlations of maps, row by row, without a matrix of all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_jax_array, is_numpy_array

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.similarity.row_blocks import by_rows
from agnostic_rand.similarity.rows import as_rows, is_constant, precise, same_shape, undefined_where

# Rows at least so long are sorted by halves of their bits.
_LONG = 1024


@dataclass(frozen=True)
class PreparedRanks:
    """The centred ranks of a base map, scaled to length 1, and where they are undefined."""

    shape: tuple[int, ...]
    ranks: Array
    undefined: Array


def prepare_spearman(maps: Array) -> PreparedRanks:
    """What Spearman's correlation needs of the base maps `(n, ...)`; computed once."""
    xp, rows = as_rows(maps)
    undefined = is_constant(xp, rows) | xp.any(xp.isnan(rows), axis=1)
    return PreparedRanks(tuple(maps.shape), by_rows(_unit_ranks, rows), undefined)


def _unit_ranks(rows: Array) -> Array:
    xp = array_namespace(rows)
    order = _flat_order(xp, rows)
    ranks = _centred_ranks(xp, _gathered(xp, rows, order))
    if is_jax_array(rows):
        placed = xp.reshape(xp.take(xp.reshape(ranks, (-1,)), xp.argsort(order)), rows.shape)
    else:
        flat = xp.empty(order.shape, dtype=ranks.dtype, device=device(rows))
        flat[order] = xp.reshape(ranks, (-1,))
        placed = xp.reshape(flat, rows.shape)
    length = xp.sqrt(xp.sum(placed * placed, axis=1, keepdims=True))
    return placed / xp.where(length > 0, length, 1.0)


def compare_spearman(prepared: PreparedRanks, maps: Array) -> Array:
    """Spearman's correlation with the prepared maps, `(n,)`."""
    return by_rows(_scores, prepared.ranks, prepared.undefined, as_rows(maps)[1])


def _scores(base: Array, base_undefined: Array, rows: Array) -> Array:
    xp = array_namespace(rows)
    order = _flat_order(xp, rows)
    # Summing in the order of the second map needs its ranks in sorted order only: no inverse sort.
    ranks = _centred_ranks(xp, _gathered(xp, rows, order))
    gathered = _gathered(xp, base, order)
    length = xp.sqrt(xp.sum(ranks * ranks, axis=1))
    scores = xp.sum(gathered * ranks, axis=1) / xp.where(length > 0, length, 1.0)
    undefined = base_undefined | is_constant(xp, rows) | xp.any(xp.isnan(rows), axis=1)
    return undefined_where(xp, undefined, scores)


def spearman(first: Array, second: Array) -> Array:
    """Spearman's rank correlation of each pair of maps; equal values share their mean rank.

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [-1, 1]: 1 for the same order of pixels, about 0 for unrelated maps. NaN where
        a map is constant or holds NaN. Values that differ by rounding alone are ranked apart.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.

    Source: Spearman 1904; used on saliency maps by Adebayo et al. 2018, section 3.

    Example:
        >>> import numpy as np
        >>> a = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]])
        >>> spearman(a, a**3)
        array([ 1., nan])
    """
    same_shape(first, second)
    return compare_spearman(prepare_spearman(first), second)


def spearman_nonzero(first: Array, second: Array) -> Array:
    """Spearman's rank correlation over those pixels where at least one of the two maps is not zero.

    Pixels that are zero in both (the background of `gradient x input`) tie, and lift the plain
    correlation of absolute maps towards 1 whatever the model (Sundararajan & Taly 2018).

    Args:
        first: Maps `(n, ...)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [-1, 1]. NaN where fewer than two pixels remain, or a map is constant on them
        or holds NaN or infinity.

    Raises:
        ExplanationError: The shapes differ, or there is nothing to compare.

    Example:
        >>> import numpy as np
        >>> a, b = np.array([[0.0, 0.0, 1.0, 2.0]]), np.array([[0.0, 0.0, 2.0, 1.0]])
        >>> round(float(spearman(a, b)[0]), 3), float(spearman_nonzero(a, b)[0])
        (0.778, -1.0)
    """
    same_shape(first, second)
    xp, a = as_rows(first)
    _, b = as_rows(second)
    kept = (a != 0) | (b != 0)
    count = xp.sum(precise(xp, kept), axis=1, keepdims=True)
    ranks_a = _ranks_among(xp, a, kept, count)
    ranks_b = _ranks_among(xp, b, kept, count)
    product = xp.sum(ranks_a * ranks_b, axis=1)
    lengths = xp.sqrt(xp.sum(ranks_a**2, axis=1) * xp.sum(ranks_b**2, axis=1))
    undefined = (lengths == 0) | ~xp.all(xp.isfinite(a) & xp.isfinite(b), axis=1)
    return undefined_where(xp, undefined, product / xp.where(lengths > 0, lengths, 1.0))


def _ranks_among(xp: Any, rows: Array, kept: Array, count: Array) -> Array:
    """Ranks among the kept elements, centred; zero elsewhere."""
    pushed = xp.where(kept, rows, xp.inf)
    order = xp.argsort(pushed, axis=1, stable=False)
    ranks = _centred_ranks(xp, xp.take_along_axis(pushed, order, axis=1))
    ranks = xp.take_along_axis(ranks, xp.argsort(order, axis=1, stable=False), axis=1)
    # The elements left out sort last, so a kept element's rank among all is its rank among the kept.
    size = rows.shape[1]
    return xp.where(kept, ranks + (size - 1) / 2 - (count - 1) / 2, 0.0)


def _flat_order(xp: Any, rows: Array) -> Array:
    """What sorts each row, as positions among all elements: several gathers share them."""
    if is_numpy_array(rows) and rows.dtype == np.float32 and rows.shape[1] >= _LONG:
        return _order_by_halves(rows)
    return xp.reshape(_from_start(xp, xp.argsort(rows, axis=1, stable=False)), (-1,))


def _from_start(xp: Any, order: Array) -> Array:
    """Positions in each row `(n, k)` as positions among all elements."""
    n, k = order.shape
    return order + xp.reshape(xp.arange(n, dtype=order.dtype, device=device(order)) * k, (n, 1))


def _order_by_halves(rows: HostArray) -> HostArray:
    """What sorts long rows, by the lower and then by the upper half of their bits.

    NumPy counts 16-bit numbers instead of comparing them, several times as fast as it argsorts floats.
    """
    bits = np.ascontiguousarray(rows).view(np.int32)
    # The bits of negative numbers count backwards: turned over, they sort as the numbers do.
    ascending = (bits ^ ((bits >> 31) | np.int32(-(2**31)))).view(np.uint32)
    lower = np.argsort(ascending.astype(np.uint16), axis=1, kind="stable")
    first = _from_start(np, lower)
    upper = np.take((ascending >> 16).astype(np.uint16).reshape(-1), first)
    then = _from_start(np, np.argsort(upper, axis=1, kind="stable"))
    order: HostArray = np.take(first.reshape(-1), then.reshape(-1))
    return order


def _gathered(xp: Any, rows: Array, order: Array) -> Array:
    return xp.reshape(xp.take(xp.reshape(rows, (-1,)), order), rows.shape)


def _centred_ranks(xp: Any, ordered: Array) -> Array:
    """Ranks of sorted rows `(n, k)`, ties averaged, minus their mean `(k - 1) / 2`."""
    n, k = ordered.shape
    centre = (k - 1) / 2
    positions = precise(xp, xp.arange(k, device=device(ordered))) - centre
    rises = ordered[:, 1:] != ordered[:, :-1]
    if bool(xp.all(rises)):
        return xp.broadcast_to(positions, (n, k))
    edge = xp.ones((n, 1), dtype=xp.bool, device=device(ordered))
    if is_jax_array(ordered):
        starts = xp.reshape(xp.concat([edge, rises], axis=1), (-1,))
        return _static_mean_ranks(xp, starts, n, k) - centre
    # Most elements have no equals: only those that have are given another rank than their position.
    starts, ends = xp.concat([edge, rises], axis=1), xp.concat([rises, edge], axis=1)
    (begin,) = xp.nonzero(xp.reshape(starts & ~ends, (-1,)))
    (last,) = xp.nonzero(xp.reshape(ends & ~starts, (-1,)))
    mean_position = precise(xp, begin % k + last % k) / 2 - centre
    ranks = xp.asarray(xp.broadcast_to(positions, (n, k)), copy=True)
    ranks[~(starts & ends)] = xp.repeat(mean_position, last - begin + 1)
    return ranks


def _static_mean_ranks(xp: Any, starts: Array, n: int, k: int) -> Array:
    """The same by shapes that do not depend on the values: JAX compiles anew for each shape."""
    group = xp.cumulative_sum(xp.astype(starts, xp.int32))
    ends = xp.searchsorted(group, group, side="left") + xp.searchsorted(group, group, side="right")
    first_of_row = xp.reshape(xp.arange(n, device=device(starts)) * k, (n, 1))
    return precise(xp, xp.reshape(ends - 1, (n, k)) - 2 * first_of_row) / 2
