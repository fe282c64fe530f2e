"""Model decay: how far the model itself falls, step by step; the context of every cascade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.arguments import whole_number
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.results.output_change import OutputTally
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.subject.targets import output_batches
from agnostic_rand.weights import CascadingRandomization, ModelRandomizationStrategy, StrategyLike, resolve_strategy

_DEFAULT_OPTIONS = RunOptions()
_TOP_DOWN = CascadingRandomization()


@dataclass(frozen=True)
class ModelDecay:
    """The model's accuracy, its agreement with the trained model, and the correlation of their outputs, by step.

    A map that stays alike where the model already guesses does not follow the model; one that
    changes where the model does not is unstable. It says nothing about maps by itself.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`.
        targets: Class indices `(n,)` or one-hot labels; without them there is no accuracy (NaN).
        strategy: Which layers are randomized and how, or the order of a cascade; a cascade with the
            same seed and draws has the same weights.
        draws: How often each step is drawn.
        options: How the model is run.

    Raises:
        ArgumentError: `strategy` is none, or `draws` is below 1.

    Source: the idea of a reference curve beside the maps': a replication of Binder et al. 2023.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net, x = torch.nn.Linear(4, 3), np.random.default_rng(0).standard_normal((9, 4)).astype("float32")
        >>> from agnostic_rand.checks import ModelDecay
        >>> ModelDecay(net, x, options=ar.RunOptions(seed=0)).run().mean("agreement")[0]
        np.float64(1.0)
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    strategy: StrategyLike = _TOP_DOWN
    draws: int = 1
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        resolve_strategy(self.strategy)
        whole_number("draws", self.draws, least=1, example=3)

    def run(self) -> CheckResult:
        """The three measures by draw and step; the first step is the trained model.

        Raises:
            AgnosticRandError: The model or the data cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        return model_decay_of(subject, resolve_strategy(self.strategy), self.draws)


def model_decay_of(subject: Subject, strategy: ModelRandomizationStrategy, draws: int) -> CheckResult:
    """The check on a subject that was read already; see `ModelDecay`."""
    plan = strategy.plan(subject.adapter.layers())
    labels = subject.samples.targets
    count = len(plan.steps)
    accuracy = np.full((draws, count + 1), np.nan)
    tally = OutputTally(draws, count + 1)
    with subject.working([]) as working, subject.randomizer(working, plan) as randomizer:
        trained = _outputs(working, subject)
        for draw in range(draws):
            for place in range(count + 1):
                if place > 0:
                    randomizer.apply(draw=draw, step=place - 1)
                outputs = trained if place == 0 else _outputs(working, subject)
                tally.add(draw, place, trained, outputs)
                if labels is not None and outputs.shape[1] > 1:
                    accuracy[draw, place] = float((outputs.argmax(axis=1) == labels).mean())
        randomizer.restore()
    change = tally.change()
    return CheckResult(
        check="model_decay",
        explainer="(the model itself)",
        dimensions={"draw": tuple(range(draws)), "step": ("trained", *(step.name for step in plan.steps))},
        scores={
            "accuracy": accuracy,
            "agreement": np.array(change.agreement),
            "correlation": np.array(change.correlation),
        },
        meaning="a high score says that the model is still what it was",
        seed=subject.streams.seed,
        settings={"strategy": repr(strategy), **subject.described([])},
        versions=subject.versions(),
    )


def half_depth(curve: HostArray) -> float:
    """The share of the steps after which a curve that starts at 1 first falls below one half, in [0, 1].

    Straight lines between steps; NaN where it does not fall so far.

    Example:
        >>> half_depth(np.array([0.9, 0.1]))
        0.75
    """
    values = np.concatenate([[1.0], curve])
    for place in range(1, len(values)):
        if values[place] < 0.5:
            before, after = values[place - 1], values[place]
            return float((place - 1 + (before - 0.5) / (before - after)) / len(curve))
    return float("nan")


def sensitivity_ratio(result: RandomizationResult, measure: str = "spearman") -> float:
    """How deep a cascade goes until maps lose half their likeness, over how deep until the outputs do.

    Above 1 the maps outlive the model, below 1 they change before it does. NaN where one of the two
    does not fall below one half. It depends on how layers are grouped into steps.

    Args:
        result: Of a cascade.
        measure: Which score.

    Source: a replication of Binder et al. 2023 (the ratio of D_half and D_arch).
    """
    correlation = result.outputs.correlation
    defined = np.isfinite(correlation)
    outputs = np.where(defined, correlation, 0.0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    own, model = half_depth(result.mean(measure)), half_depth(outputs)
    return own / model if model > 0 else float("nan")


def _outputs(adapter: ModelAdapter, subject: Subject) -> HostArray:
    batches = output_batches(adapter, subject.samples, subject.batch_size)
    return np.concatenate([adapter.to_numpy(part) for part in batches]).astype(np.float64)
