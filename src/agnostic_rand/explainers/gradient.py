"""Gradient of the output with respect to the inputs, and explanations by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.registry import METHODS, named


@named(METHODS, "gradient")
@dataclass(frozen=True)
class Gradient:
    """The gradient of the target's output with respect to the inputs, with its sign.

    Source: Simonyan et al. 2014, section 3.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Linear(3, 2, bias=False)
        >>> maps = ar.explain(net, np.ones((1, 3), "float32"), [1], "gradient")
        >>> bool((maps[0] == net.weight[1].detach().numpy()).all())
        True
    """

    name: ClassVar[str] = "gradient"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        return adapter.gradient(inputs, targets)


@named(METHODS, "saliency")
@dataclass(frozen=True)
class Saliency:
    """The absolute value of the gradient.

    Source: Simonyan et al. 2014, section 3.
    """

    name: ClassVar[str] = "saliency"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`, at least 0; see `Explainer.explain`."""
        return abs(adapter.gradient(inputs, targets))


@named(METHODS, "gradient_times_input")
@dataclass(frozen=True)
class GradientTimesInput:
    """The gradient times the input, element by element.

    Source: Shrikumar et al. 2016.
    """

    name: ClassVar[str] = "gradient_times_input"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        return adapter.gradient(inputs, targets) * inputs
