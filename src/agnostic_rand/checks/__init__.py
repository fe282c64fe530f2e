"""Checks of the literature, each in a file of its own."""

from agnostic_rand.checks.check import CHECKS, Check
from agnostic_rand.checks.cosine_convergence import CosineConvergence
from agnostic_rand.checks.data_randomization import DataRandomization
from agnostic_rand.checks.faithfulness import Faithfulness
from agnostic_rand.checks.generalized_faithfulness import GeneralizedFaithfulness
from agnostic_rand.checks.input_multiplier import InputMultiplier
from agnostic_rand.checks.model_decay import ModelDecay, half_depth, sensitivity_ratio
from agnostic_rand.checks.model_randomization import ModelRandomization, ModelRandomizationMetric
from agnostic_rand.checks.mprt import EfficientMPRT, SmoothMPRT
from agnostic_rand.checks.parameter_noise import ParameterNoise
from agnostic_rand.checks.random_logit import RandomLogit, RandomLogitMetric
from agnostic_rand.checks.rank_resilience import RankResilience
from agnostic_rand.checks.repeatability import Repeatability
from agnostic_rand.checks.scale_preservation import ScalePreservation

__all__ = [
    "CHECKS",
    "Check",
    "CosineConvergence",
    "DataRandomization",
    "EfficientMPRT",
    "Faithfulness",
    "GeneralizedFaithfulness",
    "InputMultiplier",
    "ModelDecay",
    "ModelRandomization",
    "ModelRandomizationMetric",
    "ParameterNoise",
    "RandomLogit",
    "RandomLogitMetric",
    "RankResilience",
    "Repeatability",
    "ScalePreservation",
    "SmoothMPRT",
    "half_depth",
    "sensitivity_ratio",
]
