"""The interval of a mean over samples and draws, both of which vary: two-way random effects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError


@dataclass(frozen=True)
class MeanEstimate:
    """A mean and how well it is known.

    Args:
        mean: Over all defined scores; NaN where there is none.
        standard_error: Of the mean, draws and samples both counted as random; NaN where unknown.
        degrees_of_freedom: Satterthwaite's, of Student's distribution of the mean.
    """

    mean: float
    standard_error: float
    degrees_of_freedom: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval that covers the true mean with probability `level`; NaN where unknown."""
        if not 0 < level < 1:
            raise ArgumentError(
                "level", expected="a number in (0, 1)", received=repr(level), fix="Pass level=0.95."
            )
        if math.isnan(self.standard_error):
            return math.nan, math.nan
        reach = float(stats.t.ppf(0.5 + level / 2, self.degrees_of_freedom)) * self.standard_error
        return self.mean - reach, self.mean + reach

    def probability_above(self, value: float) -> float:
        """The one-sided p-value of "the mean is at most `value`"; 1 where unknown."""
        if math.isnan(self.standard_error):
            return 1.0
        if self.standard_error == 0:
            return 0.0 if self.mean > value else 1.0
        distance = (self.mean - value) / self.standard_error
        return float(stats.t.sf(distance, self.degrees_of_freedom))


def estimate_mean(scores: HostArray) -> MeanEstimate:
    """The mean of scores `(draws, samples)`, draws and samples both random and crossed.

    The variance of the mean is that of a two-way random-effects model without replication,
    `(MS_draws + MS_samples - MS_error) / (draws * samples)`, with Satterthwaite's degrees of
    freedom. It covers better than a crossed bootstrap where draws are few. Samples without a score
    in some draw are left out of the variance; with a single draw it speaks of samples alone.

    Args:
        scores: NaN where undefined.

    Source: Satterthwaite 1946; Searle, Casella & McCulloch 1992, section 4.

    Example:
        >>> scores = np.random.default_rng(0).normal(0.5, 0.1, (5, 200))
        >>> low, high = estimate_mean(scores).interval()
        >>> 0.48 < low < 0.5 < high < 0.52
        True
    """
    defined = np.isfinite(scores)
    if not defined.any():
        return MeanEstimate(math.nan, math.nan, math.nan)
    mean = float(scores[defined].mean())
    complete = scores[:, defined.all(axis=0)]
    draws, samples = complete.shape
    if samples < 2:
        return MeanEstimate(mean, math.nan, math.nan)
    by_sample = complete.mean(axis=0)
    if draws == 1:
        return MeanEstimate(mean, float(by_sample.std(ddof=1) / math.sqrt(samples)), samples - 1)
    by_draw = complete.mean(axis=1)
    centre = complete.mean()
    rest = complete - by_sample[None] - by_draw[:, None] + centre
    square_draws = samples * float(by_draw.var(ddof=1))
    square_samples = draws * float(by_sample.var(ddof=1))
    square_rest = float((rest**2).sum() / ((draws - 1) * (samples - 1)))
    return _combined(mean, square_draws, square_samples, square_rest, draws, samples)


def _combined(
    mean: float, square_draws: float, square_samples: float, square_rest: float, draws: int, samples: int
) -> MeanEstimate:
    total = square_draws + square_samples - square_rest
    # Chance can make the sum smaller than either part that it estimates from above.
    total = max(total, square_draws, square_samples)
    if total == 0:
        return MeanEstimate(mean, 0.0, draws * samples - 1)
    spread = (
        square_draws**2 / (draws - 1)
        + square_samples**2 / (samples - 1)
        + square_rest**2 / ((draws - 1) * (samples - 1))
    )
    return MeanEstimate(mean, math.sqrt(total / (draws * samples)), max(1.0, total**2 / spread))
