"""The checks of the literature, each over the same engine."""

from agnostic_rand.checks.explain import explain
from agnostic_rand.checks.model_randomization import ModelRandomizationMetric

__all__ = ["ModelRandomizationMetric", "explain"]
