"""The checks of the literature, each over the same engine."""

from agnostic_rand.checks.activation_scale import ActivationScale
from agnostic_rand.checks.data_randomization import DataRandomization
from agnostic_rand.checks.explain import explain
from agnostic_rand.checks.faithfulness import Faithfulness
from agnostic_rand.checks.model_randomization import ModelRandomizationMetric
from agnostic_rand.checks.mprt import EfficientMPRT, SmoothMPRT
from agnostic_rand.checks.parameter_noise import ParameterNoise
from agnostic_rand.checks.random_logit import RandomLogitMetric
from agnostic_rand.checks.repeatability import Repeatability
from agnostic_rand.checks.subject import RunOptions

__all__ = [
    "ActivationScale",
    "DataRandomization",
    "EfficientMPRT",
    "Faithfulness",
    "ModelRandomizationMetric",
    "ParameterNoise",
    "RandomLogitMetric",
    "Repeatability",
    "RunOptions",
    "SmoothMPRT",
    "explain",
]
