"""The checks of the literature, each over the same engine."""

from agnostic_rand.checks.activation_scale import ActivationScale
from agnostic_rand.checks.cosine_convergence import CosineConvergence
from agnostic_rand.checks.data_randomization import DataRandomization
from agnostic_rand.checks.faithfulness import Faithfulness, FaithfulnessResult
from agnostic_rand.checks.measure_grid import GridResult, MeasureGrid
from agnostic_rand.checks.model_decay import ModelDecay, half_depth, sensitivity_ratio
from agnostic_rand.checks.model_randomization import ModelRandomizationMetric
from agnostic_rand.checks.mprt import EfficientMPRT, SmoothMPRT
from agnostic_rand.checks.multiplier_split import MultiplierSplit
from agnostic_rand.checks.noise_to_chance import NoiseToChance
from agnostic_rand.checks.parameter_noise import ParameterNoise
from agnostic_rand.checks.random_logit import RandomLogitMetric
from agnostic_rand.checks.repeatability import Repeatability

__all__ = [
    "ActivationScale",
    "CosineConvergence",
    "DataRandomization",
    "EfficientMPRT",
    "Faithfulness",
    "FaithfulnessResult",
    "GridResult",
    "MeasureGrid",
    "ModelDecay",
    "ModelRandomizationMetric",
    "MultiplierSplit",
    "NoiseToChance",
    "ParameterNoise",
    "RandomLogitMetric",
    "Repeatability",
    "SmoothMPRT",
    "half_depth",
    "sensitivity_ratio",
]
