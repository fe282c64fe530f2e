"""Parameter noise: how fast do explanations change as the weights are disturbed more?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from agnostic_rand.adapters import HostArray, Parameter
from agnostic_rand.arguments import real_number, several, whole_number
from agnostic_rand.checks._walks import scores_of
from agnostic_rand.checks.check import PassCheck
from agnostic_rand.checks.measures import fitting_measures
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.needs import Found, Needs, Walk
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MeasureLikes, resolve_measures
from agnostic_rand.statistics import defined_mean
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import CascadingRandomization, GaussianNoise, MultiplicativeNoise, Perturbation
from agnostic_rand.weights.grouping import Grouping

Noise: TypeAlias = Literal["gaussian", "gaussian_relative", "multiplicative", "poisson"]

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
    # SciPy takes longer to import than this library: not before it is needed.
    from scipy import special

    normal = special.ndtri(uniform)
    large = np.round(expectation + np.sqrt(expectation) * normal + (normal * normal - 1) / 6)
    few = expectation < _LARGE
    # The distribution function is inverted where counts are few: it takes the longer the more there are.
    exact = np.ceil(special.pdtrik(np.where(few, uniform, 0.5), np.where(few, expectation, 1.0)))
    return np.maximum(np.where(few, np.where(expectation > 0, exact, 0.0), large), 0.0)


@dataclass(frozen=True)
class ParameterNoise(PassCheck):
    """The similarity of maps while noise is added to the weights, from the output down, at several levels.

    Score: `rho(map(x; w), map(x; w + noise))`. A score that does not fall as noise grows says that
    the map does not follow the weights; a fast fall says that it is unstable, or that the model is.

    A draw's noise is the same at every level but for its size, so that a fall is the level's. Poisson
    counts are whole numbers, and their noise is the same as far as these can be: it comes from one
    uniform number for each weight by the inverse distribution function.

    Args:
        noise: `"gaussian_relative"` counts levels in standard deviations of each parameter, which
            makes layers comparable; `"gaussian"` is absolute (the course report's test);
            `"multiplicative"` is NoiseGrad's; `"poisson"` replaces magnitudes by scaled counts.
        levels: Above 0.
        groups: Which layers are disturbed together, as in strategies.
        draws: How often each level is drawn.
        measures: How maps are compared.

    Raises:
        ArgumentError: The noise is not known, there is no level, or one is not above 0.

    Source: additive noise in a cascade after a course report on the paper; Bykov et al. 2022 (NoiseGrad).
    """

    name: ClassVar[str] = "parameter_noise"
    question: ClassVar[str] = "How fast do explanations change as the weights are disturbed more?"
    meaning: ClassVar[str] = "a score that stays high as noise grows says that the map does not follow the weights"
    cannot_say: ClassVar[str] = "whether the map or the model is unstable"

    noise: Noise = "gaussian_relative"
    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5, 1.0)
    groups: Grouping = None
    draws: int = 1
    measures: MeasureLikes = ("spearman", "spearman_abs")

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
        CascadingRandomization(groups=self.groups)
        whole_number("draws", self.draws, least=1, example=3)
        resolve_measures(self.measures)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """A cascade at each level; see `PassCheck.needs`."""
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        made = _PERTURBATIONS[self.noise]
        cascades = (CascadingRandomization(perturbation=made(level), groups=self.groups) for level in self.levels)
        return Needs(tuple(Walk(one, self.draws, tuple(explainers), measures) for one in cascades))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores by level, draw, step of the cascade, and sample; see `PassCheck.read`."""
        _, left_out = fitting_measures(self.measures, subject.samples.inputs)
        by_level = [
            scores_of(self.name, self.meaning, subject, walk, record, left_out)
            for walk, record in zip(self.needs(subject, explainers).walks, found.walks, strict=True)
        ]
        return tuple(map(self._read, zip(*by_level, strict=True)))

    def _read(self, results: Sequence[Scores]) -> Scores:
        first = results[0]
        findings = tuple(dict.fromkeys(one for result in results for one in result.findings))
        moved = [result.outputs for result in results if result.outputs is not None]
        return replace(
            first,
            dimensions={"level": tuple(self.levels), **first.dimensions},
            scores={name: np.stack([result.scores[name] for result in results]) for name in first.scores},
            notes={first.explainer: Notes(findings, first.self_similarity)},
            settings={
                **first.settings,
                "noise": self.noise,
                "strategy": f"top down, {self.noise} noise",
                "output_correlation": [defined_mean(one.correlation, 0).tolist() for one in moved],
                "output_agreement": [defined_mean(one.agreement, 0).tolist() for one in moved],
            },
            outputs=None,
        )
