"""Activation scale: do large channels stay large when the weights are random?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter, SupportsLayerGradient, require
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.check_result import CheckResult
from agnostic_rand.checks.subject import RunOptions, Subject
from agnostic_rand.samples import ArrayLike
from agnostic_rand.similarity import spearman
from agnostic_rand.weights import CascadingRandomization

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class ActivationScale:
    """The share of the largest channels and the order of channels, trained against random, layer by layer.

    Randomizing from the top keeps the forward activations below, and often the scale of those
    above: large channels go on to dominate every explanation, whatever the weights. That is a limit
    of the test, not a property of an explanation.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`.
        share: The share of channels that count as the largest, in (0, 1].
        draws: How often the model is drawn.
        options: How the model is run.

    Raises:
        ArgumentError: An argument is out of range.

    Source: Binder et al. 2023, section 4.
    """

    model: Any
    inputs: ArrayLike
    share: float = 0.1
    draws: int = 1
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        real_number("share", self.share, least=0, example=0.1, above=True)
        whole_number("draws", self.draws, least=1, example=3)

    def run(self) -> CheckResult:
        """By draw and layer, `top_share_trained`, `top_share_random` and `channel_correlation` (Spearman).

        Every layer is seen in the state in which its own weights and those above are random.

        Raises:
            CapabilityError: The adapter cannot look inside the model.
            AgnosticRandError: The model or the data cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, None, self.options)
        plan = CascadingRandomization().plan(subject.adapter.layers())
        instead = "This check has to see the outputs of layers."
        with subject.working([]) as working, subject.randomizer(working, plan) as randomizer:
            require(working, SupportsLayerGradient, "ActivationScale()", instead)
            trained = _channel_norms(working, subject)
            layers = tuple(step.name for step in plan.steps if step.name in trained)
            scores = {
                name: np.full((self.draws, len(layers)), np.nan)
                for name in ("top_share_trained", "top_share_random", "channel_correlation")
            }
            for draw in range(self.draws):
                for number, step in enumerate(plan.steps):
                    if step.name not in trained:
                        continue
                    randomizer.apply(draw=draw, step=number)
                    random = _channel_norms(working, subject, step.name)[step.name]
                    place = draw, layers.index(step.name)
                    scores["top_share_trained"][place] = top_share(trained[step.name], self.share)
                    scores["top_share_random"][place] = top_share(random, self.share)
                    if len(random) > 1:
                        scores["channel_correlation"][place] = spearman(trained[step.name][None], random[None])[0]
            randomizer.restore()
        return CheckResult(
            check="activation_scale",
            explainer="(the model itself)",
            dimensions={"draw": tuple(range(self.draws)), "layer": layers},
            scores=scores,
            meaning="equal shares say that the randomized layer passes scales on as before",
            seed=subject.streams.seed,
            settings={"share": self.share, **subject.described([])},
            versions=subject.versions(),
        )


def top_share(norms: HostArray, share: float) -> float:
    """The share of the sum that the largest `share` of the values have, in (0, 1].

    Example:
        >>> top_share(np.array([1.0, 1.0, 1.0, 5.0]), 0.25)
        0.625
    """
    count = max(1, math.ceil(share * len(norms)))
    total = float(norms.sum())
    return float(np.sort(norms)[-count:].sum()) / total if total > 0 else float("nan")


def _channel_norms(adapter: ModelAdapter, subject: Subject, only: str | None = None) -> dict[str, HostArray]:
    """By layer, the mean absolute output of each channel over samples and space."""
    capable: Any = adapter
    inputs = adapter.asarray(subject.samples.inputs[: subject.options.batch_size])
    targets = adapter.asarray(np.zeros(inputs.shape[0], dtype=np.int64))
    names = [layer.name for layer in adapter.layers()] if only is None else [only]
    shapes = capable.layer_shapes(inputs)
    norms = {}
    for name in names:
        if name not in shapes or len(shapes[name]) < 2:
            continue
        output = adapter.to_numpy(capable.layer_gradient(inputs, targets, name)[0])
        axis = subject.channel_axis % output.ndim if output.ndim > 2 else 1
        norms[name] = np.abs(output).mean(axis=tuple(i for i in range(output.ndim) if i != axis))
    return norms
