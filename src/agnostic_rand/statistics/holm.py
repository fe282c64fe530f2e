"""Holm's correction for several hypotheses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm_levels(p_values: Sequence[float], alpha: float) -> tuple[float, ...]:
    """The level at which each hypothesis is tested by Holm's step-down procedure.

    The smallest p-value is tested at `alpha / m`, the next at `alpha / (m - 1)`, and so on while
    each is significant; after the first that is not, all others get its level.

    Args:
        p_values: One for each hypothesis, in [0, 1].
        alpha: The probability of any wrong rejection among all.

    Source: Holm 1979.

    Example:
        >>> [round(level, 4) for level in holm_levels([0.001, 0.4, 0.02], 0.05)]
        [0.0167, 0.05, 0.025]
    """
    count = len(p_values)
    levels = [0.0] * count
    current = alpha / max(count, 1)
    stopped = False
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        if not stopped:
            current = alpha / (count - place)
            stopped = p_values[index] > current
        levels[index] = current
    return tuple(levels)
