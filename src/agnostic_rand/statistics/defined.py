"""Mean of what is defined: an undefined score is left out, never counted as a number."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray


def defined_mean(values: HostArray, axis: int | tuple[int, ...] | None = None) -> HostArray:
    """The mean over `axis` (by default over all) of the finite values; NaN where there is none.

    Example:
        >>> defined_mean(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 1.0]]), axis=0)
        array([ 1., nan,  2.])
    """
    defined = np.isfinite(values)
    totals = np.where(defined, values, 0.0).sum(axis=axis)
    counts = defined.sum(axis=axis)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
