"""Weights and their randomization: streams, perturbations, strategies, and their application to a model."""

from agnostic_rand.weights.isolation import (
    Isolation,
    independent_copy,
    isolated,
    refuse_randomized,
    resolve_isolation,
)
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
from agnostic_rand.weights.randomizer import Randomizer, randomizing
from agnostic_rand.weights.strategies import (
    CascadingRandomization,
    FullRandomization,
    IndependentRandomization,
    ProgressiveLayerRandomization,
    StrategyLike,
    resolve_strategy,
)
from agnostic_rand.weights.strategy import ModelRandomizationStrategy
from agnostic_rand.weights.streams import Purpose, Streams

__all__ = [
    "CascadingRandomization",
    "FullRandomization",
    "GaussianNoise",
    "IndependentRandomization",
    "Isolation",
    "MatchedNormal",
    "ModelRandomizationStrategy",
    "MultiplicativeNoise",
    "NativeInit",
    "Permute",
    "Perturbation",
    "Plan",
    "PoissonNoise",
    "ProgressiveLayerRandomization",
    "Purpose",
    "Randomizer",
    "Reinitialize",
    "StatisticsPolicy",
    "Step",
    "StrategyLike",
    "Streams",
    "Uniform",
    "independent_copy",
    "isolated",
    "randomizing",
    "refuse_randomized",
    "resolve_isolation",
    "resolve_strategy",
    "unused_parameters",
]
