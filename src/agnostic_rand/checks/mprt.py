"""Two variants of the model parameter randomization test (MPRT) of Hedström et al. 2024."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.arguments import real_number, several, whole_number
from agnostic_rand.checks._cascade import randomize_and_explain
from agnostic_rand.explainers import ExplainerLike, SmoothGrad
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.similarity import MapForm, Measure, resolve_measures
from agnostic_rand.similarity.rows import on_host
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
    Perturbation,
    StrategyLike,
    resolve_strategy,
)

_DEFAULT_OPTIONS = RunOptions()
_BOTTOM_UP = CascadingRandomization(order="bottom_up")


@dataclass(frozen=True)
class SmoothMPRT:
    """The cascade of maps that are averaged over noisy inputs, which takes out the gradient's shattering.

    Score: `rho(mean_i map(x + noise_i; trained), mean_i map(x + noise_i; random))`. It cannot tell
    a method from its smoothed version.

    Args:
        model: As in `ModelRandomizationMetric`, like `inputs` and `targets`.
        samples: The number of noisy inputs.
        noise: The noise's standard deviation, as a share of each input's range.
        strategy: A strategy, or the order of a cascade; by default bottom up, as in the paper.
        draws: How often each step is drawn.
        measures: How maps are compared.
        options: How the model is run.

    Raises:
        ArgumentError: An argument is out of range, or `strategy` is none.

    Source: Hedström et al. 2024 (Sanity Checks Revisited), section 4.1.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    samples: int = 50
    noise: float = 0.1
    strategy: StrategyLike = _BOTTOM_UP
    draws: int = 1
    measures: tuple[str, ...] = ("spearman", "spearman_abs")
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        whole_number("samples", self.samples, least=1, example=50)
        real_number("noise", self.noise, least=0, example=0.1)
        resolve_strategy(self.strategy)
        whole_number("draws", self.draws, least=1, example=3)

    def run(self, explainer: ExplainerLike) -> RandomizationResult:
        """The scores of the smoothed explainer over the cascade.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        smoothed = SmoothGrad(self.options.explainer(explainer), self.samples, self.noise)
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        measures = resolve_measures(self.measures)
        strategy = resolve_strategy(self.strategy)
        return randomize_and_explain(subject, [smoothed], strategy, draws=self.draws, measures=measures)[0]


@dataclass(frozen=True)
class EfficientMPRT:
    """How much more complex the maps become under full randomization: `(C(random) - C(trained)) / C(trained)`.

    `C` is the entropy of the map's histogram between its own minimum and maximum, in nats. A score
    above 0 says that complexity rose, 0 that it did not change. Above -1; NaN where the trained or
    the random map is constant, so that it has no histogram. The random control scores 0 without
    explaining anything, and a single large pixel changes the histogram: the scores of other numbers
    of bins are given beside the first.

    Args:
        model: As in `ModelRandomizationMetric`, like `inputs` and `targets`.
        bins: Numbers of histogram bins; the first is the paper's.
        draws: How often the model is drawn.
        options: How the model is run.
        perturbation: What happens to weights, as in `FullRandomization`. The result depends on it: where
            the background of images is zero, biases of zero (the default) leave a map's background
            exactly zero, and `"native_init"` with its random biases does not.

    Raises:
        ArgumentError: There is no number of bins, one is below 2, or `draws` is below 1.

    Source: Hedström et al. 2024 (Sanity Checks Revisited), section 4.2.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    bins: tuple[int, ...] = (100, 50, 200)
    draws: int = 1
    options: RunOptions = _DEFAULT_OPTIONS
    perturbation: str | Perturbation = "reinitialize"

    def __post_init__(self) -> None:
        FullRandomization(perturbation=self.perturbation)
        for count in several("bins", self.bins, example="(100,)"):
            whole_number("bins", count, least=2, example=100)
        whole_number("draws", self.draws, least=1, example=3)

    def run(self, explainer: ExplainerLike) -> RandomizationResult:
        """The rise of complexity, one measure for each number of bins (`complexity_rise_100`, …).

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        measures = tuple(complexity_rise(count) for count in self.bins)
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        strategy = FullRandomization(perturbation=self.perturbation)
        result = randomize_and_explain(
            subject, [self.options.explainer(explainer)], strategy, draws=self.draws, measures=measures
        )[0]
        if all((scores == 0).all() for scores in result.scores.values()):
            unchanged = "No map's histogram changed at all: the explainer is not bound to the model, or ignores it."
            result = replace(result, findings=(*result.findings, unchanged))
        return result


def complexity_rise(bins: int) -> Measure:
    """The measure of the efficient MPRT: the relative rise of histogram entropy, signed maps."""
    return Measure(
        f"complexity_rise_{bins}",
        MapForm(),
        prepare=partial(histogram_entropy, bins=bins),
        compare=partial(_rise, bins=bins),
        distance=True,
    )


def histogram_entropy(maps: Array, bins: int) -> HostArray:
    """The entropy in nats of each map's histogram of equal bins between its minimum and maximum, `(n,)`.

    Computed on the host. At most `ln(bins)`; 0 for a map that is constant, also where only rounding
    makes it differ: fewer numbers than bins lie between its extremes.

    Example:
        >>> histogram_entropy(np.arange(100.0)[None], bins=100).round(3)
        array([4.605])
    """
    host = on_host(maps).astype(np.float64)
    rows = host.reshape(host.shape[0], -1)
    entropies = np.zeros(rows.shape[0])
    for number, row in enumerate(rows):
        edges = np.linspace(row.min(), row.max(), bins + 1)
        if (np.diff(edges) > 0).all():
            counts, _ = np.histogram(row, bins=bins)
            shares = counts[counts > 0] / row.size
            entropies[number] = float(-(shares * np.log(shares)).sum())
    return entropies


def _rise(trained: HostArray, maps: Array, bins: int) -> Array:
    random = histogram_entropy(maps, bins)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where((trained > 0) & (random > 0), (random - trained) / trained, np.nan)
    return rise if is_numpy_array(maps) else array_namespace(maps).asarray(rise)
