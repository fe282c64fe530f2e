"""Scale preservation: do large channels stay large, and dominate, when the weights are random?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter, SupportsLayerGradient, require
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.checks._inside import Place, channel_axis, places_of
from agnostic_rand.checks.check import ITSELF, Check
from agnostic_rand.errors import ArgumentError, ModelError
from agnostic_rand.explainers import Explainer
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import spearman
from agnostic_rand.statistics import defined_mean
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import CascadingRandomization


@dataclass(frozen=True)
class ScalePreservation(Check):
    """The share of the largest channels and the order of channels, trained against random, layer by layer.

    `h` is what a layer passes on, after its activation function (`settings["seen"]` says where that
    was seen), and `c` the mean of `|h|` of each channel over samples and space.
    `top_share = sum of the largest c / sum of all c`, in the trained layer and where its own weights
    and those above are random; `channel_correlation`, Spearman's of the two. With `h g` the activation
    times the class's gradient: `top_contribution`, the share of `sum |h g|` that those channels have
    whose trained `c` is the largest, in the trained model and where all layers above are random.
    `top_wins_expected` is how often a channel among the largest is to contribute more than one of the
    others when both have fresh weights, the mean of `win_probability` over such pairs.

    Randomizing from the top keeps the activations below, so that large channels go on to dominate
    every explanation, whatever the weights above. Where `top_contribution_random` is near
    `top_share_trained`, a low change of a map is a limit of the test, not a property of the method.
    It says nothing about any one explanation. The class is the model's prediction, where there are no labels.

    Args:
        share: The share of channels that count as the largest, in (0, 1].
        draws: How often the model is drawn.

    Raises:
        ArgumentError: An argument is out of range.

    Source: Binder et al. 2023, section 4.
    """

    name: ClassVar[str] = "scale_preservation"
    question: ClassVar[str] = "Do large channels stay large, and dominate, when the weights are random?"
    meaning: ClassVar[str] = "a random contribution near the trained share says that large channels dominate"
    cannot_say: ClassVar[str] = "anything about one explanation"
    of_the_model: ClassVar[bool] = True

    share: float = 0.1
    draws: int = 1

    def __post_init__(self) -> None:
        if real_number("share", self.share, least=0, example=0.1, above=True) > 1:
            raise ArgumentError(
                "share", expected="a share in (0, 1]", received=repr(self.share), fix="Pass share=0.1."
            )
        whole_number("draws", self.draws, least=1, example=3)

    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """By draw and layer, the shares and the correlation; NaN where there is one channel or none above.

        Raises:
            CapabilityError: The adapter cannot look inside the model.
            ModelError: The model has no layer to look at.
            AgnosticRandError: The model or the data cannot be used.
        """
        plan = CascadingRandomization().plan(subject.adapter.layers())
        instead = "This check has to see the outputs of layers."
        with subject.working([]) as working, subject.randomizer(working, plan) as randomizer:
            require(working, SupportsLayerGradient, "ScalePreservation()", instead)
            targets = subject.fixed_targets(working)
            places = places_of(working, subject)
            look = _Look(working, subject, targets, places)
            trained = {step.name: look.at(step.name) for step in plan.steps if step.name in places}
            if not trained:
                raise ModelError(
                    "the model",
                    expected="a layer with parameters whose output can be seen",
                    received="none: its parameters belong to no layer that is called",
                    fix="Build the model from layers of its framework.",
                )
            layers = tuple(trained)
            shape = self.draws, len(layers)
            scores = {name: np.full(shape, np.nan) for name in _MEASURES}
            for place, (norms, products) in enumerate(trained.values()):
                scores["top_share_trained"][:, place] = top_share(norms, self.share)
                scores["top_wins_expected"][:, place] = _expected_wins(norms, self.share)
                scores["top_contribution_trained"][:, place] = _share_of_largest(products, norms, self.share)
            for draw in range(self.draws):
                for number, step in enumerate(plan.steps):
                    if step.name not in trained:
                        continue
                    place, norms = layers.index(step.name), trained[step.name][0]
                    if number > 0:
                        randomizer.apply(draw=draw, step=number - 1)
                        products = look.at(step.name)[1]
                        scores["top_contribution_random"][draw, place] = _share_of_largest(
                            products, norms, self.share
                        )
                    randomizer.apply(draw=draw, step=number)
                    random = look.at(step.name)[0]
                    scores["top_share_random"][draw, place] = top_share(random, self.share)
                    if len(random) > 1:
                        scores["channel_correlation"][draw, place] = spearman(norms[None], random[None])[0]
            randomizer.restore()
        return (
            Scores(
                check=self.name,
                notes={ITSELF: Notes()},
                dimensions={"draw": tuple(range(self.draws)), "layer": layers},
                scores=scores,
                meaning=self.meaning,
                seed=subject.seed,
                settings={
                    "share": self.share,
                    "seen": {name: places[name].words for name in layers},
                    **subject.described([]),
                },
                versions=subject.versions(),
            ),
        )


_MEASURES = (
    "top_share_trained",
    "top_share_random",
    "channel_correlation",
    "top_contribution_trained",
    "top_contribution_random",
    "top_wins_expected",
)


def win_probability(first: HostArray, second: HostArray) -> HostArray:
    """How likely `|v first| > |w second|` is for independent `v, w ~ N(0, s)`: `2/pi arctan(|first| / |second|)`.

    In [0, 1]: 0.5 for equal sizes, whatever `s`; NaN where both are 0.

    Source: the ratio of two centred normals is Cauchy; after Binder et al. 2023, section 4.

    Example:
        >>> win_probability(np.array([1.0, 2.0, 5.0, 10.0]), np.array(1.0)).round(3)
        array([0.5  , 0.705, 0.874, 0.937])
    """
    sizes = np.abs(first), np.abs(second)
    found: HostArray = 2 / np.pi * np.arctan2(*sizes)
    return np.where((sizes[0] == 0) & (sizes[1] == 0), np.nan, found)


def top_share(norms: HostArray, share: float) -> float:
    """The share of the sum that the largest `share` of the values have, in (0, 1]; NaN where all are 0.

    Example:
        >>> top_share(np.array([1.0, 1.0, 1.0, 5.0]), 0.25)
        0.625
    """
    return _share_of_largest(norms, norms, share)


def _share_of_largest(values: HostArray, norms: HostArray, share: float) -> float:
    """The share of the sum of `values` at the largest `norms`."""
    total = float(values.sum())
    chosen, _ = _split(norms, share)
    return float(values[chosen].sum()) / total if total > 0 else float("nan")


def _expected_wins(norms: HostArray, share: float) -> float:
    """The mean of `win_probability` over pairs of a channel among the largest and another; NaN without pairs."""
    largest, others = (norms[part] for part in _split(norms, share))
    wins = win_probability(largest[:, None], others[None, :])
    return float(defined_mean(wins))


def _split(norms: HostArray, share: float) -> tuple[HostArray, HostArray]:
    """The places of the largest and of the others."""
    # Rounding first: 10 % of 70 channels is 7.000000000000001 in floating point.
    count = max(1, math.ceil(round(share * len(norms), 9)))
    order = np.argsort(norms, kind="stable")
    return order[-count:], order[:-count]


@dataclass(frozen=True)
class _Look:
    adapter: ModelAdapter
    subject: Subject
    targets: HostArray
    places: Mapping[str, Place]

    def at(self, name: str) -> tuple[HostArray, HostArray]:
        """By channel, the mean over samples and space of the absolute activation, and of it times its gradient."""
        place = self.places[name]
        samples, size = self.subject.samples, self.subject.batch_size
        norms: Any = 0.0
        products: Any = 0.0
        for start in range(0, len(samples), size):
            batch = samples[start : start + size].placed(self.adapter)
            capable: Any = batch.seen_by(self.adapter)
            classes = self.adapter.asarray(self.targets[start : start + size])
            found = capable.layer_gradient(batch.explained, classes, place.seen_at)
            output, gradient = (self.adapter.to_numpy(part).astype(np.float64) for part in found)
            activation = place.activation(output)
            axis = channel_axis(place.layer, output.shape, self.subject.layer_axis)
            others = tuple(i for i in range(output.ndim) if i != axis)
            share = output.shape[0] / len(samples) / np.prod([output.shape[i] for i in others])
            norms = norms + np.abs(activation).sum(axis=others) * share
            products = products + np.abs(activation * gradient).sum(axis=others) * share
        return norms, products
