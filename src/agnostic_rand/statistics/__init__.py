"""With how much certainty a score is known, against which floor, and what follows."""

from agnostic_rand.statistics.floors import Floors, measure_floors
from agnostic_rand.statistics.random_effects import MeanEstimate, estimate_mean
from agnostic_rand.statistics.verdict import DEFAULT_MARGIN, Outcome, Verdict, holm_levels, judge

__all__ = [
    "DEFAULT_MARGIN",
    "Floors",
    "MeanEstimate",
    "Outcome",
    "Verdict",
    "estimate_mean",
    "holm_levels",
    "judge",
    "measure_floors",
]
