"""Change of a model's own outputs: the context without which no similarity can be read."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        accuracy: `(draws, steps)`, the share of samples whose largest output is their label's, in
            [0, 1]; NaN without labels and for models with a single output.
        scale: `(draws, steps)`, the largest absolute output.
    """

    correlation: HostArray
    agreement: HostArray
    accuracy: HostArray
    scale: HostArray


@dataclass
class _Moments:
    """What is known of the outputs of some samples; two of them add up to what is known of all."""

    count: int
    means: HostArray
    products: HostArray
    agreeing: int
    right: int
    scale: float

    @classmethod
    def of(cls, trained: HostArray, random: HostArray, labels: HostArray | None) -> _Moments:
        # About the first sample's outputs, so that those of a constant model vary by exactly zero.
        pair = np.stack([trained, random])
        shifted = pair - pair[:, :1]
        means = shifted.mean(axis=1)
        a, b = shifted - means[:, None]
        best = random.argmax(axis=1)
        return cls(
            count=len(trained),
            means=pair[:, 0] + means,
            products=np.stack([(a * b).sum(axis=0), (a * a).sum(axis=0), (b * b).sum(axis=0)]),
            agreeing=int((trained.argmax(axis=1) == best).sum()),
            right=0 if labels is None else int((best == labels).sum()),
            scale=float(np.abs(random).max()),
        )

    def __add__(self, other: _Moments) -> _Moments:
        """Of the samples of both (Chan, Golub & LeVeque 1983)."""
        count = self.count + other.count
        (a, b), weight = other.means - self.means, self.count * other.count / count
        return _Moments(
            count=count,
            means=self.means + (other.means - self.means) * (other.count / count),
            products=self.products + other.products + weight * np.stack([a * b, a * a, b * b]),
            agreeing=self.agreeing + other.agreeing,
            right=self.right + other.right,
            scale=max(self.scale, other.scale),
        )

    @property
    def correlation(self) -> float:
        covariance, *variances = self.products.sum(axis=1)
        scale = float(np.prod(np.maximum(variances, 0.0)))
        return float(np.clip(covariance / np.sqrt(scale), -1.0, 1.0)) if scale > 0 else float("nan")


@dataclass
class OutputTally:
    """Sums over batches from which the change is computed; the tallies of parts of the samples add up.

    Args:
        draws: The number of draws.
        steps: The number of steps.
    """

    draws: int
    steps: int
    _moments: dict[tuple[int, int], _Moments] = field(default_factory=dict)
    _several: bool = False
    _labelled: bool = False

    def add(
        self, draw: int, step: int, trained: HostArray, random: HostArray, labels: HostArray | None = None
    ) -> None:
        """Count one batch of outputs, both `(n, classes)` in float64, and its labels `(n,)`."""
        self._several = trained.shape[1] > 1
        self._labelled = labels is not None
        found = _Moments.of(trained, random, labels)
        place = draw, step
        self._moments[place] = self._moments[place] + found if place in self._moments else found

    def change(self) -> OutputChange:
        """The change over all batches."""
        found = {name: np.full((self.draws, self.steps), np.nan) for name in OutputChange.__dataclass_fields__}
        for place, moments in self._moments.items():
            found["correlation"][place] = moments.correlation
            found["scale"][place] = moments.scale
            if self._several:
                found["agreement"][place] = moments.agreeing / moments.count
                if self._labelled:
                    found["accuracy"][place] = moments.right / moments.count
        return OutputChange(**found)
