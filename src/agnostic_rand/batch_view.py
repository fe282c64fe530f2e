"""One model on one batch in one state of its weights: what was computed once is not computed again."""

from __future__ import annotations

from typing import Self

from agnostic_rand.adapters import AdapterView, Array, ModelAdapter, ReluRule, SupportsOutputAndGradient


class BatchView(AdapterView):
    """An adapter that remembers the outputs of one batch.

    A gradient passes through the outputs on its way: with them remembered, the engine's look at
    the outputs of each step costs no second forward pass.

    Args:
        adapter: The adapter of the model, whose weights stay the same while this view lives.
        inputs: The batch. Other arrays (noisy copies, points on a way) are passed through.
    """

    def __init__(self, adapter: ModelAdapter, inputs: Array) -> None:
        super().__init__(adapter)
        self.inputs = inputs
        self._outputs: Array | None = None

    def clone(self) -> Self:
        """A view of a copy of the model."""
        return type(self)(self._adapter.clone(), self.inputs)

    def predict(self, inputs: Array) -> Array:
        """The outputs; those of the batch are computed at most once."""
        if inputs is not self.inputs:
            return self._adapter.predict(inputs)
        if self._outputs is None:
            self._outputs = self._adapter.predict(inputs)
        return self._outputs

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient; with the batch's outputs remembered where the adapter gives them too."""
        adapter = self._adapter
        if inputs is self.inputs and self._outputs is None and isinstance(adapter, SupportsOutputAndGradient):
            self._outputs, gradient = adapter.output_and_gradient(inputs, targets, relu=relu)
            return gradient
        return adapter.gradient(inputs, targets, relu=relu)
