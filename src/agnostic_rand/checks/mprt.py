"""Model parameter randomization test (MPRT): two variants of Hedström et al. 2024."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.arguments import real_number, several, whole_number
from agnostic_rand.checks._walks import scores_of
from agnostic_rand.checks.check import PassCheck
from agnostic_rand.checks.measures import fitting_measures
from agnostic_rand.explainers import Explainer, SmoothGrad
from agnostic_rand.explainers.named import NamedExplainer, unnamed
from agnostic_rand.passes.needs import Found, Needs, Walk
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MapForm, Measure, MeasureLikes, resolve_measures
from agnostic_rand.similarity.rows import on_host
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import (
    FullRandomization,
    Perturbation,
    StrategyLike,
    resolve_strategy,
)


@dataclass(frozen=True)
class SmoothMPRT(PassCheck):
    """The cascade of maps that are averaged over noisy inputs, which takes out the gradient's shattering.

    Score: `rho(mean_i map(x + noise_i; trained), mean_i map(x + noise_i; random))`. It cannot tell
    a method from its smoothed version.

    Args:
        strategy: As in `ModelRandomization`; by default bottom up, as in the paper.
        samples: The number of noisy inputs.
        noise: The noise's standard deviation, as a share of each input's range.
        draws: How often each step is drawn.
        measures: How maps are compared.

    Raises:
        ArgumentError: A setting has a value that cannot be used.

    Source: Hedström et al. 2024 (Sanity Checks Revisited), section 4.1.
    """

    name: ClassVar[str] = "smooth_mprt"
    question: ClassVar[str] = "How much of a smoothed explanation survives random weights?"
    meaning: ClassVar[str] = "a high score says that the smoothed map does not depend on what was learned"
    cannot_say: ClassVar[str] = "how a method differs from its smoothed version"

    strategy: StrategyLike = "bottom_up"
    samples: int = 50
    noise: float = 0.1
    draws: int = 1
    measures: MeasureLikes = ("spearman", "spearman_abs")

    def __post_init__(self) -> None:
        resolve_strategy(self.strategy)
        whole_number("samples", self.samples, least=1, example=50)
        real_number("noise", self.noise, least=0, example=0.1)
        whole_number("draws", self.draws, least=1, example=3)
        resolve_measures(self.measures)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """One walk of the smoothed explainers; see `PassCheck.needs`."""
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        smoothed = tuple(map(self._smoothed, explainers))
        return Needs((Walk(resolve_strategy(self.strategy), self.draws, smoothed, measures),))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores over draws, steps and samples; see `PassCheck.read`."""
        (walk,) = self.needs(subject, explainers).walks
        _, left_out = fitting_measures(self.measures, subject.samples.inputs)
        return scores_of(self.name, self.meaning, subject, walk, found.walks[0], left_out)

    def _smoothed(self, explainer: Explainer) -> Explainer:
        smoothed = SmoothGrad(unnamed(explainer), self.samples, self.noise)
        # What the user named keeps that name.
        return NamedExplainer(smoothed, explainer.name) if isinstance(explainer, NamedExplainer) else smoothed


@dataclass(frozen=True)
class EfficientMPRT(PassCheck):
    """How much more complex the maps become under full randomization: `(C(random) - C(trained)) / C(trained)`.

    `C` is the entropy of the map's histogram between its own minimum and maximum, in nats. A score
    above 0 says that complexity rose, 0 that it did not change. Above -1; NaN where the trained or
    the random map is constant, so that it has no histogram. The random control scores 0 without
    explaining anything, and a single large pixel changes the histogram: the scores of other numbers
    of bins are given beside the first.

    Args:
        bins: Numbers of histogram bins; the first is the paper's.
        perturbation: What happens to weights, as in `FullRandomization`. The result depends on it: where
            the background of images is zero, biases of zero (the default) leave a map's background
            exactly zero, and `"native_init"` with its random biases does not.
        draws: How often the model is drawn.

    Raises:
        ArgumentError: There is no number of bins, one is below 2, or `draws` is below 1.

    Source: Hedström et al. 2024 (Sanity Checks Revisited), section 4.2.
    """

    name: ClassVar[str] = "efficient_mprt"
    question: ClassVar[str] = "Do the maps of a random model have more complex histograms?"
    meaning: ClassVar[str] = "a score above 0 says that the map of a random model is more complex"
    cannot_say: ClassVar[str] = "whether a map explains anything: the random control scores 0"

    bins: tuple[int, ...] = (100, 50, 200)
    perturbation: str | Perturbation = "reinitialize"
    draws: int = 1

    def __post_init__(self) -> None:
        FullRandomization(perturbation=self.perturbation)
        for count in several("bins", self.bins, example="(100,)"):
            whole_number("bins", count, least=2, example=100)
        whole_number("draws", self.draws, least=1, example=3)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """One walk, with a measure for each number of bins (`complexity_rise_100`, …); see `PassCheck.needs`."""
        measures = tuple(complexity_rise(count) for count in self.bins)
        strategy = FullRandomization(perturbation=self.perturbation)
        return Needs((Walk(strategy, self.draws, tuple(explainers), measures),))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The rise of complexity over draws, one step and samples; see `PassCheck.read`."""
        record = found.walks[0]
        (walk,) = self.needs(subject, explainers).walks
        return tuple(map(_told_unchanged, scores_of(self.name, self.meaning, subject, walk, record)))


def _told_unchanged(scores: Scores) -> Scores:
    if not all((array == 0).all() for array in scores.scores.values()):
        return scores
    unchanged = "No map's histogram changed at all: the explainer is not bound to the model, or ignores it."
    notes = scores.notes[scores.explainer]
    return replace(scores, notes={scores.explainer: Notes((*notes.findings, unchanged), notes.self_similarity)})


def complexity_rise(bins: int) -> Measure:
    """The measure of the efficient MPRT: the relative rise of histogram entropy, signed maps."""
    return Measure(
        f"complexity_rise_{bins}",
        MapForm(),
        prepare=partial(histogram_entropy, bins=bins),
        compare=partial(_rise, bins=bins),
        distance=True,
        range=(-1.0, math.inf),
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
