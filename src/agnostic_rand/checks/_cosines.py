"""Cosines between vectors, location by location: how far they point along one line."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from agnostic_rand.adapters import HostArray


def median_cosines(maps: HostArray, channel_axis: int | None) -> tuple[HostArray, float]:
    """The median over locations of the absolute cosine across channels, for each pair of maps of a sample.

    Args:
        maps: `(vectors, n, ...)`.
        channel_axis: The axis of the channels in `(n, ...)`; `None` takes the whole map as one vector.

    Returns:
        `(pairs, n)`, in [0, 1], pairs in the order of `itertools.combinations`; NaN where no location
        is defined. And the share of pairs and locations that are not, because a vector is zero.

    Example:
        >>> maps = np.array([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 3.0]]])
        >>> median_cosines(maps, None)[0].round(3).ravel()
        array([0.   , 0.707, 0.707])
    """
    count, n = maps.shape[:2]
    if channel_axis is None:
        vectors = maps.reshape(count, n, 1, -1)
    else:
        last = np.moveaxis(maps, channel_axis % (maps.ndim - 1) + 1, -1)
        vectors = last.reshape(count, n, -1, last.shape[-1])
    lengths = np.linalg.norm(vectors, axis=-1)
    scores, missing = [], []
    for i, j in combinations(range(count), 2):
        products = np.abs(np.einsum("nlc,nlc->nl", vectors[i], vectors[j]))
        scale = lengths[i] * lengths[j]
        defined = scale > 0
        cosines = np.where(defined, np.minimum(products / np.where(defined, scale, 1.0), 1.0), np.nan)
        scores.append(
            [np.median(row[kept]) if kept.any() else np.nan for row, kept in zip(cosines, defined, strict=True)]
        )
        missing.append(1 - defined.mean())
    return np.array(scores, dtype=np.float64).reshape(-1, n), float(np.mean(missing))


def gaussian_median_cosine(channels: int) -> float:
    """The median absolute cosine of two independent normal vectors of so many channels, in (0, 1].

    The cosine's square follows the beta distribution of 1/2 and (channels - 1)/2.

    Example:
        >>> round(gaussian_median_cosine(3), 6), gaussian_median_cosine(1)
        (0.5, 1.0)
    """
    # SciPy takes longer to import than this library: not before it is needed.
    from scipy import special

    return float(np.sqrt(special.betaincinv(0.5, (channels - 1) / 2, 0.5))) if channels > 1 else 1.0
