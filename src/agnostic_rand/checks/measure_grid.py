"""Measure grid: do the explainers keep their order when measure, normalization and order of layers change?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import several, whole_number
from agnostic_rand.checks._cascade import randomize_and_explain
from agnostic_rand.checks._fitting import fitting_measures
from agnostic_rand.checks._naming import named_explainers
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.similarity import Measure, MeasureLike, resolve_measures
from agnostic_rand.similarity.preprocess import Normalization
from agnostic_rand.statistics import rank_resilience
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import CascadingRandomization
from agnostic_rand.weights.grouping import Grouping

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True, eq=False)
class GridResult:
    """The mean scores of several explainers under every setting.

    Args:
        settings: Measure, normalization and order of each row of `scores`.
        explainers: The names of its columns.
        scores: `(settings, explainers)`, the mean over steps, draws and samples, distances with
            their sign turned; NaN where undefined.
        seed: The root of all randomness.
        details: Everything else that the scores depend on, as plain values.
    """

    settings: tuple[tuple[str, str, str], ...]
    explainers: tuple[str, ...]
    scores: HostArray
    seed: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scores.flags.writeable = False
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    @property
    def distinct(self) -> HostArray:
        """The rows of `scores` without repetitions: a rank correlation is one and the same under any scale."""
        rows: list[HostArray] = []
        for row in self.scores:
            if not any(np.allclose(row, other, rtol=0, atol=1e-9, equal_nan=True) for other in rows):
                rows.append(row)
        return np.stack(rows)

    @property
    def resilience(self) -> float:
        """How far the explainers' order outlives a change of setting; see `rank_resilience`."""
        distinct = self.distinct
        return rank_resilience(distinct) if len(distinct) > 1 else float("nan")

    @property
    def winners(self) -> tuple[str, ...]:
        """By setting, whose score is the lowest: which method "depends the most" under it.

        `"(undefined)"` where no explainer has a score.
        """
        return tuple(
            self.explainers[int(np.nanargmin(row))] if np.isfinite(row).any() else "(undefined)"
            for row in self.scores
        )

    def summary(self) -> str:
        """The scores as text, and what the resilience says."""
        lines = [
            f"{'measure':22}{'normalization':16}{'order':12}" + "".join(f"{n[:14]:>16}" for n in self.explainers)
        ]
        for (measure, normalization, order), row in zip(self.settings, self.scores, strict=True):
            lines.append(f"{measure:22}{normalization:16}{order:12}" + "".join(f"{v:16.3f}" for v in row))
        others = sorted(set(self.winners))
        lines.append(
            f"Rank resilience {self.resilience:.2f} (1: one order under every setting). "
            f"Lowest under some setting: {', '.join(others)}. The scores rank nothing."
        )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


@dataclass(frozen=True)
class MeasureGrid:
    """The scores of several explainers under every measure, normalization and order of layers.

    Score of a setting: the mean over the steps of a cascade. A rank resilience below 1 says that
    whoever picks the setting picks the winner. It does not say which setting is right.

    Args:
        model: As in `ModelRandomizationMetric`, like `inputs` and `targets`.
        measures: How maps are compared.
        normalizations: What maps are divided by first; measures that no scale changes give one
            score for several, which counts once.
        orders: Of layers: `"top_down"`, `"bottom_up"`.
        groups: Which layers are randomized together, as in strategies.
        draws: How often each step is drawn.
        options: How the model is run.

    Raises:
        ArgumentError: There is nothing to compare.

    Source: after Wickstrøm et al. 2024, who show that settings of an evaluation can be picked to
    make a method win; order of layers: Hedström et al. 2024.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    measures: tuple[MeasureLike, ...] = ("spearman", "spearman_abs", "ssim", "mse")
    normalizations: tuple[Normalization, ...] = ("none", "second_moment", "percentile")
    orders: tuple[Literal["top_down", "bottom_up"], ...] = ("top_down", "bottom_up")
    groups: Grouping = None
    draws: int = 1
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        whole_number("draws", self.draws, least=1, example=3)
        resolve_measures(self.measures)
        several("normalizations", self.normalizations, example="('none', 'percentile')")
        several("orders", self.orders, example="('top_down', 'bottom_up')")

    def run(self, explainers: Sequence[ExplainerLike] | Mapping[str, ExplainerLike]) -> GridResult:
        """The scores of all settings, from one cascade in each order.

        Args:
            explainers: At least two, as in `ModelRandomizationMetric.evaluate`, as a list or a
                dictionary by name.

        Raises:
            AgnosticRandError: The model, the data or an explainer cannot be used.
        """
        resolved = named_explainers(explainers, self.options)
        if len(resolved) < 2:
            raise ArgumentError(
                "explainers",
                expected="at least two, which have an order",
                received=str(len(resolved)),
                fix="Pass all that you compare, and the control 'random_map'.",
            )
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        variants = {
            (measure.name, normalization): _variant(measure, normalization)
            for measure in measures
            for normalization in self.normalizations
        }
        settings: list[tuple[str, str, str]] = []
        rows: list[list[float]] = []
        for order in self.orders:
            strategy = CascadingRandomization(order=order, groups=self.groups)
            results = randomize_and_explain(
                subject, resolved, strategy, draws=self.draws, measures=tuple(variants.values())
            )
            for (name, normalization), variant in variants.items():
                settings.append((name, normalization, order))
                sign = -1.0 if variant.distance else 1.0
                rows.append([sign * _mean(result.scores[variant.name]) for result in results])
        details = {"draws": self.draws, **subject.described(resolved)}
        names = tuple(one.name for one in resolved)
        return GridResult(tuple(settings), names, np.array(rows), subject.streams.seed, details)


def _variant(measure: Measure, normalization: Normalization) -> Measure:
    form = replace(measure.form, normalization=normalization)
    return replace(measure, name=f"{measure.name}:{normalization}", form=form)


def _mean(scores: HostArray) -> float:
    defined = scores[np.isfinite(scores)]
    return float(defined.mean()) if defined.size else float("nan")
