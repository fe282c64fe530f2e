"""Parameter noise: how fast do explanations change as the weights are disturbed more?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import special

from agnostic_rand.adapters import HostArray, Parameter
from agnostic_rand.arguments import real_number, several, whole_number
from agnostic_rand.checks._cascade import randomize_and_explain
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.similarity import resolve_measures
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import (
    CascadingRandomization,
    GaussianNoise,
    MultiplicativeNoise,
    Perturbation,
)
from agnostic_rand.weights.grouping import Grouping

Noise: TypeAlias = Literal["gaussian", "gaussian_relative", "multiplicative", "poisson"]

_DEFAULT_OPTIONS = RunOptions()
_PERTURBATIONS: dict[str, Callable[[float], Perturbation]] = {
    "gaussian": GaussianNoise,
    "gaussian_relative": lambda level: GaussianNoise(level, relative=True),
    "multiplicative": MultiplicativeNoise,
    # A level is a relative scale of noise: counts of 1 / level^2 give a weight of 1 that much noise.
    "poisson": lambda level: CoupledPoissonNoise(1 / level**2),
}

# From so large an expectation on, the expansion of the quantile is off by a count at most.
_LARGE = 1000.0


@dataclass(frozen=True)
class CoupledPoissonNoise:
    """What `PoissonNoise` draws, from one uniform number for each weight, whatever the rate.

    Rates that share a generator's state share their noise as far as counts can.

    Args:
        rate: Counts per unit of weight, above 0.
    """

    rate: float

    def __call__(self, value: HostArray, _parameter: Parameter, rng: np.random.Generator) -> HostArray:
        """The new value, shaped like `value`."""
        noisy: HostArray = np.sign(value) * poisson_quantile(rng.random(value.shape), np.abs(value) * self.rate)
        return noisy / self.rate


def poisson_quantile(uniform: HostArray, expectation: HostArray) -> HostArray:
    """The smallest count whose distribution function is at least `uniform`, shaped like the arguments.

    Above an expectation of 1000 by the Cornish-Fisher expansion, within a count of the quantile.

    Example:
        >>> poisson_quantile(np.array([0.1, 0.5, 0.9]), np.array([3.0, 3.0, 3.0]))
        array([1., 3., 5.])
    """
    normal = special.ndtri(uniform)
    large = np.round(expectation + np.sqrt(expectation) * normal + (normal * normal - 1) / 6)
    few = expectation < _LARGE
    # The distribution function is inverted where counts are few: it takes the longer the more there are.
    exact = np.ceil(special.pdtrik(np.where(few, uniform, 0.5), np.where(few, expectation, 1.0)))
    return np.maximum(np.where(few, np.where(expectation > 0, exact, 0.0), large), 0.0)


@dataclass(frozen=True)
class ParameterNoise:
    """The similarity of maps while noise is added to the weights, from the output down, at several levels.

    Score: `rho(map(x; w), map(x; w + noise))`. A score that does not fall as noise grows says that
    the map does not follow the weights; a fast fall says that it is unstable, or that the model is.

    Args:
        model: As in `ModelRandomizationMetric`, like `inputs` and `targets`.
        noise: `"gaussian_relative"` counts levels in standard deviations of each parameter, which
            makes layers comparable; `"gaussian"` is absolute (the course report's test);
            `"multiplicative"` is NoiseGrad's; `"poisson"` replaces magnitudes by scaled counts.
        levels: Above 0.
        groups: Which layers are disturbed together, as in strategies.
        draws: How often each level is drawn.
        measures: How maps are compared.
        options: How the model is run.

    A draw's noise is the same at every level but for its size, so that a fall is the level's. Poisson
    counts are whole numbers, and their noise is the same as far as these can be: it comes from one
    uniform number for each weight by the inverse distribution function.

    Raises:
        ArgumentError: The noise is not known, there is no level, or one is not above 0.

    Source: additive noise in a cascade after a course report on the paper; Bykov et al. 2022 (NoiseGrad).
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    noise: Noise = "gaussian_relative"
    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5, 1.0)
    groups: Grouping = None
    draws: int = 1
    measures: tuple[str, ...] = ("spearman", "spearman_abs")
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        if self.noise not in _PERTURBATIONS:
            raise ArgumentError(
                "noise",
                expected=" or ".join(map(repr, _PERTURBATIONS)),
                received=repr(self.noise),
                fix="Leave it out for noise relative to each parameter's own scale.",
            )
        for level in several("levels", self.levels, example="(0.1, 0.3, 1.0)"):
            real_number("levels", level, least=0, example=0.1, above=True)
        whole_number("draws", self.draws, least=1, example=3)

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The scores by level, draw, step of the cascade, and sample.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        resolved = self.options.explainer(explainer)
        results: list[RandomizationResult] = []
        for level in self.levels:
            strategy = CascadingRandomization(perturbation=_PERTURBATIONS[self.noise](level), groups=self.groups)
            results += randomize_and_explain(
                subject, [resolved], strategy, draws=self.draws, measures=resolve_measures(self.measures)
            )
        first = results[0]
        scores = {name: np.stack([result.scores[name] for result in results]) for name in first.scores}
        draws, _, samples = next(iter(first.scores.values())).shape
        return CheckResult(
            check="parameter_noise",
            explainer=first.explainer,
            dimensions={
                "level": self.levels,
                "draw": tuple(range(draws)),
                "step": tuple(step.name for step in first.steps),
                "sample": tuple(range(samples)),
            },
            scores=scores,
            meaning="a score that stays high as noise grows says that the map does not follow the weights",
            seed=first.seed,
            settings={
                **first.settings,
                "noise": self.noise,
                "strategy": f"top down, {self.noise} noise",
                "output_correlation": [_mean(r.outputs.correlation).tolist() for r in results],
                "output_agreement": [_mean(r.outputs.agreement).tolist() for r in results],
            },
            versions=first.versions,
            findings=tuple(dict.fromkeys(finding for result in results for finding in result.findings)),
        )


def _mean(values: HostArray) -> HostArray:
    """Over draws, `(steps,)`; NaN where none is defined."""
    defined = np.isfinite(values)
    totals = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), totals / np.maximum(defined.sum(axis=0), 1), np.nan)
