"""Repeatability: how alike are the explanations of models that were trained alike?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from agnostic_rand.adapters import adapt, untouched
from agnostic_rand.checks._fitting import described_measures, fitting_measures
from agnostic_rand.checks._pairs import compared_models
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.similarity import Measure, Pairwise
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Repeatability:
    """How alike the maps of independently trained models are: the ceiling of what training can decide.

    Args:
        models: At least two models of one framework, trained alike.
        inputs: As in `ModelRandomizationMetric`.
        targets: Class indices `(n,)` or one-hot labels; `None` for the first model's predictions.
        measures: How maps are compared.
        options: How the models are run.

    Raises:
        ArgumentError: There are fewer than two models, or one is there twice.

    Source: Arun et al. 2021.
    """

    models: Sequence[Any]
    inputs: ArrayLike
    targets: ArrayLike = None
    measures: tuple[str | Measure | Pairwise, ...] = ("spearman", "ssim")
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        if not isinstance(self.models, Sequence) or len(self.models) < 2:
            raise ArgumentError(
                "models",
                expected="a list of at least two models",
                received=f"{len(self.models)}" if isinstance(self.models, Sequence) else repr(type(self.models)),
                fix="Train the same architecture again from another seed.",
            )
        if len({id(model) for model in self.models}) < len(self.models):
            raise ArgumentError(
                "models",
                expected="different models",
                received="one model twice, which is as alike as can be",
                fix="Train the same architecture again from another seed.",
            )

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The scores by pair of models and sample.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`; not one that is bound to a model.

        Raises:
            AgnosticRandError: A model, the data or the explainer cannot be used.
        """
        resolved = self.options.explainer(explainer)
        subject = Subject.open(self.models[0], self.inputs, self.targets, self.options)
        example = subject.samples[: subject.probed.count].all_inputs
        adapters = [
            adapt(model, backend=self.options.backend, example_inputs=example, forward=self.options.forward)
            for model in self.models
        ]
        frameworks = sorted({adapter.framework for adapter in adapters})
        if len(frameworks) > 1:
            raise ArgumentError(
                "models",
                expected="models of one framework",
                received=" and ".join(map(repr, frameworks)),
                fix="Train the same architecture again in the same framework.",
            )
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        pairs = list(combinations(range(len(adapters)), 2))
        with subject.working([], foreign=True), ExitStack() as others:
            for adapter in adapters:
                others.enter_context(untouched(adapter))
            parts = [compared_models(subject, adapters[i], adapters[j], resolved, measures) for i, j in pairs]
        return CheckResult(
            check="repeatability",
            explainer=resolved.name,
            dimensions={"pair": tuple(pairs), "sample": tuple(range(len(subject.samples)))},
            scores={measure.name: np.stack([part[measure.name] for part in parts]) for measure in measures},
            meaning="a high score says that training alike gives maps alike",
            seed=subject.streams.seed,
            settings={
                "models": len(adapters),
                "measures": described_measures(measures),
                **subject.described([]),
            },
            versions=subject.versions(),
            findings=left_out,
        )
