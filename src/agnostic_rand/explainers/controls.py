"""Controls: maps that do not explain, which a check must be able to tell from explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import whole_number
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.gradient import Gradient
from agnostic_rand.explainers.registry import CONTROLS, named
from agnostic_rand.explainers.resolve import resolve_explainer


@named(CONTROLS, "random_map")
@dataclass(frozen=True)
class RandomMap:
    """Independent noise, a new map for each sample, step and draw: it wins every similarity.

    Args:
        distribution: `"uniform"` on [0, 1), or `"normal"`.

    Raises:
        ArgumentError: `distribution` is neither.

    Source: Adebayo et al. 2018, appendix B; Binder et al. 2023.
    """

    name: ClassVar[str] = "random_map"

    distribution: Literal["uniform", "normal"] = "uniform"

    def __post_init__(self) -> None:
        if self.distribution not in ("uniform", "normal"):
            raise ArgumentError(
                "distribution",
                expected="'uniform' or 'normal'",
                received=repr(self.distribution),
                fix="Pass one of the two.",
            )

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        shape = context.channels_last(tuple(inputs.shape))[1:]
        generators = [context.own_noise(i) for i in range(inputs.shape[0])]
        if self.distribution == "uniform":
            drawn = [rng.random(shape, dtype=np.float32) for rng in generators]
        else:
            drawn = [rng.standard_normal(shape, dtype=np.float32) for rng in generators]
        return context.from_channels_last(np.stack(drawn))


@named(CONTROLS, "constant_map")
@dataclass(frozen=True)
class ConstantMap:
    """One value everywhere: every correlation with it is undefined.

    Args:
        value: The value, finite.
    """

    name: ClassVar[str] = "constant_map"

    value: float = 1.0

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        return np.full(tuple(inputs.shape), self.value, dtype=np.float32)


@named(CONTROLS, "input_map")
@dataclass(frozen=True)
class InputMap:
    """The input itself: as far from the model as a map can be, and always the same."""

    name: ClassVar[str] = "input_map"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, equal to `inputs`; see `Explainer.explain`."""
        return inputs


@named(CONTROLS, "input_times_noise")
@dataclass(frozen=True)
class InputTimesNoise:
    """The input times independent noise: all that a random map shares with another is the input's zeros.

    A new map for each sample, step and draw.

    Source: Adebayo et al. 2018, appendix (figure 19).
    """

    name: ClassVar[str] = "input_times_noise"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        return adapter.to_numpy(inputs) * RandomMap("normal").explain(adapter, inputs, targets, context)


@named(CONTROLS, "permuted_map")
@dataclass(frozen=True)
class PermutedMap:
    """Another method's map with its pixels shuffled: its distribution without its places.

    A new order for each sample, step and draw; the channels of a pixel stay together.

    Args:
        base: The method whose maps are shuffled.
    """

    base: Explainer = Gradient()

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", resolve_explainer(self.base))

    @property
    def name(self) -> str:
        """`"permuted_map"`, and the base method's name where it is not the gradient."""
        return "permuted_map" if isinstance(self.base, Gradient) else f"permuted_map_of_{self.base.name}"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like the base method's; see `Explainer.explain`."""
        maps = adapter.to_numpy(self.base.explain(adapter, inputs, targets, context))
        axis = context.channel_axis if maps.ndim == inputs.ndim else None
        last = maps[..., None] if axis is None else np.moveaxis(maps, axis, -1)
        pixels = last.reshape(last.shape[0], -1, last.shape[-1])
        shuffled = np.stack([context.own_noise(i).permutation(pixels[i]) for i in range(len(pixels))])
        back = shuffled.reshape(last.shape)
        return back[..., 0] if axis is None else np.moveaxis(back, -1, axis)


@named(CONTROLS, "competitive_gradient_times_input")
@dataclass(frozen=True)
class CompetitiveGradientTimesInput:
    """The gradient times the input, kept where the explained class wins the element over all others.

    An element is kept where its value is positive and above that of every other class, or negative and
    below it; elsewhere the map is 0. Random weights above change which class wins, so that this map
    passes a randomization check, although the input decides its values as much as before: passing
    is not sufficient. The cost is one gradient for each class of the model.

    Args:
        most_classes: The most outputs that a model may have.

    Raises:
        ArgumentError: `most_classes` is below 2.
        InputError: The model has a single output, or more than `most_classes`.

    Source: Gupta & Arora 2019, section 3 (CGI).

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Linear(3, 2, bias=False)
        >>> _ = net.weight.data.copy_(torch.tensor([[1.0, -2.0, 3.0], [2.0, -1.0, -3.0]]))
        >>> ar.explain(net, np.ones((1, 3), "float32"), [0], "competitive_gradient_times_input")
        array([[ 0., -2.,  3.]], dtype=float32)
    """

    name: ClassVar[str] = "competitive_gradient_times_input"

    most_classes: int = 100

    def __post_init__(self) -> None:
        whole_number("most_classes", self.most_classes, least=2, example=100)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        classes = int(adapter.predict(inputs).shape[1])
        if not 2 <= classes <= self.most_classes:
            raise InputError(
                "CompetitiveGradientTimesInput()",
                expected=f"a model with 2 to {self.most_classes} outputs, each of which costs a gradient",
                received=f"{classes}",
                fix=f"Pass most_classes={classes}." if classes > 1 else "One class has no other to compete with.",
            )
        own_class = adapter.to_numpy(targets)
        values, count = adapter.to_numpy(inputs), inputs.shape[0]
        own = np.zeros(values.shape, values.dtype)
        highest, lowest = np.full(values.shape, -np.inf), np.full(values.shape, np.inf)
        for number in range(classes):
            gradient = adapter.to_numpy(adapter.gradient(inputs, adapter.asarray(np.full(count, number))))
            map_of_class = gradient * values
            mine = own_class == number
            own[mine] = map_of_class[mine]
            others = map_of_class[~mine]
            highest[~mine] = np.maximum(highest[~mine], others)
            lowest[~mine] = np.minimum(lowest[~mine], others)
        wins = ((own > 0) & (own > highest)) | ((own < 0) & (own < lowest))
        return np.where(wins, own, 0).astype(own.dtype)


@named(CONTROLS, "edge_detector")
@dataclass(frozen=True)
class EdgeDetector:
    """The input's edges: the length of the Sobel gradient of the mean over channels.

    Raises:
        InputError: The inputs are not images.

    Source: Adebayo et al. 2018, figure 1, uses an edge detector as a control.
    """

    name: ClassVar[str] = "edge_detector"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs` without channels; see `Explainer.explain`."""
        images = adapter.to_numpy(inputs).astype(np.float32)
        if images.ndim == 4:
            images = images.mean(axis=context.channel_axis)
        if images.ndim != 3:
            raise InputError(
                "EdgeDetector()",
                expected="images (n, h, w) or with channels",
                received=f"inputs of shape {tuple(inputs.shape)}",
                fix="Leave this control out for inputs that are not images.",
            )
        # One axis after the other: scipy's sobel() smooths along the batch too.
        vertical = _sobel(images, along=1, across=2)
        horizontal = _sobel(images, along=2, across=1)
        return np.hypot(vertical, horizontal)


def _sobel(images: HostArray, along: int, across: int) -> HostArray:
    # SciPy takes longer to import than this library: not before it is needed.
    from scipy import ndimage

    difference = ndimage.correlate1d(images, [-1, 0, 1], axis=along, mode="nearest")
    smoothed: HostArray = ndimage.correlate1d(difference, [1, 2, 1], axis=across, mode="nearest")
    return smoothed
