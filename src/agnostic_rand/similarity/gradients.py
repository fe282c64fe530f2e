"""Histograms of oriented gradients (HOG), and the correlation of two maps' histograms."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.arguments import whole_number
from agnostic_rand.errors import ArgumentError, ExplanationError
from agnostic_rand.similarity.linear import pearson
from agnostic_rand.similarity.rank import spearman
from agnostic_rand.similarity.row_blocks import by_rows
from agnostic_rand.similarity.rows import known_array, precise, same_shape

_BLOCK = 3
_ORIENTATIONS = 9
_EPSILON = 1e-5


def hog(maps: Array, cell: int | None = None) -> Array:
    """Each map's histogram of oriented gradients: 9 orientations, blocks of 3x3 cells, L2-Hys.

    Args:
        maps: `(n, h, w)` of any array library of the array API standard.
        cell: The side of a cell in pixels; by default 16, or a seventh of the shorter side where
            that is smaller.

    Returns:
        `(n, length)`, in [0, 1]; NaN for a map that holds NaN or infinity.

    Raises:
        ArgumentError: `cell` is not a whole number above 0, or fewer than three such cells fit.
        ExplanationError: The maps are not two-dimensional, or smaller than three pixels.

    Source: Dalal & Triggs 2005; the settings are those of Adebayo et al. 2018's code.

    Example:
        >>> import numpy as np
        >>> hog(np.eye(28)[None]).shape
        (1, 2025)
    """
    known_array(maps)
    if maps.ndim != 3 or 0 in maps.shape or min(maps.shape[1:]) < _BLOCK:
        raise ExplanationError(
            "the maps to describe by gradients",
            expected=f"two-dimensional maps (n, h, w) of at least {_BLOCK} x {_BLOCK} pixels",
            received=f"shape {tuple(maps.shape)}",
            fix="Reduce the channels first; use a rank correlation for small maps and inputs that are not images.",
        )
    height, width = maps.shape[1:]
    default = max(1, min(16, min(height, width) // 7))
    side = default if cell is None else whole_number("cell", cell, least=1, example=default)
    rows, columns = height // side, width // side
    if min(rows, columns) < _BLOCK:
        raise ArgumentError(
            "cell",
            expected=f"cells of which at least {_BLOCK} fit along each side of {height} x {width} maps",
            received=repr(side),
            fix=f"Pass cell={min(height, width) // _BLOCK} or less.",
        )
    return by_rows(partial(_descriptors, side=side, rows=rows, columns=columns), maps)


def _descriptors(maps: Array, *, side: int, rows: int, columns: int) -> Array:
    xp, n = array_namespace(maps), maps.shape[0]
    whole = xp.all(xp.isfinite(xp.reshape(maps, (n, -1))), axis=1)
    cells = _cell_histograms(xp, precise(xp, maps), side, rows, columns)
    blocks = [
        xp.reshape(cells[:, r : r + _BLOCK, c : c + _BLOCK, :], (n, 1, -1))
        for r in range(rows - _BLOCK + 1)
        for c in range(columns - _BLOCK + 1)
    ]
    stacked = xp.concat(blocks, axis=1)
    clipped = xp.clip(_unit(xp, stacked), 0.0, 0.2)
    described = xp.reshape(_unit(xp, clipped), (n, -1))
    return xp.where(whole[:, None], described, xp.full_like(described, xp.nan))


def hog_spearman(first: Array, second: Array) -> Array:
    """Spearman's correlation of the two maps' histograms of oriented gradients.

    Args:
        first: Maps `(n, h, w)` of any array library of the array API standard.
        second: Maps of the same shape.

    Returns:
        `(n,)`, in [-1, 1]. NaN where a map has no gradient or holds NaN.

    Raises:
        ExplanationError: The maps are not two-dimensional, or their shapes differ.

    Source: Adebayo et al. 2018, section 3 (the code takes Spearman's correlation).
    """
    same_shape(first, second)
    return spearman(hog(first), hog(second))


def hog_pearson(first: Array, second: Array) -> Array:
    """Pearson's correlation of the two maps' histograms; see `hog_spearman`."""
    same_shape(first, second)
    return pearson(hog(first), hog(second))


def _cell_histograms(xp: Any, maps: Array, side: int, rows: int, columns: int) -> Array:
    """Per cell, the mean gradient magnitude in each range of orientations: `(n, rows, columns, 9)`."""
    n = maps.shape[0]
    edge_row, edge_column = xp.zeros_like(maps[:, :1, :]), xp.zeros_like(maps[:, :, :1])
    vertical = xp.concat([edge_row, maps[:, 2:, :] - maps[:, :-2, :], edge_row], axis=1)
    horizontal = xp.concat([edge_column, maps[:, :, 2:] - maps[:, :, :-2], edge_column], axis=2)
    magnitude = xp.sqrt(vertical**2 + horizontal**2)
    turn = xp.atan2(vertical, horizontal) * (180.0 / math.pi)
    # A remainder by 180 of what lies within half a turn, ten times as fast as the general one.
    angle = xp.where(turn < 0, turn + 180.0, xp.where(turn == 180.0, xp.zeros_like(turn), turn))
    cut = (slice(None), slice(rows * side), slice(columns * side))
    magnitude, number = magnitude[cut], xp.floor(angle[cut] / (180.0 / _ORIENTATIONS))
    # Rounding can put an angle just below 0 at 180: it belongs to no range, as in the original code.
    if is_numpy_array(maps):
        return _counted(magnitude, number, side) / side**2
    histograms = []
    for orientation in range(_ORIENTATIONS):
        chosen = xp.where(number == orientation, magnitude, xp.zeros_like(magnitude))
        split = xp.reshape(chosen, (n, rows, side, columns, side))
        histograms.append(xp.mean(xp.mean(split, axis=4), axis=2)[..., None])
    return xp.concat(histograms, axis=3)


def _counted(magnitude: HostArray, number: HostArray, side: int) -> HostArray:
    """The sums of magnitudes in each cell and range of orientations, in one pass."""
    n, height, width = magnitude.shape
    rows, columns = height // side, width // side
    ranges = _ORIENTATIONS + 1
    row = (np.arange(height) // side)[:, None] * columns
    cell = np.arange(n)[:, None, None] * (rows * columns) + row + np.arange(width) // side
    place = (cell * ranges + np.where(number <= _ORIENTATIONS, number, _ORIENTATIONS).astype(np.intp)).reshape(-1)
    sums = np.bincount(place, weights=magnitude.reshape(-1), minlength=n * rows * columns * ranges)
    found: HostArray = sums.reshape(n, rows, columns, ranges)[..., :_ORIENTATIONS]
    return found


def _unit(xp: Any, blocks: Array) -> Array:
    return blocks / xp.sqrt(xp.sum(blocks * blocks, axis=2, keepdims=True) + _EPSILON**2)
