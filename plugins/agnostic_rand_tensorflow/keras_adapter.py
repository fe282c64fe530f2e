"""The adapter of Keras models of version 2: what their layers tell besides their variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand_tensorflow.channels import channel_axis
from agnostic_rand_tensorflow.module_adapter import ModuleAdapter
from agnostic_rand_tensorflow.native_init import initialized
from agnostic_rand_tensorflow.statistics import estimated_statistics, refuse_own_normalization


class LegacyKerasAdapter(ModuleAdapter):
    """A `tf_keras` model: Sequential, functional or subclassed. Its arguments are `TensorFlowAdapter`'s."""

    def _open(self, *arguments: Any) -> None:
        super()._open(*arguments)
        self._find_channels()

    def _trace(self, *arguments: Any) -> None:
        super()._trace(*arguments)
        self._find_channels()

    def _find_channels(self) -> None:
        ordered = [self._owners[layer.name] for layer in self._layers]
        self.channel_axis = channel_axis([*ordered, *self._ownership.owners.values()])

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the layer's own initializers give; nothing for bare variables."""
        held = self._held(layer)
        parameters = next(known.parameters for known in self._layers if known.name == layer)
        owner = self._owners[layer]
        return {} if owner is None else initialized(owner, {p.name: held[p.name] for p in parameters}, seed)

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        owners = {name: self._owners[name] for name in layers if self._held(name)}
        for layer in self._layers:
            if layer.name in owners and layer.statistics:
                refuse_own_normalization(layer.name, owners[layer.name])
        return estimated_statistics(owners, self._functions.eager_call(self._ready(inputs)))
