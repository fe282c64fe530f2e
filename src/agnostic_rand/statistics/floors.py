"""Floors and ceiling: what a similarity scores where nothing is shared, and where everything is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray

_MOST_PIXELS = 2**24
"""How many pixels are compared at most for the floor of other images, beyond the few partners of each map."""

_PARTNERS = 4
"""With how many others, each way, a map's own score of the floor is taken. With all of them the score's spread
vanishes as the floor does, and the interval is narrowest where the floor comes out too low: a family then errs in
up to 15 % of runs where 5 % are allowed (`tests/checks/test_verdicts.py`), with four in less than 4 %."""

_LEAST_SPAN = 0.05


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

    @property
    def span(self) -> float:
        """The ceiling minus the floor; NaN where they are less than 0.05 apart, or the wrong way round."""
        span = self.ceiling - self.floor
        return span if (-span if self.distance else span) >= _LEAST_SPAN else float("nan")

    def normalized(self, score: float) -> float:
        """The score's place between floor (0) and ceiling (1); NaN where they are not apart."""
        return (score - self.floor) / self.span


@dataclass(frozen=True, eq=False)
class FloorScores:
    """The scores behind the floors, sample by sample, over the first samples of a run; NaN where undefined.

    Args:
        cross_image: `(k,)`, of each sample the mean score of its map with a few other samples' maps,
            all moved so that their mean is that over all pairs.
        shuffled: `(draws, k)`.
        between_draws: `(pairs of draws, k)`.
        ceiling: `(k,)`.
        distance: Whether larger scores mean less alike.
    """

    cross_image: HostArray
    shuffled: HostArray
    between_draws: HostArray
    ceiling: HostArray
    distance: bool = False

    @property
    def means(self) -> Floors:
        """The means over samples and draws."""
        return Floors(
            cross_image=_mean(self.cross_image),
            shuffled=_mean(self.shuffled),
            between_draws=_mean(self.between_draws),
            ceiling=_mean(self.ceiling),
            distance=self.distance,
        )


def measure_floors(
    prepare: Callable[[HostArray], Any],
    compare: Callable[[Any, HostArray], HostArray],
    trained: HostArray,
    random: Sequence[HostArray],
    ceiling: HostArray,
    rng: np.random.Generator,
) -> FloorScores:
    """The floors of one measure from maps that a run kept.

    Every two maps of different inputs are compared; of maps so large that this would take longer
    than the run, each with some others.

    Args:
        prepare: The measure's first half.
        compare: The measure's second half, symmetric in its two maps.
        trained: Maps of the trained model `(k, ...)`, in the measure's form.
        random: For each draw, maps of the random model for the same inputs.
        ceiling: The scores of the trained model explained twice `(k,)`.
        rng: Draws orders of pixels.

    Source: Arun et al. 2021 for the floor of other images.
    """
    prepared = prepare(trained)
    shuffled = np.stack([_float64(compare(prepared, _shuffled(maps, rng))) for maps in random])
    pairs = [(i, j) for i in range(len(random)) for j in range(i + 1, len(random))]
    between = [_float64(compare(prepare(random[i]), random[j])) for i, j in pairs]
    return FloorScores(
        _with_others(compare, prepared, trained),
        shuffled,
        np.stack(between) if between else np.empty((0, len(trained))),
        _float64(ceiling),
    )


def _with_others(compare: Callable[[Any, HostArray], HostArray], prepared: Any, maps: HostArray) -> HostArray:
    """Of each map, the mean score with a few others, all moved so that their mean is that over all pairs."""
    half = len(maps) // 2
    few = _evenly(np.arange(1, half + 1), _PARTNERS)
    others = np.setdiff1d(np.arange(1, half + 1), few)
    others = _evenly(others, max(_MOST_PIXELS // maps.size - len(few), 0))
    totals, counts = _paired(compare, prepared, maps, few)
    more, more_counts = _paired(compare, prepared, maps, others)
    own = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    pairs = (counts + more_counts).sum()
    return own if pairs == 0 else own - _mean(own) + (totals + more).sum() / pairs


def _paired(
    compare: Callable[[Any, HostArray], HostArray], prepared: Any, maps: HostArray, shifts: HostArray
) -> tuple[HostArray, HostArray]:
    """Of each map, the sum of its defined scores with those `shifts` places on, and their number."""
    count = len(maps)
    totals, counts = np.zeros(count), np.zeros(count)
    for shift in shifts:
        scores = _float64(compare(prepared, np.roll(maps, -shift, axis=0)))
        # A shift by half of all meets every pair twice.
        first = np.arange(count // 2 if 2 * shift == count else count)
        first = first[np.isfinite(scores[first])]
        for rows in (first, (first + shift) % count):
            totals[rows] += scores[first]
            counts[rows] += 1
    return totals, counts


def _evenly(values: HostArray, most: int) -> HostArray:
    """At most so many of the values, spread over all of them."""
    if len(values) <= most:
        return values
    places = np.linspace(0, len(values) - 1, most).round().astype(int)
    chosen: HostArray = values[places]
    return chosen


def _shuffled(maps: HostArray, rng: np.random.Generator) -> HostArray:
    rows = maps.reshape(maps.shape[0], -1)
    return rng.permuted(rows, axis=1).reshape(maps.shape)


def _float64(scores: HostArray) -> HostArray:
    return np.asarray(scores, dtype=np.float64)


def _mean(scores: HostArray) -> float:
    defined = scores[np.isfinite(scores)]
    return float(defined.mean()) if defined.size else float("nan")
