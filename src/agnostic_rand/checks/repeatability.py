"""Repeatability: how alike are the explanations of models that were trained alike?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from agnostic_rand.adapters import adapt, untouched
from agnostic_rand.checks._pairs import compared_models
from agnostic_rand.checks.check import Check
from agnostic_rand.checks.measures import described_measures, fitting_measures
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import Explainer
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MeasureLikes, resolve_measures
from agnostic_rand.subject.subject import Subject


@dataclass(frozen=True)
class Repeatability(Check):
    """How alike the maps of independently trained models are: the ceiling of what training can decide.

    Args:
        models: At least one other model than the subject's, of one framework, trained alike.
        measures: How maps are compared.

    Raises:
        ArgumentError: There is no other model, or one is there twice.

    Source: Arun et al. 2021.
    """

    name: ClassVar[str] = "repeatability"
    question: ClassVar[str] = "How alike are the explanations of models that were trained alike?"
    meaning: ClassVar[str] = "a high score says that training alike gives maps alike"
    cannot_say: ClassVar[str] = "whether a map depends on what was learned"

    models: Sequence[Any]
    measures: MeasureLikes = ("spearman", "ssim")

    def __post_init__(self) -> None:
        if not isinstance(self.models, Sequence) or not self.models:
            raise ArgumentError(
                "models",
                expected="a list of at least one other model than the subject's",
                received=f"{len(self.models)}" if isinstance(self.models, Sequence) else repr(type(self.models)),
                fix="Train the same architecture again from another seed.",
            )
        _refuse_twice(self.models)
        resolve_measures(self.measures)

    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """The scores by pair of models, of which 0 is the subject's, and sample.

        Raises:
            ArgumentError: The models are of several frameworks, or the subject's is among them.
            AgnosticRandError: A model, the data or the explainer cannot be used.
        """
        models = [subject.adapter.native, *self.models]
        _refuse_twice(models)
        example = subject.samples[: subject.probed.count].all_inputs
        adapters = [
            adapt(model, backend=subject.backend, example_inputs=example, forward=subject.forward)
            for model in models
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
            found = [
                [compared_models(subject, adapters[i], adapters[j], one, measures) for i, j in pairs]
                for one in explainers
            ]
        return tuple(
            Scores(
                check=self.name,
                dimensions={"pair": tuple(pairs), "sample": tuple(range(len(subject.samples)))},
                scores={measure.name: np.stack([part[measure.name] for part in parts]) for measure in measures},
                notes={one.name: Notes(left_out)},
                meaning=self.meaning,
                seed=subject.seed,
                settings={
                    "models": len(adapters),
                    **described_measures(measures),
                    **subject.described([]),
                },
                versions=subject.versions(),
            )
            for one, parts in zip(explainers, found, strict=True)
        )


def _refuse_twice(models: Sequence[Any]) -> None:
    if len({id(model) for model in models}) < len(models):
        raise ArgumentError(
            "models",
            expected="different models",
            received="one model twice, which is as alike as can be",
            fix="Train the same architecture again from another seed.",
        )
