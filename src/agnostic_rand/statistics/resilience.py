"""Resilience of an order of explainers against choices that nobody can justify."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError


def rank_resilience(scores: HostArray) -> float:
    """The mean Kendall's tau-b of the explainers' orders over all pairs of settings.

    1 where every setting puts the explainers into one order, about 0 where the order is as good as
    random. It judges the settings, not the explainers: below 1, whoever picks the setting picks the
    winner.

    Args:
        scores: `(settings, explainers)`, larger always meaning the same; NaN where undefined.

    Returns:
        In [-1, 1]; NaN where no two settings can be compared.

    Raises:
        ArgumentError: There are fewer than two settings or explainers.

    Source: after the idea of Wickstrøm et al. 2024 (Mean Resilience Rank); the figure is ours.

    Example:
        >>> rank_resilience(np.array([[0.1, 0.5, 0.9], [0.2, 0.3, 0.4], [0.5, 0.1, 0.9]])).__round__(3)
        0.556
    """
    # SciPy's statistics take half a second to import: not before they are needed.
    from scipy import stats

    if scores.ndim != 2 or min(scores.shape) < 2:
        raise ArgumentError(
            "scores",
            expected="(settings, explainers), at least two of each",
            received=f"shape {scores.shape}",
            fix="An order needs two explainers, and a comparison two settings.",
        )
    found = []
    for first, second in combinations(scores, 2):
        kept = np.isfinite(first) & np.isfinite(second)
        if np.unique(first[kept]).size > 1 and np.unique(second[kept]).size > 1:
            found.append(float(stats.kendalltau(first[kept], second[kept]).statistic))
    return float(np.mean(found)) if found else float("nan")
