"""Multiplier split: how much of a score is the input that the method multiplies by?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._cascade import randomize_and_explain
from agnostic_rand.checks._fitting import fitting_measures
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import (
    ExpectedGradients,
    Explainer,
    ExplainerLike,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
)
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.similarity import MeasureLike
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import CascadingRandomization, StrategyLike, resolve_strategy

_DEFAULT_OPTIONS = RunOptions()
_TOP_DOWN = CascadingRandomization()
_LARGE_GAP = 0.2


@dataclass(frozen=True)
class MultiplierSplit:
    """The cascade of a method with and without its factor `input - baseline`, side by side.

    Score: `rho(e, e_random)` of both. The factor is the same in both maps whatever the weights, so
    what it adds to the score says nothing about the model. A small gap does not say that the
    remainder is right.

    A method whose factor this library does not know is a pair of objects with and without it, such as
    Captum's `(DeepLift(net), DeepLift(net, multiply_by_inputs=False))`.

    Args:
        model: As in `ModelRandomizationMetric`, like `inputs` and `targets`.
        strategy: Which layers are randomized and how, or the order of a cascade.
        draws: How often each step is drawn.
        measures: How maps are compared.
        options: How the model is run.

    Raises:
        ArgumentError: `strategy` is none, or `draws` is below 1.

    Source: Kokhlikyan et al. 2021.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    strategy: StrategyLike = _TOP_DOWN
    draws: int = 1
    measures: tuple[MeasureLike, ...] = ("spearman", "spearman_abs")
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        resolve_strategy(self.strategy)
        whole_number("draws", self.draws, least=1, example=3)

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The scores by multiplier (`"with"`, `"without"`), draw, step and sample.

        Args:
            explainer: `IntegratedGradients`, `ExpectedGradients`, `GradientTimesInput` or `Gradient`,
                or a pair `(with, without)` of any two explainers.

        Raises:
            ArgumentError: The explainer has no factor that is known.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        pair, strategy = self._pair(explainer), resolve_strategy(self.strategy)
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        results = [
            randomize_and_explain(subject, [one], strategy, draws=self.draws, measures=measures)[0] for one in pair
        ]
        first = results[0]
        scores = {m.name: np.stack([result.scores[m.name] for result in results]) for m in measures}
        findings = [*left_out]
        for measure in measures:
            lifted, plain = (float(result.mean(measure.name)[-1]) for result in results)
            if lifted - plain > _LARGE_GAP and not measure.distance:
                findings.append(
                    f"At {first.steps[-1].name!r} {measure.name} is {lifted:.2f} with the input as a factor and "
                    f"{plain:.2f} without: the likeness is the input's."
                )
        return CheckResult(
            check="multiplier_split",
            explainer=pair[0].name,
            dimensions={
                "multiplier": ("with", "without"),
                "draw": tuple(range(self.draws)),
                "step": tuple(step.name for step in first.steps),
                "sample": tuple(range(len(subject.samples))),
            },
            scores=scores,
            meaning="a higher score with than without says that the likeness is the input's",
            seed=first.seed,
            settings={**first.settings, "with": repr(pair[0]), "without": repr(pair[1])},
            versions=first.versions,
            findings=tuple(findings),
        )

    def _pair(self, explainer: ExplainerLike) -> tuple[Explainer, Explainer]:
        if isinstance(explainer, tuple) and len(explainer) == 2:
            return self.options.explainer(explainer[0]), self.options.explainer(explainer[1])
        resolved = self.options.explainer(explainer)
        if isinstance(resolved, IntegratedGradients | ExpectedGradients):
            return replace(resolved, multiply_by_inputs=True), replace(resolved, multiply_by_inputs=False)
        if isinstance(resolved, Gradient | GradientTimesInput):
            return GradientTimesInput(), Gradient()
        raise ArgumentError(
            f"the explainer {resolved.name!r}",
            expected="IntegratedGradients, ExpectedGradients, GradientTimesInput or Gradient",
            received="a method whose factor is not known",
            fix="Pass a pair (with, without) of explainers.",
        )
