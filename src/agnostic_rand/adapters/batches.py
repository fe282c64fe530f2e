"""Batches of one size, so that a compiled function is not compiled anew for the last one."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.adapters.protocol import HostArray


class BatchSizes:
    """The largest batch seen of each shape of samples."""

    def __init__(self) -> None:
        self._largest: dict[tuple[object, ...], int] = {}

    def missing(self, inputs: Any) -> int:
        """How many samples the batch lacks to be as large as the largest of its kind."""
        kind = (*inputs.shape[1:], str(inputs.dtype))
        count = int(inputs.shape[0])
        self._largest[kind] = max(self._largest.get(kind, 0), count)
        return self._largest[kind] - count


def filled(array: HostArray, missing: int) -> HostArray:
    """The batch with so many copies of its last sample: unlike zeros it cannot make a model divide by zero.

    Example:
        >>> filled(np.array([1, 2]), 2)
        array([1, 2, 2, 2])
    """
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array
