"""Generalized faithfulness: do maps change as the outputs do, on the way to a model that only guesses?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._chance_path import NOISES, ChancePath
from agnostic_rand.checks.check import Check
from agnostic_rand.checks.measures import described_measures
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import Explainer
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import Measure, MeasureLikes, resolve_measures, spearman
from agnostic_rand.subject.subject import Subject


@dataclass(frozen=True)
class GeneralizedFaithfulness(Check):
    """How well the change of maps follows the change of outputs while noise takes the model to chance.

    All weights get noise of `levels` equal steps, up to the first level of a doubling search at
    which the mean accuracy is within `max(0.1 / classes, 0.01)` of `1 / classes`, or within two of
    its standard errors where samples are few. At each level the outputs' change is the Euclidean
    distance of the probabilities (a softmax of the outputs, but for a model that puts out
    probabilities) and the maps' change `1 - similarity`; score: Spearman's correlation of the two
    over levels, for each draw and sample. 1 says that the map follows the model all the way. A map
    whose own noise grew with the level would score 1 too; a map that jumps at once and stays away
    scores about 0, although it depends on the model.

    Args:
        noise: `"multiplicative"` (NoiseGrad's), or `"gaussian_relative"`, in standard deviations of
            each parameter.
        levels: The number of levels above 0, at least 3.
        draws: How often noise is drawn; a draw is the same at every level but for its size.
        measures: A single similarity.

    Raises:
        ArgumentError: An argument is out of range, or the measure is a distance.

    Source: after Hedström et al. 2025 (GEF), whose levels (5) and draws (5) these are; the distance
    of outputs is ours.
    """

    name: ClassVar[str] = "generalized_faithfulness"
    question: ClassVar[str] = "Do maps change as the outputs do, on the way to a model that only guesses?"
    meaning: ClassVar[str] = "a high score says that the map changes as much as the outputs do"
    cannot_say: ClassVar[str] = "whether a map follows the model that jumps at once and stays away"

    noise: Literal["multiplicative", "gaussian_relative"] = "multiplicative"
    levels: int = 5
    draws: int = 5
    measures: MeasureLikes = "spearman"

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise ArgumentError(
                "noise",
                expected="'multiplicative' or 'gaussian_relative'",
                received=repr(self.noise),
                fix="Leave it out for multiplicative noise.",
            )
        whole_number("levels", self.levels, least=3, example=5)
        whole_number("draws", self.draws, least=1, example=5)
        found = resolve_measures(self.measures)
        if len(found) > 1 or found[0].distance:
            raise ArgumentError(
                "measures",
                expected="one similarity",
                received=", ".join(repr(one.name) for one in found) + ", more than one or a distance",
                fix="Pass for example measures='spearman'.",
            )

    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """The score (`"dose_response"`) by draw and sample; levels and mean changes are in `settings`.

        Raises:
            InputError: There are no labels, or of one class only; the model is at chance already; or
                no noise takes it there.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        labels = _labels(subject)
        (measure,) = resolve_measures(self.measures)
        return tuple(self._result(subject, one, measure, labels) for one in explainers)

    def _result(self, subject: Subject, explainer: Explainer, measure: Measure, labels: HostArray) -> Scores:
        path = ChancePath(subject, explainer, measure, self.noise, self.draws)
        highest, accuracies = path.to_chance(labels)
        levels = tuple(float(level) for level in highest * np.arange(1, self.levels + 1) / self.levels)
        outputs, maps = path.changes(levels)
        # Spearman over levels: one row for each draw and sample.
        rows = (np.moveaxis(change, 0, -1).reshape(-1, self.levels) for change in (outputs, maps))
        score = spearman(*rows).reshape(outputs.shape[1:])
        return Scores(
            check=self.name,
            dimensions={"draw": tuple(range(self.draws)), "sample": tuple(range(len(labels)))},
            scores={"dose_response": score},
            notes={explainer.name: Notes()},
            meaning=self.meaning,
            seed=subject.seed,
            settings={
                "noise": self.noise,
                "levels": list(levels),
                "searched_accuracy": accuracies,
                "probability": path.probability(),
                "output_change": _means(outputs),
                "map_change": _means(maps),
                **described_measures([measure]),
                "ranges": {"dose_response": [-1.0, 1.0]},
                **subject.described([explainer]),
            },
            versions=subject.versions(),
        )


def _labels(subject: Subject) -> HostArray:
    labels = subject.samples.targets
    if labels is None:
        raise InputError(
            "targets",
            expected="a label for each input, to see when the model only guesses",
            received="none",
            fix="Pass the true labels; ParameterNoise() needs none.",
        )
    if len(np.unique(labels)) < 2:
        raise InputError(
            "targets",
            expected="labels of at least two classes, so that guessing is worse than knowing",
            received="a single class",
            fix="Pass inputs of all classes.",
        )
    return labels


def _means(changes: HostArray) -> list[float | None]:
    """By level, over draws and samples; `None` where none is defined."""
    return [float(np.nanmean(one)) if np.isfinite(one).any() else None for one in changes]
