"""What is randomized: streams, perturbations, strategies, and their application to a model."""

from agnostic_rand.weights.isolation import Isolation, isolated, resolve_isolation
from agnostic_rand.weights.perturbations import (
    GaussianNoise,
    MatchedNormal,
    MultiplicativeNoise,
    NativeInit,
    Permute,
    Perturbation,
    PoissonNoise,
    Reinitialize,
    StatisticsPolicy,
    Uniform,
)
from agnostic_rand.weights.plan import Plan, Step
from agnostic_rand.weights.randomizer import Randomizer
from agnostic_rand.weights.strategies import (
    CascadingRandomization,
    FullRandomization,
    IndependentRandomization,
    ProgressiveLayerRandomization,
    RandomizationStrategy,
)
from agnostic_rand.weights.streams import Purpose, Streams

__all__ = [
    "CascadingRandomization",
    "FullRandomization",
    "GaussianNoise",
    "IndependentRandomization",
    "Isolation",
    "MatchedNormal",
    "MultiplicativeNoise",
    "NativeInit",
    "Permute",
    "Perturbation",
    "Plan",
    "PoissonNoise",
    "ProgressiveLayerRandomization",
    "Purpose",
    "RandomizationStrategy",
    "Randomizer",
    "Reinitialize",
    "StatisticsPolicy",
    "Step",
    "Streams",
    "Uniform",
    "isolated",
    "resolve_isolation",
]
