"""Model randomization: how much of an explanation survives when the model's weights are random."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from agnostic_rand.adapters import Forward
from agnostic_rand.adapters.activation import Activation
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._evaluation import evaluated
from agnostic_rand.checks._walks import scores_of
from agnostic_rand.checks.check import PassCheck
from agnostic_rand.checks.measures import fitting_measures
from agnostic_rand.errors import FindingWarning
from agnostic_rand.explainers import Explainer, ExplainerLike
from agnostic_rand.passes.needs import Found, Needs, Walk
from agnostic_rand.results.scores import Scores
from agnostic_rand.similarity import MeasureLikes, resolve_measures
from agnostic_rand.subject.progress import ProgressLike
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import (
    ModelRandomizationStrategy,
    ProgressiveLayerRandomization,
    StrategyLike,
    resolve_strategy,
)

LEAST_COVERAGE = 0.5
"""A step of fewer parameters than this share says little of the model."""


@dataclass(frozen=True)
class ModelRandomization(PassCheck):
    """How similar explanations stay when the model's weights are randomized; lower depends more.

    A score near 1 says that the explanation does not depend on what the randomized layers
    learned. A score near 0 is necessary, not sufficient: independent noise scores 0 too.

    Args:
        strategy: Which layers are randomized and how: a strategy, its name, or a function
            from the layers to the steps.
        draws: How often each step is drawn.
        measures: Names, `Measure` objects or functions `f(a, b) -> (n,)`.

    Raises:
        ArgumentError: A setting has a value that cannot be used.

    Source: Adebayo et al. 2018, section 3.1.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> x = np.random.default_rng(0).standard_normal((10, 4)).astype("float32")
        >>> scores = ar.ModelRandomization(draws=3).run(ar.Subject(net, x, seed=0), ["gradient", "input_map"])
        >>> scores["input_map"].mean().tolist()
        [1.0, 1.0]
    """

    name: ClassVar[str] = "model_randomization"
    question: ClassVar[str] = "How much of an explanation survives when the model's weights are random?"
    meaning: ClassVar[str] = "a high score says that the map does not depend on what the random layers learned"
    cannot_say: ClassVar[str] = "whether a map is right: independent noise scores 0 too"

    strategy: StrategyLike = "top_down"
    draws: int = 1
    measures: MeasureLikes = ("spearman", "spearman_abs")

    def __post_init__(self) -> None:
        resolve_strategy(self.strategy)
        whole_number("draws", self.draws, least=1, example=3)
        resolve_measures(self.measures)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """One walk; see `PassCheck.needs`."""
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        return Needs((Walk(resolve_strategy(self.strategy), self.draws, tuple(explainers), measures),))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores over draws, steps and samples; see `PassCheck.read`."""
        (walk,) = self.needs(subject, explainers).walks
        _, left_out = fitting_measures(self.measures, subject.samples.inputs)
        return scores_of(self.name, self.meaning, subject, walk, found.walks[0], left_out)


class ModelRandomizationMetric:
    """`ModelRandomization` in the form that users of Xplique know: one model, one strategy, one number.

    Args:
        model: As in `Subject`, like `inputs` and `targets`.
        inputs: See `model`.
        targets: See `model`.
        randomization_strategy: Which layers are randomized and how: a strategy, its name, or a function
            from the layers to the steps; by default the top quarter.
        batch_size: As in `Subject`.
        activation: As in `Subject`.
        seed: As in `Subject`; 42, so that two runs give one number.
        draws: How often each step is drawn.
        measures: Names, `Measure` objects or functions `f(a, b) -> (n,)`.
        forward: As in `Subject`, like all that follow.
        backend: See `forward`.
        isolation: See `forward`.
        channel_axis: See `forward`.
        wrt_layer: See `forward`.
        explained_input: See `forward`.
        progress: See `forward`.

    Raises:
        AgnosticRandError: The model, the data or an argument cannot be used; the message says why.

    Source: the call's form, and the order and defaults of its first seven arguments, are Xplique's.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> x = np.random.default_rng(0).standard_normal((10, 4)).astype("float32")
        >>> metric = ar.ModelRandomizationMetric(net, x, randomization_strategy=ar.FullRandomization(), seed=42)
        >>> round(metric.evaluate("gradient"), 3) == round(float(metric.run("gradient").mean()[0]), 3)
        True
    """

    def __init__(
        self,
        model: Any,
        inputs: ArrayLike,
        targets: ArrayLike = None,
        randomization_strategy: StrategyLike | None = None,
        batch_size: int | None = 64,
        activation: Activation = None,
        seed: int | None = 42,
        *,
        draws: int = 1,
        measures: MeasureLikes = ("spearman", "spearman_abs"),
        forward: Forward | None = None,
        backend: str | None = None,
        isolation: str | None = None,
        channel_axis: int | None = None,
        wrt_layer: str | None = None,
        explained_input: int | str | None = None,
        progress: ProgressLike = None,
    ) -> None:
        strategy = ProgressiveLayerRandomization() if randomization_strategy is None else randomization_strategy
        self._check = ModelRandomization(resolve_strategy(strategy, "randomization_strategy"), draws, measures)
        self._subject = Subject(
            model,
            inputs,
            targets,
            seed=seed,
            batch_size=batch_size,
            activation=activation,
            forward=forward,
            backend=backend,
            isolation=isolation,
            channel_axis=channel_axis,
            wrt_layer=wrt_layer,
            explained_input=explained_input,
            progress=progress,
        )
        self._strategy.plan(self._subject.adapter.layers())

    @property
    def _strategy(self) -> ModelRandomizationStrategy:
        return resolve_strategy(self._check.strategy)

    def evaluate(self, explainer: ExplainerLike) -> float:
        """The mean of signed Spearman over draws, steps and samples, channels averaged; in [-1, 1].

        It is the mean of the first of `measures` where Spearman is not among them. Undefined
        scores are left out; NaN where none is defined. It warns of these, of all findings of `run`, and where
        a step covers less than half of the parameters.

        Args:
            explainer: A name, an explainer, a function `f(model, inputs, targets) -> maps`, or an
                object with `.explain(inputs, targets)` and `.model`.
        """
        scores = self.run(explainer)
        measure = "spearman" if "spearman" in scores.scores else None
        least = min(step.coverage for step in scores.steps)
        if least < LEAST_COVERAGE:
            warnings.warn(
                f"A step randomizes {least:.0%} of the parameters in use, less than half: the score says little of "
                "the rest. Pass for example randomization_strategy='full_randomization'.",
                FindingWarning,
                stacklevel=2,
            )
        return evaluated(scores, measure)

    def run(self, explainer: ExplainerLike) -> Scores:
        """The scores of every draw, step and sample, with all that they depended on.

        Args:
            explainer: As in `evaluate`.

        Raises:
            AgnosticRandError: The explainer, its maps or the random model cannot be used.
        """
        return self._check.run(self._subject, explainer)
