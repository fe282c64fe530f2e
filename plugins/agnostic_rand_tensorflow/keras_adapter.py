"""The adapter of Keras models of version 2: what their layers tell besides their variables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import Array, HostArray, own_normalization, put_back
from agnostic_rand_keras.channels import channel_axis
from agnostic_rand_keras.native_init import initialized
from agnostic_rand_tensorflow.adapter import TensorFlowAdapter
from agnostic_rand_tensorflow.legacy_keras import is_kind, is_layer, namespace_of
from agnostic_rand_tensorflow.module_adapter import ModuleAdapter
from agnostic_rand_tensorflow.statistics import estimated_statistics


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
        self.channel_axis = channel_axis(namespace_of(self._native), [*ordered, *self._ownership.owners.values()])

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        """What the layer's own initializers give; nothing for bare variables."""
        held, owner = self._parameters(layer), self._owners[layer]
        if owner is None:
            return {}
        state = random.getstate()
        # An initializer that takes no seed draws one from Python's generator.
        with put_back(lambda: random.setstate(state)):
            return initialized(namespace_of(self._native), owner, held, seed)

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """The running means and variances that `inputs` give in one batch."""
        owners = {name: self._owners[name] for name in layers if self._of(name)}
        for layer in self._layers:
            if layer.name in owners and layer.statistics and not is_kind(owners[layer.name], "BatchNormalization"):
                raise own_normalization(layer.name, type(owners[layer.name]).__name__)
        return estimated_statistics(owners, self._functions.eager_call(self._ready(inputs)))


def adapter_type(model: Any) -> type[TensorFlowAdapter]:
    """The adapter of Keras models, of modules, or of loaded SavedModels: by what can be known beyond variables."""
    if is_layer(model):
        return LegacyKerasAdapter
    return ModuleAdapter if isinstance(model, tf.Module) else TensorFlowAdapter
