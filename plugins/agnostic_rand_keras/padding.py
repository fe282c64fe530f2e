"""Batches of one size, so that a compiled function is not compiled anew for the last one."""

from __future__ import annotations

from typing import Any


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
