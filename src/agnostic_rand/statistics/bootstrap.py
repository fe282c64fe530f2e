"""Intervals of a mean over samples and draws, both of which vary."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray


def crossed_bootstrap(
    scores: HostArray, rng: np.random.Generator, *, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """The percentile interval of the mean score, samples and draws resampled independently.

    Args:
        scores: `(draws, samples)`; NaN values are left out of every mean.
        rng: Draws the resamples.
        level: The interval's coverage, in (0, 1).
        resamples: How often both are resampled.

    Returns:
        The interval's ends; NaN where no score is defined. With a single draw the interval
        speaks of the samples alone.

    Source: Owen 2007 (the pigeonhole bootstrap).

    Example:
        >>> scores = np.random.default_rng(0).normal(0.5, 0.1, (5, 200))
        >>> low, high = crossed_bootstrap(scores, np.random.default_rng(1))
        >>> 0.45 < low < 0.5 < high < 0.55
        True
    """
    draws, samples = scores.shape
    defined = np.isfinite(scores)
    if not defined.any():
        return float("nan"), float("nan")
    filled = np.where(defined, scores, 0.0)
    draw_counts = rng.multinomial(draws, np.full(draws, 1 / draws), size=resamples).astype(np.float64)
    sample_counts = rng.multinomial(samples, np.full(samples, 1 / samples), size=resamples)
    totals = np.einsum("rd,ds,rs->r", draw_counts, filled, sample_counts, optimize=True)
    counts = np.einsum("rd,ds,rs->r", draw_counts, defined.astype(np.float64), sample_counts, optimize=True)
    means = totals[counts > 0] / counts[counts > 0]
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
