"""ReLU rules: explanations by a modified backward pass through rectified linear units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agnostic_rand.adapters import Array, ModelAdapter, require_relu_rule
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.registry import METHODS, named


@named(METHODS, "guided_backprop")
@dataclass(frozen=True)
class GuidedBackprop:
    """The gradient, with negative values set to zero on the way back through each ReLU.

    Raises:
        CapabilityError: The adapter cannot change the backward pass.
        ModelError: No ReLU was met in the model: the map would be the plain gradient.

    Source: Springenberg et al. 2015, section 3.4.
    """

    name: ClassVar[str] = "guided_backprop"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        require_relu_rule(adapter, "guided", "GuidedBackprop()")
        return adapter.gradient(inputs, targets, relu="guided")


@named(METHODS, "deconvnet")
@dataclass(frozen=True)
class Deconvnet:
    """The gradient, with each ReLU applied to the values on the way back instead of the way forth.

    Raises:
        CapabilityError: The adapter cannot change the backward pass.
        ModelError: No ReLU was met in the model: the map would be the plain gradient.

    Source: Zeiler & Fergus 2014, section 2.1.
    """

    name: ClassVar[str] = "deconvnet"

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        require_relu_rule(adapter, "deconv", "Deconvnet()")
        return adapter.gradient(inputs, targets, relu="deconv")
