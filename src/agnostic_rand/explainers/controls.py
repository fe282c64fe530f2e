"""Maps that do not explain: the controls that a check must be able to tell from explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import ndimage

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.explainer import Explainer
from agnostic_rand.explainers.gradient import Gradient


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
        return np.moveaxis(np.stack(drawn), -1, context.channel_axis)


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


@dataclass(frozen=True)
class InputMap:
    """The input itself: as far from the model as a map can be, and always the same."""

    name: ClassVar[str] = "input_map"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, equal to `inputs`; see `Explainer.explain`."""
        return inputs


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


@dataclass(frozen=True)
class PermutedMap:
    """Another method's map with its pixels shuffled: its distribution without its places.

    A new order for each sample, step and draw; the channels of a pixel stay together.

    Args:
        base: The method whose maps are shuffled.
    """

    base: Explainer = Gradient()

    @property
    def name(self) -> str:
        """`"permuted_map"`, and the base method's name where it is not the gradient."""
        return "permuted_map" if isinstance(self.base, Gradient) else f"permuted_map_of_{self.base.name}"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like the base method's; see `Explainer.explain`."""
        maps = adapter.to_numpy(self.base.explain(adapter, inputs, targets, context))
        has_channels = maps.ndim == inputs.ndim and maps.ndim > 2
        last = np.moveaxis(maps, context.channel_axis, -1) if has_channels else maps[..., None]
        pixels = last.reshape(last.shape[0], -1, last.shape[-1])
        shuffled = np.stack([context.own_noise(i).permutation(pixels[i]) for i in range(len(pixels))])
        back = shuffled.reshape(last.shape)
        return np.moveaxis(back, -1, context.channel_axis) if has_channels else back[..., 0]


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
    difference = ndimage.correlate1d(images, [-1, 0, 1], axis=along, mode="nearest")
    smoothed: HostArray = ndimage.correlate1d(difference, [1, 2, 1], axis=across, mode="nearest")
    return smoothed
