"""View of a model on one batch in one state of its weights: what was computed once is not computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from array_api_compat import array_namespace

from agnostic_rand.adapters import (
    AdapterView,
    Array,
    ModelAdapter,
    ReluRule,
    SupportsExternalExplainers,
    SupportsOutputAndGradient,
    supports,
)


class BatchView(AdapterView):
    """An adapter that remembers what it computed for one batch, for all explainers that need it.

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
        self._computed: dict[tuple[object, ...], tuple[Array, Any]] = {}

    def clone(self) -> Self:
        """A view of a copy of the model."""
        return type(self)(self._adapter.clone(), self.inputs)

    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        """Watch foreign code, and remember the outputs that it computed."""
        if not supports(self._adapter, SupportsExternalExplainers):
            yield lambda: None
            return
        capable: Any = self._adapter
        with capable.explaining(inputs) as captured:
            yield captured
        if inputs is self.inputs and self._outputs is None:
            self._outputs = captured()

    def predict(self, inputs: Array) -> Array:
        """The outputs; those of the batch are computed at most once."""
        if inputs is not self.inputs:
            return self._adapter.predict(inputs)
        if self._outputs is None:
            self._outputs = self._adapter.predict(inputs)
        return self._outputs

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient; that of the batch is computed at most once for the same targets and rule."""
        if inputs is not self.inputs:
            return self._adapter.gradient(inputs, targets, relu=relu)
        gradient = self._remembered(("gradient", relu), targets, lambda: self._gradient(targets, relu))
        # A copy: an explainer may work in place.
        return array_namespace(gradient).asarray(gradient, copy=True)

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        """A layer's output and gradient; those of the batch are computed at most once."""
        if inputs is not self.inputs:
            return super().layer_gradient(inputs, targets, layer)
        compute = super().layer_gradient
        pair: tuple[Array, Array] = self._remembered(
            ("layer", layer), targets, lambda: compute(inputs, targets, layer)
        )
        return pair

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shapes of layers' outputs, found once for the batch."""
        compute = super().layer_shapes
        shapes: dict[str, tuple[int, ...]] = self._remembered(
            ("shapes", inputs.shape[0]), None, lambda: compute(inputs)
        )
        return shapes

    def _gradient(self, targets: Array, relu: ReluRule) -> Array:
        adapter = self._adapter
        if self._outputs is None and isinstance(adapter, SupportsOutputAndGradient):
            self._outputs, gradient = adapter.output_and_gradient(self.inputs, targets, relu=relu)
            return gradient
        return adapter.gradient(self.inputs, targets, relu=relu)

    def _remembered(self, key: tuple[object, ...], targets: Array, compute: Callable[[], Any]) -> Any:
        known = self._computed.get(key)
        # Targets are compared by identity: every explainer of a step gets the same array.
        if known is None or known[0] is not targets:
            known = (targets, compute())
            self._computed[key] = known
        return known[1]
