"""Maps that do not explain: the controls that a check must be able to tell from explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import ndimage

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers.context import ExplanationContext


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
        shape = tuple(inputs.shape[1:])
        draws = [context.own_noise(i) for i in range(inputs.shape[0])]
        if self.distribution == "uniform":
            return np.stack([rng.random(shape, dtype=np.float32) for rng in draws])
        return np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in draws])


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
        vertical = ndimage.sobel(images, axis=1, mode="nearest")
        horizontal = ndimage.sobel(images, axis=2, mode="nearest")
        return np.hypot(vertical, horizontal)
