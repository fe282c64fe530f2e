"""With how much certainty a score is known, against which floor, and what follows."""

from agnostic_rand.statistics.floors import Floors, measure_floors
from agnostic_rand.statistics.informative import Information, Informative, judge_information
from agnostic_rand.statistics.random_effects import MeanEstimate, estimate_mean
from agnostic_rand.statistics.resilience import rank_resilience
from agnostic_rand.statistics.verdict import DEFAULT_MARGIN, Outcome, Verdict, holm_levels, judge, judge_step

__all__ = [
    "DEFAULT_MARGIN",
    "Floors",
    "Information",
    "Informative",
    "MeanEstimate",
    "Outcome",
    "Verdict",
    "estimate_mean",
    "holm_levels",
    "judge",
    "judge_information",
    "judge_step",
    "measure_floors",
    "rank_resilience",
]
