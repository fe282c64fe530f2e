"""How far a model's own outputs moved: the context without which no similarity can be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agnostic_rand.adapters import HostArray


@dataclass(frozen=True)
class OutputChange:
    """The change of the outputs `(n, classes)` from the trained to the random model, by step.

    Args:
        correlation: `(draws, steps)`, Pearson's correlation of all outputs with the trained
            model's, each class centred on its mean over samples; NaN where either is constant.
        agreement: `(draws, steps)`, the share of samples with the same largest output, in
            [0, 1]; NaN for models with a single output.
        scale: `(draws, steps)`, the largest absolute output.
    """

    correlation: HostArray
    agreement: HostArray
    scale: HostArray


class OutputTally:
    """Sums over batches from which the change is computed.

    Args:
        draws: The number of draws.
        steps: The number of steps.
    """

    def __init__(self, draws: int, steps: int) -> None:
        self._sums: dict[tuple[int, int], HostArray] = {}
        self._first: dict[tuple[int, int], tuple[HostArray, HostArray]] = {}
        self._agree = np.zeros((draws, steps))
        self._count = np.zeros((draws, steps))
        self._scale = np.zeros((draws, steps))
        self._single = False

    def add(self, draw: int, step: int, trained: HostArray, random: HostArray) -> None:
        """Count one batch of outputs, both `(n, classes)` in float64."""
        place = (draw, step)
        # Differences from the first sample's outputs: of constant ones they are exactly zero, and squares of
        # large outputs do not swallow a small variation.
        first = self._first.setdefault(place, (trained[:1].copy(), random[:1].copy()))
        a, b = trained - first[0], random - first[1]
        products = (a, b, a * b, a**2, b**2)
        sums = np.stack([product.sum(axis=0) for product in products])
        self._sums[place] = self._sums[place] + sums if place in self._sums else sums
        self._single = trained.shape[1] == 1
        self._agree[place] += (trained.argmax(axis=1) == random.argmax(axis=1)).sum()
        self._count[place] += len(trained)
        self._scale[place] = max(self._scale[place], float(np.abs(random).max()))

    def change(self) -> OutputChange:
        """The change over all batches."""
        correlation = np.full(self._count.shape, np.nan)
        for place, (a, b, ab, aa, bb) in self._sums.items():
            n = self._count[place]
            covariance = (ab - a * b / n).sum()
            variances = max((aa - a**2 / n).sum(), 0.0) * max((bb - b**2 / n).sum(), 0.0)
            if variances > 0:
                correlation[place] = np.clip(covariance / np.sqrt(variances), -1.0, 1.0)
        agreement = self._agree / np.maximum(self._count, 1)
        if self._single:
            agreement = np.full(agreement.shape, np.nan)
        return OutputChange(correlation, agreement, self._scale)
