"""View of an adapter: the base of what wraps one."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from agnostic_rand.adapters.protocol import (
    Array,
    FromLayer,
    HostArray,
    Layer,
    ModelAdapter,
    OrderSource,
    Reads,
    ReluRule,
    SideInputs,
)


class AdapterView:
    """Passes every member of the contract on; subclasses change what they are for.

    Args:
        adapter: The adapter that is wrapped.
    """

    def __init__(self, adapter: ModelAdapter) -> None:
        self._adapter = adapter
        self.framework = adapter.framework
        self.channel_axis = adapter.channel_axis
        self.order_source: OrderSource = adapter.order_source

    @property
    def native(self) -> Any:
        """The framework's model."""
        return self._adapter.native

    @property
    def xp(self) -> ModuleType:
        """The array namespace of outputs and gradients."""
        return self._adapter.xp

    def layers(self) -> tuple[Layer, ...]:
        """The model's layers."""
        return self._adapter.layers()

    def read(self, layer: str) -> dict[str, HostArray]:
        """Host copies of a layer's values."""
        return self._adapter.read(layer)

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Write a layer's values."""
        self._adapter.write(layer, values)

    def asarray(self, x: HostArray) -> Array:
        """`x` on the model's device."""
        return self._adapter.asarray(x)

    def to_numpy(self, x: Array) -> HostArray:
        """`x` on the host."""
        return self._adapter.to_numpy(x)

    def to_native(self, x: Array) -> Any:
        """`x` as a user of the framework expects it."""
        return self._adapter.to_native(x)

    @property
    def wrapped(self) -> ModelAdapter:
        """The adapter behind this view."""
        return self._adapter

    # What follows passes capabilities on. `capabilities.supports` asks the adapter behind the view, so
    # these are called only where it has them.

    @property
    def side_inputs(self) -> SideInputs | None:
        """What stands beside the explained input."""
        capable: Any = self._adapter
        side: SideInputs | None = capable.side_inputs
        return side

    @property
    def other_arrays(self) -> tuple[str, ...]:
        """Arrays that no layer lists."""
        capable: Any = self._adapter
        others: tuple[str, ...] = capable.other_arrays
        return others

    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        """What a forward pass reads of a model."""
        capable: Any = self._adapter
        reads: Reads = capable.reads(inputs, of)
        return reads

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """The rules of the wrapped adapter."""
        capable: Any = self._adapter
        rules: tuple[ReluRule, ...] = capable.relu_rules()
        return rules

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's output."""
        capable: Any = self._adapter
        shapes: dict[str, tuple[int, ...]] = capable.layer_shapes(inputs)
        return shapes

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        """A layer's output, and the gradient with respect to it."""
        capable: Any = self._adapter
        output, gradient = capable.layer_gradient(inputs, targets, layer)
        return output, gradient

    def from_layer(self, inputs: Array, layer: str) -> FromLayer:
        """The model from a layer on."""
        capable: Any = self._adapter
        rest: FromLayer = capable.from_layer(inputs, layer)
        return rest
