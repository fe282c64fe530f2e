"""Activation scale: do large channels stay large, and dominate, when the weights are random?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, ModelAdapter, SupportsLayerGradient, require
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.check_result import CheckResult
from agnostic_rand.checks.subject import RunOptions, Subject
from agnostic_rand.errors import ArgumentError, ModelError
from agnostic_rand.samples import ArrayLike
from agnostic_rand.similarity import spearman
from agnostic_rand.weights import CascadingRandomization

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class ActivationScale:
    """The share of the largest channels and the order of channels, trained against random, layer by layer.

    With `c(h)` the mean absolute output of each channel over samples and space:
    `top_share = sum of the largest c / sum of all c`, in the trained layer and where its own weights
    and those above are random; `channel_correlation`, Spearman's of the two. With `h g` the outputs
    times the class's gradient: `top_contribution`, the share of `sum |h g|` that those channels have
    whose trained `c` is the largest, in the trained model and where all layers above are random.

    Randomizing from the top keeps the activations below, so that large channels go on to dominate
    every explanation, whatever the weights above: where `top_contribution_random` is near
    `top_share_trained`, a low change of a map is a limit of the test, not a property of the method.
    It says nothing about any one explanation.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`; class: the model's prediction.
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
        if real_number("share", self.share, least=0, example=0.1, above=True) > 1:
            raise ArgumentError(
                "share", expected="a share in (0, 1]", received=repr(self.share), fix="Pass share=0.1."
            )
        whole_number("draws", self.draws, least=1, example=3)

    def run(self) -> CheckResult:
        """By draw and layer, the shares and the correlation; NaN where there is one channel or none above.

        Raises:
            CapabilityError: The adapter cannot look inside the model.
            ModelError: The model has no layer to look at.
            AgnosticRandError: The model or the data cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, None, self.options)
        plan = CascadingRandomization().plan(subject.adapter.layers())
        instead = "This check has to see the outputs of layers."
        with subject.working([]) as working, subject.randomizer(working, plan) as randomizer:
            require(working, SupportsLayerGradient, "ActivationScale()", instead)
            targets = subject.fixed_targets(working)
            look = _Look(working, subject, targets)
            trained = {step.name: look.at(step.name) for step in plan.steps if step.name in look.names}
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
        return CheckResult(
            check="activation_scale",
            explainer="(the model itself)",
            dimensions={"draw": tuple(range(self.draws)), "layer": layers},
            scores=scores,
            meaning="a random contribution near the trained share says that large channels dominate",
            seed=subject.streams.seed,
            settings={"share": self.share, **subject.described([])},
            versions=subject.versions(),
        )


_MEASURES = (
    "top_share_trained",
    "top_share_random",
    "channel_correlation",
    "top_contribution_trained",
    "top_contribution_random",
)


def top_share(norms: HostArray, share: float) -> float:
    """The share of the sum that the largest `share` of the values have, in (0, 1]; NaN where all are 0.

    Example:
        >>> top_share(np.array([1.0, 1.0, 1.0, 5.0]), 0.25)
        0.625
    """
    return _share_of_largest(norms, norms, share)


def _share_of_largest(values: HostArray, norms: HostArray, share: float) -> float:
    """The share of the sum of `values` at the largest `norms`."""
    count = max(1, math.ceil(share * len(norms)))
    total = float(values.sum())
    chosen = np.argsort(norms, kind="stable")[-count:]
    return float(values[chosen].sum()) / total if total > 0 else float("nan")


@dataclass(frozen=True)
class _Look:
    adapter: ModelAdapter
    subject: Subject
    targets: HostArray

    @property
    def names(self) -> tuple[str, ...]:
        """The layers whose outputs have channels."""
        placed = self.subject.samples[:1].placed(self.adapter)
        capable: Any = placed.seen_by(self.adapter)
        shapes = capable.layer_shapes(placed.explained)
        return tuple(layer.name for layer in self.adapter.layers() if len(shapes.get(layer.name, ())) > 1)

    def at(self, name: str) -> tuple[HostArray, HostArray]:
        """The mean absolute output of each channel over samples and space, and that of output times gradient."""
        layer = next(layer for layer in self.adapter.layers() if layer.name == name)
        samples, size = self.subject.samples, self.subject.options.batch_size
        norms: Any = 0.0
        products: Any = 0.0
        for start in range(0, len(samples), size):
            batch = samples[start : start + size].placed(self.adapter)
            capable: Any = batch.seen_by(self.adapter)
            classes = self.adapter.asarray(self.targets[start : start + size])
            found = capable.layer_gradient(batch.explained, classes, name)
            output, gradient = (self.adapter.to_numpy(part).astype(np.float64) for part in found)
            axis = _channel_axis(layer, output.shape, self.subject.channel_axis)
            others = tuple(i for i in range(output.ndim) if i != axis)
            share = output.shape[0] / len(samples) / np.prod([output.shape[i] for i in others])
            norms = norms + np.abs(output).sum(axis=others) * share
            products = products + np.abs(output * gradient).sum(axis=others) * share
        return norms, products


def _channel_axis(layer: Layer, shape: tuple[int, ...], images: int) -> int:
    """The axis with as many entries as the layer has output channels: where images keep theirs, or the last."""
    counts = {p.shape[-1] for p in layer.parameters if len(p.shape) == 1}
    axes = [images % len(shape)] if len(shape) == 4 else []
    fitting = [axis for axis in (*axes, len(shape) - 1, 1) if shape[axis] in counts or not counts]
    return fitting[0] if fitting else (axes or [1])[0]
