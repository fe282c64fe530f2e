"""Noise to chance: do maps change as the outputs do, on the way to a model that only guesses?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._chance_path import NOISES, ChancePath
from agnostic_rand.checks._fitting import described_measures, fitting_measures
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.similarity import MeasureLike, spearman
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class NoiseToChance:
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
        model: As in `ModelRandomizationMetric`; a classifier.
        inputs: As in `ModelRandomizationMetric`.
        targets: Labels, which the accuracy needs; the trained model's predictions are explained.
        noise: `"multiplicative"` (NoiseGrad's), or `"gaussian_relative"`, in standard deviations of
            each parameter.
        levels: The number of levels above 0, at least 3.
        draws: How often noise is drawn; a draw is the same at every level but for its size.
        measure: A similarity.
        options: How the model is run.

    Raises:
        ArgumentError: An argument is out of range, or the measure is a distance.

    Source: after Hedström et al. 2025 (GEF), whose levels (5) and draws (5) these are; the distance
    of outputs is ours.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike
    noise: Literal["multiplicative", "gaussian_relative"] = "multiplicative"
    levels: int = 5
    draws: int = 5
    measure: MeasureLike = "spearman"
    options: RunOptions = _DEFAULT_OPTIONS

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

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The score (`"dose_response"`) by draw and sample; levels and mean changes are in `settings`.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            InputError: There are no labels, or of one class only; the model is at chance already; or
                no noise takes it there.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        labels = _labels(subject)
        (measure,), _ = fitting_measures(self.measure, subject.samples.inputs)
        if measure.distance:
            raise ArgumentError(
                "measure",
                expected="a similarity",
                received=f"{measure.name!r}, whose larger scores mean less alike",
                fix="Pass for example measure='spearman'.",
            )
        resolved = self.options.explainer(explainer)
        path = ChancePath(subject, resolved, measure, self.noise, self.draws)
        highest, accuracies = path.to_chance(labels)
        levels = tuple(float(level) for level in highest * np.arange(1, self.levels + 1) / self.levels)
        outputs, maps = path.changes(levels)
        # Spearman over levels: one row for each draw and sample.
        rows = (np.moveaxis(change, 0, -1).reshape(-1, self.levels) for change in (outputs, maps))
        score = spearman(*rows).reshape(outputs.shape[1:])
        return CheckResult(
            check="noise_to_chance",
            explainer=resolved.name,
            dimensions={"draw": tuple(range(self.draws)), "sample": tuple(range(len(labels)))},
            scores={"dose_response": score},
            meaning="a high score says that the map changes as much as the outputs do",
            seed=subject.streams.seed,
            settings={
                "noise": self.noise,
                "levels": list(levels),
                "searched_accuracy": accuracies,
                "probability": path.probability(),
                "output_change": _means(outputs),
                "map_change": _means(maps),
                "measures": described_measures([measure]),
                **subject.described([resolved]),
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
