"""Explainer: what a saliency or attribution method is to a run."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.explainers.context import ExplanationContext


@runtime_checkable
class Explainer(Protocol):
    """A saliency or attribution method, written on what every adapter offers."""

    @property
    def name(self) -> str:
        """The snake_case name in results."""

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps of a batch.

        Args:
            adapter: The model to explain, trained or random.
            inputs: `(n, ...)`, on the model's device.
            targets: The classes to explain, `(n,)`.
            context: Where the batch stands in the run.

        Returns:
            Maps shaped like `inputs`, or without its channel axis; native or NumPy.
        """


def bound_model(explainer: Explainer) -> Any | None:
    """The model that an explainer object holds itself, or `None` where it takes any model."""
    return getattr(explainer, "bound_model", None)


@runtime_checkable
class ChoosesLayer(Protocol):
    """A method that looks at one layer, and chooses it by the model where none is named."""

    def settled(self, adapter: ModelAdapter, inputs: Array, channel_axis: int | None) -> Self:
        """The method with the layer's name."""


def settled(explainer: Explainer, adapter: ModelAdapter, inputs: Array, channel_axis: int | None) -> Explainer:
    """The explainer, or the same with the layers named that it, or a method inside it, takes in this model.

    Raises:
        AgnosticRandError: The model has no such layer.
    """
    if isinstance(explainer, ChoosesLayer):
        return explainer.settled(adapter, inputs, channel_axis)
    outer: Any = explainer
    if not is_dataclass(type(explainer)):
        return explainer
    parts = {one.name: getattr(outer, one.name) for one in fields(outer) if one.init}
    inner = {
        name: settled(part, adapter, inputs, channel_axis)
        for name, part in parts.items()
        if isinstance(part, Explainer)
    }
    changed = any(inner[name] is not parts[name] for name in inner)
    return replace(outer, **inner) if changed else explainer
