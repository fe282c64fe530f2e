"""An adapter seen through another: the base of what wraps one."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from agnostic_rand.adapters.protocol import (
    Array,
    HostArray,
    Layer,
    ModelAdapter,
    OrderSource,
    ReluRule,
    SupportsReluRules,
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

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """The rules of the wrapped adapter."""
        return self._adapter.relu_rules() if isinstance(self._adapter, SupportsReluRules) else ("standard",)
