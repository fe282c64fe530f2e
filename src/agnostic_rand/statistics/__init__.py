"""Statistics of scores: with how much certainty they are known, against which floor, and what follows."""

from agnostic_rand.statistics.contrasts import Contrasts, contrast, known_contrasts
from agnostic_rand.statistics.decisions import Outcome
from agnostic_rand.statistics.defined import defined_mean
from agnostic_rand.statistics.floors import Floors, FloorScores, measure_floors
from agnostic_rand.statistics.holm import holm_levels
from agnostic_rand.statistics.informative import DEFAULT_GAIN, Information, Informative, judge_information
from agnostic_rand.statistics.random_effects import MeanEstimate, estimate_mean
from agnostic_rand.statistics.reasons import REPEATED
from agnostic_rand.statistics.resilience import rank_resilience
from agnostic_rand.statistics.verdict import DEFAULT_MARGIN, Verdict, judge, judge_step

__all__ = [
    "DEFAULT_GAIN",
    "DEFAULT_MARGIN",
    "REPEATED",
    "Contrasts",
    "FloorScores",
    "Floors",
    "Information",
    "Informative",
    "MeanEstimate",
    "Outcome",
    "Verdict",
    "contrast",
    "defined_mean",
    "estimate_mean",
    "holm_levels",
    "judge",
    "judge_information",
    "judge_step",
    "known_contrasts",
    "measure_floors",
    "rank_resilience",
]
