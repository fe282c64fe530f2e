"""Input multiplier: how much of a score is the input that the method multiplies by?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._walks import scores_of
from agnostic_rand.checks.check import Explainers, PassCheck, refuse_same_names
from agnostic_rand.checks.measures import fitting_measures
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import (
    ExpectedGradients,
    Explainer,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
)
from agnostic_rand.explainers.named import NamedExplainer
from agnostic_rand.passes.needs import Found, Needs, Walk
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MeasureLikes, resolve_measures
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import StrategyLike, resolve_strategy

_LARGE_GAP = 0.2


@dataclass(frozen=True)
class InputMultiplier(PassCheck):
    """The cascade of a method with and without its factor `input - baseline`, side by side.

    Score: `rho(e, e_random)` of both. The factor is the same in both maps whatever the weights, so
    what it adds to the score says nothing about the model. A small gap does not say that the
    remainder is right.

    A method whose factor this library does not know is a pair of objects with and without it, such as
    Captum's `(DeepLift(net), DeepLift(net, multiply_by_inputs=False))`.

    Args:
        strategy: As in `ModelRandomization`.
        draws: How often each step is drawn.
        measures: How maps are compared.

    Raises:
        ArgumentError: A setting has a value that cannot be used, or the explainer has no factor that is known.

    Source: Kokhlikyan et al. 2021.
    """

    name: ClassVar[str] = "input_multiplier"
    question: ClassVar[str] = "How much of a score is the input that the method multiplies by?"
    meaning: ClassVar[str] = "a higher score with than without says that the likeness is the input's"
    cannot_say: ClassVar[str] = "whether the map without the factor is right"

    strategy: StrategyLike = "top_down"
    draws: int = 1
    measures: MeasureLikes = ("spearman", "spearman_abs")

    def __post_init__(self) -> None:
        resolve_strategy(self.strategy)
        whole_number("draws", self.draws, least=1, example=3)
        resolve_measures(self.measures)

    def run(self, subject: Subject, explainers: Explainers = ()) -> Scores:
        """The scores by multiplier (`"with"`, `"without"`), draw, step and sample.

        Args:
            subject: The model and the data.
            explainers: `IntegratedGradients`, `ExpectedGradients`, `GradientTimesInput` or `Gradient`,
                or a pair `(with, without)` of any two explainers; or a list or dictionary of these.

        Raises:
            ArgumentError: The explainer has no factor that is known.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        if isinstance(explainers, Mapping):
            pairs = [_pair(subject, one, str(name)) for name, one in explainers.items()]
        elif isinstance(explainers, Sequence) and not isinstance(explainers, str | tuple):
            pairs = [_pair(subject, one) for one in explainers]
        else:
            return self.results(subject, _pair(subject, explainers))[0]
        refuse_same_names([first.name for first, _ in pairs])
        return Scores.of_explainers(self.results(subject, [one for pair in pairs for one in pair]))

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """A walk for each of all pairs, with and without by turns; see `PassCheck.needs`."""
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        strategy = resolve_strategy(self.strategy)
        return Needs(tuple(Walk(strategy, self.draws, (one,), measures) for one in explainers))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores of each pair; see `PassCheck.read`."""
        walks = self.needs(subject, explainers).walks
        both = [
            scores_of(self.name, self.meaning, subject, walk, record)[0]
            for walk, record in zip(walks, found.walks, strict=True)
        ]
        return tuple(self._read(subject, both[place : place + 2]) for place in range(0, len(both), 2))

    def _read(self, subject: Subject, pair: Sequence[Scores]) -> Scores:
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        first, second = pair
        findings = [*left_out]
        for measure in measures:
            lifted, plain = (float(result.mean(measure.name)[-1]) for result in pair)
            if lifted - plain > _LARGE_GAP and not measure.distance:
                findings.append(
                    f"At {first.steps[-1].name!r} {measure.name} is {lifted:.2f} with the input as a factor and "
                    f"{plain:.2f} without: the likeness is the input's."
                )
        return replace(
            first,
            dimensions={"multiplier": ("with", "without"), **first.dimensions},
            scores={m.name: np.stack([result.scores[m.name] for result in pair]) for m in measures},
            notes={first.explainer: Notes((*findings, *first.findings), first.self_similarity)},
            settings={
                **first.settings,
                "with": first.settings["explainer"],
                "without": second.settings["explainer"],
            },
        )


def _pair(subject: Subject, given: Any, name: str | None = None) -> tuple[Explainer, Explainer]:
    """A method with its factor and without, the first by a name of the user's choice."""
    if isinstance(given, tuple) and len(given) == 2:
        first, second = (subject.explainer(one) for one in given)
    elif isinstance(given, tuple):
        raise ArgumentError(
            "explainers",
            expected="a pair (with, without) of explainers",
            received=f"a tuple of {len(given)}",
            fix="Pass a list of several explainers, or of several pairs.",
        )
    else:
        first, second = _known(subject.explainer(given))
    return (first if name is None else NamedExplainer(first, name)), second


def _known(one: Explainer) -> tuple[Explainer, Explainer]:
    if isinstance(one, IntegratedGradients | ExpectedGradients):
        return replace(one, multiply_by_inputs=True), replace(one, multiply_by_inputs=False)
    if isinstance(one, Gradient | GradientTimesInput):
        return GradientTimesInput(), Gradient()
    raise ArgumentError(
        f"the explainer {one.name!r}",
        expected="IntegratedGradients, ExpectedGradients, GradientTimesInput or Gradient",
        received="a method whose factor is not known",
        fix="Pass a pair (with, without) of explainers.",
    )
