"""Ticker of a run: tells the caller of each explained batch, and how long the rest will take."""

from __future__ import annotations

import time

from agnostic_rand.subject.progress import Progress, ProgressCallback


class Ticker:
    """Counts explained batches.

    Args:
        callback: Is told of each, or `None`.
        total: How many there will be.
    """

    def __init__(self, callback: ProgressCallback | None, total: int) -> None:
        self._callback = callback
        self._total = total
        self._done = 0
        self._started = time.monotonic()

    def tick(self, description: str) -> None:
        """Count one more."""
        self._done += 1
        if self._callback is not None:
            left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
            self._callback(Progress(self._done, self._total, description, left))
