"""What a similarity scores where nothing is shared, and where everything is: floors and ceiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray


@dataclass(frozen=True)
class Floors:
    """Reference scores of one explainer and one measure, each a mean over samples; NaN where undefined.

    Args:
        cross_image: Maps of the trained model for different inputs (Arun et al. 2021).
        shuffled: The trained map with a random model's map whose pixels are shuffled: noise with
            the map's own distribution.
        between_draws: Maps of two random models for the same input: what the input alone brings.
            NaN with a single draw.
        ceiling: The trained model explained twice.
        distance: Whether larger scores mean less alike.
    """

    cross_image: float
    shuffled: float
    between_draws: float
    ceiling: float
    distance: bool = False

    @property
    def floor(self) -> float:
        """What a verdict compares with: of the two floors that owe nothing to the input, the nearer to likeness."""
        known = [value for value in (self.cross_image, self.shuffled) if np.isfinite(value)]
        if not known:
            return float("nan")
        return min(known) if self.distance else max(known)

    def normalized(self, score: float) -> float:
        """The score's place between floor (0) and ceiling (1); NaN where they are not apart."""
        span = self.ceiling - self.floor
        return (score - self.floor) / span if (span < 0 if self.distance else span > 0) else float("nan")


def measure_floors(
    prepare: Callable[[HostArray], Any],
    compare: Callable[[Any, HostArray], HostArray],
    trained: HostArray,
    random: Sequence[HostArray],
    ceiling: float,
    rng: np.random.Generator,
) -> Floors:
    """The floors of one measure from maps that a run kept.

    Args:
        prepare: The measure's first half.
        compare: The measure's second half.
        trained: Maps of the trained model `(n, ...)`, in the measure's form.
        random: For each draw, maps of the random model for the same inputs.
        ceiling: The score of the trained model explained twice.
        rng: Draws pairs and orders of pixels.
    """
    prepared = prepare(trained)
    count = trained.shape[0]
    cross = float("nan")
    if count > 1:
        # A shift by a random amount pairs every map with another one's.
        shift = int(rng.integers(1, count))
        cross = _mean(compare(prepared, np.roll(trained, shift, axis=0)))
    shuffled = _mean(np.stack([compare(prepared, _shuffled(maps, rng)) for maps in random]))
    between = [
        compare(prepare(random[i]), random[j]) for i in range(len(random)) for j in range(i + 1, len(random))
    ]
    return Floors(cross, shuffled, _mean(np.stack(between)) if between else float("nan"), ceiling)


def _shuffled(maps: HostArray, rng: np.random.Generator) -> HostArray:
    rows = maps.reshape(maps.shape[0], -1)
    return rng.permuted(rows, axis=1).reshape(maps.shape)


def _mean(scores: HostArray) -> float:
    defined = scores[np.isfinite(scores)]
    return float(defined.mean()) if defined.size else float("nan")
