"""What an explainer is to the engine."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

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
