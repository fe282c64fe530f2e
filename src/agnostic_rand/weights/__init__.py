"""What is randomized: streams, perturbations, strategies, and their application to a model."""

from agnostic_rand.weights.isolation import Isolation, independent_copy, isolated, resolve_isolation
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
from agnostic_rand.weights.plan import Plan, Step, unused_parameters
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
    "independent_copy",
    "isolated",
    "resolve_isolation",
    "unused_parameters",
]
