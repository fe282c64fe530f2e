"""Model decay: how far the model itself falls, step by step; the context of every cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks.check import ITSELF, PassCheck
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.needs import Found, Needs, Walk
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.statistics import defined_mean
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import StrategyLike, resolve_strategy


@dataclass(frozen=True)
class ModelDecay(PassCheck):
    """The model's accuracy, its agreement with the trained model, and the correlation of their outputs, by step.

    A map that stays alike where the model already guesses does not follow the model; one that
    changes where the model does not is unstable. It says nothing about maps by itself. Without labels
    there is no accuracy (NaN).

    Args:
        strategy: Which layers are randomized and how, or the order of a cascade; a cascade with the
            same seed and draws has the same weights.
        draws: How often each step is drawn.

    Raises:
        ArgumentError: `strategy` is none, or `draws` is below 1.

    Source: the idea of a reference curve beside the maps': a replication of Binder et al. 2023.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net, x = torch.nn.Linear(4, 3), np.random.default_rng(0).standard_normal((9, 4)).astype("float32")
        >>> ar.ModelDecay().run(ar.Subject(net, x, seed=0)).mean("agreement")[0]
        np.float64(1.0)
    """

    name: ClassVar[str] = "model_decay"
    question: ClassVar[str] = "How far does the model itself fall, step by step?"
    meaning: ClassVar[str] = "a high score says that the model is still what it was"
    cannot_say: ClassVar[str] = "anything about maps"
    of_the_model: ClassVar[bool] = True

    strategy: StrategyLike = "top_down"
    draws: int = 1

    def __post_init__(self) -> None:
        resolve_strategy(self.strategy)
        whole_number("draws", self.draws, least=1, example=3)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """One walk without explainers; see `PassCheck.needs`."""
        return Needs((Walk(resolve_strategy(self.strategy), self.draws),))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The three measures by draw and step; the first step is the trained model. See `PassCheck.read`."""
        walk = found.walks[0]
        parts = {name: (getattr(walk.trained, name), getattr(walk.outputs, name)) for name in _MEASURES}
        return (
            Scores(
                check=self.name,
                dimensions={
                    "draw": tuple(range(self.draws)),
                    "step": ("trained", *(step.name for step in walk.plan.steps)),
                },
                scores={
                    name: np.concatenate([np.broadcast_to(own, (self.draws, 1)), moved], axis=1)
                    for name, (own, moved) in parts.items()
                },
                notes={ITSELF: Notes(walk.told)},
                meaning=self.meaning,
                seed=subject.seed,
                settings={"strategy": repr(resolve_strategy(self.strategy)), **subject.described([])},
                versions=subject.versions(),
            ),
        )


_MEASURES = ("accuracy", "agreement", "correlation")


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


def sensitivity_ratio(scores: Scores, measure: str | None = None) -> float:
    """How deep a cascade goes until maps lose half their likeness, over how deep until the outputs do.

    Above 1 the maps outlive the model, below 1 they change before it does. NaN where one of the two
    does not fall below one half. It depends on how layers are grouped into steps.

    Args:
        scores: Of a cascade, of one explainer.
        measure: Which score; by default the first.

    Raises:
        ArgumentError: The scores are of no cascade, or of several explainers.

    Source: a replication of Binder et al. 2023 (the ratio of D_half and D_arch).
    """
    outputs, means = scores.moved, scores.mean(measure)
    if means.ndim > 1:
        raise ArgumentError(
            "scores",
            expected="those of one explainer over the steps of a cascade",
            received=f"scores over {', '.join(scores.dimensions)}",
            fix="Take those of one, such as scores['gradient'].",
        )
    own, model = half_depth(means), half_depth(defined_mean(outputs.correlation, 0))
    return own / model if model > 0 else float("nan")
