"""Contrasts of a score with its floors, sample by sample: the interval knows how well the floors are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError
from agnostic_rand.statistics.floors import Floors, FloorScores
from agnostic_rand.statistics.random_effects import MeanEstimate, estimate_mean


@dataclass(frozen=True)
class Contrasts:
    """One explainer's score against each floor, and how far the ceiling is above it.

    Args:
        score: The mean score.
        floors: The mean floors and the ceiling.
        excess: By floor, the score minus the place `share` of the way from it to the ceiling.
        room: By floor, the ceiling minus the floor.
        share: 0 at the floor, 1 at the ceiling.
        unchanged: Whether every map of every random model is the trained model's.
    """

    score: MeanEstimate
    floors: Floors
    excess: Mapping[str, MeanEstimate]
    room: Mapping[str, MeanEstimate]
    share: float = 0.0
    unchanged: bool = False

    def limit(self, floor: str) -> float:
        """The place to which `excess` is the distance."""
        value: float = getattr(self.floors, floor)
        return value + self.share * (self.floors.ceiling - value) if self.share else value

    @property
    def highest(self) -> str | None:
        """The name of the floor that the score must be above; `None` where no floor is known."""
        return min(self.excess, key=lambda name: self.excess[name].mean) if self.excess else None


def contrast(scores: HostArray, floors: FloorScores, *, share: float = 0.0, unchanged: bool = False) -> Contrasts:
    """The contrasts of scores with floors that were estimated from the first of the same samples.

    A sample's map takes part in its score, in its ceiling and in all pairs of the floor of other
    images, so that the three vary together. Each is written as one value for each sample whose
    mean is the estimate and whose spread is the estimate's: for the mean over pairs, which is a
    U-statistic, the mean plus twice a sample's deviation from it (its Hájek projection, here of few
    pairs of each sample, which makes the interval wider rather than narrower).

    Args:
        scores: `(draws, n)`; NaN where undefined.
        floors: Over the first `k <= n` samples.
        share: How far from the floor to the ceiling the score is compared with.
        unchanged: Whether every map of every random model is the trained model's.

    Raises:
        ArgumentError: The scores are distances.

    Source: Hoeffding 1948 (U-statistics); Hájek 1968.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> floors = FloorScores(rng.normal(0.2, 0.1, 40), np.zeros((3, 40)), np.zeros((3, 40)), np.ones(40))
        >>> found = contrast(rng.normal(0.5, 0.1, (3, 40)), floors)
        >>> abs(found.excess["cross_image"].mean - 0.3) < 0.05
        True
    """
    known = known_contrasts(estimate_mean(scores), floors.means, share=share)
    count, kept = scores.shape[1], floors.ceiling.shape[0]
    ceiling = floors.ceiling[None]
    rows = {"cross_image": (floors.cross_image[None], 2.0), "shuffled": (floors.shuffled, 1.0)}
    excess, room = {}, {}
    for name in known.excess:
        floor, weight = rows[name]
        limit = _spread_over(floor, count, weight)
        if share:
            limit = limit + share * (_spread_over(ceiling, count) - limit)
        excess[name] = _known_to(scores - limit, kept, known.excess[name].mean)
        room[name] = _known_to(ceiling - _spread_over(floor, kept, weight), kept, known.room[name].mean)
    return replace(known, excess=excess, room=room, unchanged=unchanged)


def known_contrasts(score: MeanEstimate, floors: Floors, *, share: float = 0.0) -> Contrasts:
    """The contrasts of a score with floors and a ceiling that are known without error.

    Args:
        score: The mean score.
        floors: The floors.
        share: How far from the floor to the ceiling the score is compared with.

    Raises:
        ArgumentError: The scores are distances.

    Example:
        >>> known_contrasts(MeanEstimate(0.9, 0.01, 100), Floors(0.1, 0.0, 0.0, 1.0)).excess["cross_image"].mean
        0.8
    """
    _refuse_distances(floors)
    names = [name for name in ("cross_image", "shuffled") if math.isfinite(getattr(floors, name))]
    found = Contrasts(score, floors, {}, {}, share)
    excess = {name: replace(score, mean=score.mean - found.limit(name)) for name in names}
    known = MeanEstimate(0.0, 0.0 if math.isfinite(floors.ceiling) else math.nan, math.inf)
    room = {name: replace(known, mean=floors.ceiling - getattr(floors, name)) for name in names}
    return replace(found, excess=excess, room=room)


def _spread_over(reference: HostArray, count: int, weight: float = 1.0) -> HostArray:
    """Values `(rows, count)` with each row's mean, whose sample variance is that of the mean times `count`.

    The rows of `reference` know the first samples only: their deviations count for all others.
    """
    defined = np.isfinite(reference)
    number = defined.sum(axis=1, keepdims=True)
    totals = np.where(defined, reference, 0.0).sum(axis=1, keepdims=True)
    means = np.where(number > 0, totals / np.maximum(number, 1), np.nan)
    deviations = np.where(defined, reference - means, 0.0) * weight * count / np.maximum(number, 1)
    spread: HostArray = means + np.pad(deviations, ((0, 0), (0, count - reference.shape[1])))
    return spread


def _known_to(values: HostArray, samples: int, mean: float) -> MeanEstimate:
    """The estimate of a mean, with the uncertainty of `values` and the degrees of freedom that `samples` give."""
    found = estimate_mean(values)
    most = samples - 1
    parts = tuple((share, df if row == 0 else min(df, most)) for row, (share, df) in enumerate(found.parts))
    return replace(found, mean=mean, degrees_of_freedom=min(found.degrees_of_freedom, most), parts=parts)


def _refuse_distances(floors: Floors) -> None:
    if floors.distance:
        raise ArgumentError(
            "floors",
            expected="those of a similarity",
            received="those of a distance, whose larger scores mean less alike",
            fix="Judge the scores of a similarity such as 'spearman'.",
        )
