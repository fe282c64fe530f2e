"""Does this explanation depend on what the model learned?

`agnostic_rand` randomizes a model's weights, explains again, and scores how much of the explanation
survived, for any model in any framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from agnostic_rand import adapters, errors, explainers, similarity
    from agnostic_rand.adapters import BackendInfo, adapt, backends
    from agnostic_rand.checks import (
        ActivationScale,
        CosineConvergence,
        DataRandomization,
        EfficientMPRT,
        Faithfulness,
        MeasureGrid,
        ModelDecay,
        ModelRandomizationMetric,
        MultiplierSplit,
        NoiseToChance,
        ParameterNoise,
        RandomLogitMetric,
        Repeatability,
        SmoothMPRT,
        sensitivity_ratio,
    )
    from agnostic_rand.checks._training import TrainingOptions
    from agnostic_rand.errors import AgnosticRandError
    from agnostic_rand.passes.explain import explain
    from agnostic_rand.results.check_result import CheckResult
    from agnostic_rand.results.randomization_result import RandomizationResult
    from agnostic_rand.sanity.sanity_check import sanity_check
    from agnostic_rand.sanity.sanity_report import SanityReport
    from agnostic_rand.similarity import Measure
    from agnostic_rand.subject.progress import Progress
    from agnostic_rand.subject.subject import RunOptions
    from agnostic_rand.weights import (
        CascadingRandomization,
        FullRandomization,
        GaussianNoise,
        IndependentRandomization,
        MatchedNormal,
        ModelRandomizationStrategy,
        MultiplicativeNoise,
        NativeInit,
        Permute,
        PoissonNoise,
        ProgressiveLayerRandomization,
        Reinitialize,
        Uniform,
    )
    from agnostic_rand_jax import jax_model

_PLUGIN_HOMES = {"jax_model": "agnostic_rand_jax"}
_SUBMODULES = ("adapters", "errors", "explainers", "similarity", "testing")
_HOMES = {
    "sanity_check": "sanity.sanity_check",
    "TrainingOptions": "checks._training",
    "SanityReport": "sanity.sanity_report",
    "CheckResult": "results.check_result",
    "SmoothMPRT": "checks",
    "CosineConvergence": "checks",
    "MeasureGrid": "checks",
    "ModelDecay": "checks",
    "MultiplierSplit": "checks",
    "NoiseToChance": "checks",
    "sensitivity_ratio": "checks",
    "RunOptions": "subject.subject",
    "Repeatability": "checks",
    "RandomLogitMetric": "checks",
    "ParameterNoise": "checks",
    "Faithfulness": "checks",
    "EfficientMPRT": "checks",
    "DataRandomization": "checks",
    "ActivationScale": "checks",
    "AgnosticRandError": "errors",
    "BackendInfo": "adapters",
    "CascadingRandomization": "weights",
    "FullRandomization": "weights",
    "GaussianNoise": "weights",
    "IndependentRandomization": "weights",
    "MatchedNormal": "weights",
    "Measure": "similarity",
    "ModelRandomizationMetric": "checks",
    "ModelRandomizationStrategy": "weights",
    "MultiplicativeNoise": "weights",
    "NativeInit": "weights",
    "Permute": "weights",
    "PoissonNoise": "weights",
    "Progress": "subject.progress",
    "ProgressiveLayerRandomization": "weights",
    "RandomizationResult": "results.randomization_result",
    "Reinitialize": "weights",
    "Uniform": "weights",
    "adapt": "adapters",
    "backends": "adapters",
    "explain": "passes.explain",
}

__all__ = [
    "ActivationScale",
    "AgnosticRandError",
    "BackendInfo",
    "CascadingRandomization",
    "CheckResult",
    "CosineConvergence",
    "DataRandomization",
    "EfficientMPRT",
    "Faithfulness",
    "FullRandomization",
    "GaussianNoise",
    "IndependentRandomization",
    "MatchedNormal",
    "Measure",
    "MeasureGrid",
    "ModelDecay",
    "ModelRandomizationMetric",
    "ModelRandomizationStrategy",
    "MultiplicativeNoise",
    "MultiplierSplit",
    "NativeInit",
    "NoiseToChance",
    "ParameterNoise",
    "Permute",
    "PoissonNoise",
    "Progress",
    "ProgressiveLayerRandomization",
    "RandomLogitMetric",
    "RandomizationResult",
    "Reinitialize",
    "Repeatability",
    "RunOptions",
    "SanityReport",
    "SmoothMPRT",
    "TrainingOptions",
    "Uniform",
    "__version__",
    "adapt",
    "adapters",
    "backends",
    "errors",
    "explain",
    "explainers",
    "jax_model",
    "sanity_check",
    "sensitivity_ratio",
    "similarity",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"agnostic_rand.{name}")
    if name in _PLUGIN_HOMES:
        value = getattr(importlib.import_module(_PLUGIN_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _HOMES:
        value = getattr(importlib.import_module(f"agnostic_rand.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'agnostic_rand' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
