"""Adapter of a model that is listed in an inventory: the part of the contract that the built-in backends share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

from agnostic_rand.adapters.protocol import Array, HostArray, Layer, OrderSource, ReluRule, SideInputs
from agnostic_rand.adapters.refusals import refuse_misfits
from agnostic_rand.errors import unknown_name

Held = TypeVar("Held")


class ListedAdapter(ABC, Generic[Held]):
    """A model whose arrays are known by layer and name, that may take several inputs and knows all ReLU rules.

    A subclass keeps `_layers` and `_held`, as `inventory_of` returns them.
    """

    order_source: OrderSource = "declared"
    other_arrays: tuple[str, ...] = ()
    side_inputs: SideInputs | None = None
    _layers: tuple[Layer, ...]
    _held: Mapping[str, Mapping[str, Held]]

    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the forward pass where it was seen."""
        return self._layers

    def read(self, layer: str) -> dict[str, HostArray]:
        """Host copies; bfloat16 comes as float32."""
        return self._copies(self._of(layer))

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Write the values in place, in the types of what holds them."""
        refuse_misfits(layer, values, self._layers)
        self._assign(layer, values)

    def beside(self, inputs: SideInputs) -> Self:
        """The same model as a function of one of its inputs; what was compiled is shared."""
        twin = copy.copy(self)
        twin.side_inputs = inputs
        return twin

    def to_native(self, x: Array) -> Any:
        """The array itself."""
        return x

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient of the targets' outputs, shaped like the inputs."""
        return self.output_and_gradient(inputs, targets, relu=relu)[1]

    @abstractmethod
    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        """The outputs and the gradient, from one forward pass."""

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """All rules; a model whose ReLUs cannot be reached is refused when it is called."""
        return ("standard", "guided", "deconv")

    @abstractmethod
    def _copies(self, held: Mapping[str, Held]) -> dict[str, HostArray]:
        """Host copies of what these hold."""

    @abstractmethod
    def _assign(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Write values that are known to fit."""

    def _of(self, layer: str) -> Mapping[str, Held]:
        """By name, what holds a layer's arrays."""
        if layer not in self._held:
            raise unknown_name("layer", layer, self._held)
        return self._held[layer]

    def _parameters(self, layer: str) -> dict[str, Held]:
        """The same without statistics."""
        held = self._of(layer)
        names = (p.name for known in self._layers if known.name == layer for p in known.parameters)
        return {name: held[name] for name in names}
