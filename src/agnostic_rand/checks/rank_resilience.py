"""Rank resilience: do the explainers keep their order when measure, normalization and order of layers change?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import several, whole_number
from agnostic_rand.checks.check import Explainers, PassCheck, resolve_explainers
from agnostic_rand.checks.measures import described_measures, fitting_measures
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.needs import Found, Needs, Walk
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MapForm, Measure, MeasureLikes, resolve_measures
from agnostic_rand.similarity.preprocess import Normalization
from agnostic_rand.statistics import defined_mean, rank_resilience
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import CascadingRandomization
from agnostic_rand.weights.grouping import Grouping


@dataclass(frozen=True)
class RankResilience(PassCheck):
    """The scores of several explainers under every measure, normalization and order of layers.

    Score of a setting: the mean over the steps of a cascade. A rank resilience below 1 says that
    whoever picks the setting picks the winner. It does not say which setting is right. Measures that no
    scale changes give one score for several normalizations, which counts once.

    Args:
        normalizations: What maps are divided by first.
        orders: Of layers: `"top_down"`, `"bottom_up"`.
        groups: Which layers are randomized together, as in strategies.
        draws: How often each step is drawn.
        measures: How maps are compared.

    Raises:
        ArgumentError: There is nothing to compare, or a setting has a value that cannot be used.

    Source: after Wickstrøm et al. 2024, who show that settings of an evaluation can be picked to
    make a method win; order of layers: Hedström et al. 2024.
    """

    name: ClassVar[str] = "rank_resilience"
    question: ClassVar[str] = "Do the explainers keep their order when measure, normalization and order change?"
    meaning: ClassVar[str] = "a high score says that the map does not depend on what the random layers learned"
    cannot_say: ClassVar[str] = "which setting is right; the scores rank nothing"

    normalizations: tuple[Normalization, ...] = ("none", "second_moment", "percentile")
    orders: tuple[Literal["top_down", "bottom_up"], ...] = ("top_down", "bottom_up")
    groups: Grouping = None
    draws: int = 1
    measures: MeasureLikes = ("spearman", "spearman_abs", "ssim", "mse")

    def __post_init__(self) -> None:
        for one in several("normalizations", self.normalizations, example="('none', 'percentile')"):
            MapForm(normalization=one)
        for order in several("orders", self.orders, example="('top_down', 'bottom_up')"):
            CascadingRandomization(order=order, groups=self.groups)
        whole_number("draws", self.draws, least=1, example=3)
        resolve_measures(self.measures)

    def run(self, subject: Subject, explainers: Explainers = ()) -> Scores:
        """The scores of all settings, from one cascade in each order.

        `settings` has what they say together: `"resilience"` (see `rank_resilience`), and `"lowest"`, by
        setting, whose score is the lowest.

        Args:
            subject: The model and the data.
            explainers: At least two, as a list or a dictionary by name.

        Raises:
            AgnosticRandError: An explainer, its maps or a random model cannot be used.
        """
        resolved, _ = resolve_explainers(subject, explainers)
        if len(resolved) < 2:
            raise ArgumentError(
                "explainers",
                expected="at least two, which have an order",
                received=str(len(resolved)),
                fix="Pass all that you compare, and the control 'random_map'.",
            )
        found = Scores.of_explainers(self.results(subject, resolved))
        rows = _rows(found)
        lowest = {
            place: found.explainers[int(np.nanargmin(row))] for place, row in rows.items() if np.isfinite(row).any()
        }
        distinct = _distinct(list(rows.values()))
        resilience = rank_resilience(distinct) if len(distinct) > 1 else float("nan")
        told = (
            f"Rank resilience {resilience:.2f} (1: one order under every setting). Lowest under some setting: "
            f"{', '.join(sorted(set(lowest.values()))) or 'none'}. The scores rank nothing."
        )
        summed = {"resilience": resilience, "lowest": {" / ".join(place): name for place, name in lowest.items()}}
        first = found.explainers[0]
        notes = {**found.notes, first: replace(found.notes[first], findings=(*found.notes[first].findings, told))}
        return replace(found, settings={**found.settings, **summed}, notes=notes)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """A cascade in each order, scored in every form; see `PassCheck.needs`."""
        measures = tuple(self._variants(subject).values())
        cascades = (CascadingRandomization(order=order, groups=self.groups) for order in self.orders)
        return Needs(tuple(Walk(one, self.draws, tuple(explainers), measures) for one in cascades))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores by normalization, order, draw, step and sample; see `PassCheck.read`."""
        variants = self._variants(subject)
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        first = found.walks[0]
        return tuple(
            Scores(
                check=self.name,
                dimensions={
                    "normalization": self.normalizations,
                    "order": self.orders,
                    "draw": tuple(range(self.draws)),
                    "step": tuple(range(1, len(first.plan.steps) + 1)),
                    "sample": tuple(range(len(subject.samples))),
                },
                scores={
                    measure.name: np.stack(
                        [
                            [walk.scores[one.name][variants[measure.name, form].name] for walk in found.walks]
                            for form in self.normalizations
                        ]
                    )
                    for measure in measures
                },
                notes={one.name: Notes((*left_out, *first.notes[one.name].findings))},
                meaning=self.meaning,
                seed=subject.seed,
                settings={"draws": self.draws, **described_measures(measures), **subject.described(explainers)},
                versions=subject.versions(),
                averaged=("draw", "step", "sample"),
            )
            for one in explainers
        )

    def _variants(self, subject: Subject) -> dict[tuple[str, str], Measure]:
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        return {
            (one.name, normalization): replace(
                one, name=f"{one.name}:{normalization}", form=replace(one.form, normalization=normalization)
            )
            for one in measures
            for normalization in self.normalizations
        }


def _rows(scores: Scores) -> dict[tuple[str, str, str], HostArray]:
    """By measure, normalization and order, the mean of each explainer, distances with their sign turned."""
    found = {}
    dimensions = list(scores.dimensions)
    for measure, array in scores.scores.items():
        sign = -1.0 if measure in scores.settings["distances"] else 1.0
        means = sign * defined_mean(array, tuple(dimensions.index(name) for name in scores.averaged))
        for i, normalization in enumerate(scores.dimensions["normalization"]):
            for j, order in enumerate(scores.dimensions["order"]):
                found[measure, normalization, order] = means[:, i, j]
    return found


def _distinct(rows: Sequence[HostArray]) -> HostArray:
    """The rows without repetitions: a rank correlation is one and the same under any scale."""
    kept: list[HostArray] = []
    for row in rows:
        if not any(np.allclose(row, other, rtol=0, atol=1e-9, equal_nan=True) for other in kept):
            kept.append(row)
    return np.stack(kept)
