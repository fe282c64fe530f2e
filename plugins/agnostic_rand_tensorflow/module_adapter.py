"""The adapter of modules: what happens inside, at the modules and layers that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import Array, HostArray, unusable_layer
from agnostic_rand.errors import unknown_name
from agnostic_rand_tensorflow.adapter import TensorFlowAdapter
from agnostic_rand_tensorflow.functions import full_precision, host_targets
from agnostic_rand_tensorflow.layer_calls import hooked
from agnostic_rand_tensorflow.ownership import is_modern_layer
from agnostic_rand_tensorflow.tracing import Trace


class ModuleAdapter(TensorFlowAdapter):
    """A `tf.Module` whose parts are called as `part(inputs)`. Its arguments are `TensorFlowAdapter`'s."""

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's output, in the order of the forward pass."""
        call = self._functions.eager_call(self._ready(inputs))
        shapes: dict[str, tuple[int, ...]] = {}

        def note(name: str, outputs: tf.Tensor) -> None:
            # A layer that is called again moves to the place of its last call.
            shapes.pop(name, None)
            shapes[name] = tuple(outputs.shape)

        with hooked(self._called_layers(), _noting(note)):
            call()
        return shapes

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[HostArray, HostArray]:
        """The layer's output and the gradient there, both of the layer's shape."""
        layers = self._called_layers()
        if layer not in layers:
            raise unknown_name("layer", layer, layers)
        arrays = self._ready(inputs), host_targets(targets)
        activation, gradient = self._layer_trace(layer, layers[layer], *arrays)(*arrays)
        return activation, gradient

    def _called_layers(self) -> dict[str, Any]:
        """By path, what is called in a forward pass; a part of a SavedModel is not looked into."""
        owners = self._ownership.owners.items()
        return {path: owner for path, owner in owners if path and callable(owner) and _has_calls(owner)}

    def _layer_trace(self, name: str, layer: Any, inputs: HostArray, targets: HostArray) -> Trace:
        def body(x: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            noted: list[tf.Tensor] = []
            with hooked({name: layer}, _noting(lambda _, outputs: noted.append(outputs))):
                outputs = self._functions.outputs(x)
            reached = bool(noted) and noted[-1].graph is outputs.graph
            gradient = self._functions.derivative(outputs, chosen, noted[-1]) if reached else None
            if gradient is None:
                received = "an output that is not used" if reached else "no such tensor in the forward pass"
                raise unusable_layer(name, received)
            return full_precision(noted[-1]), gradient

        return self._functions.traced(f"layer {name}", body, inputs, targets)


def _has_calls(owner: Any) -> bool:
    return isinstance(owner, tf.Module) or is_modern_layer(owner)


def _noting(note: Callable[[str, tf.Tensor], None]) -> Callable[[str, Any, Callable[[], Any]], Any]:
    def hook(name: str, _: Any, proceed: Callable[[], Any]) -> Any:
        outputs = proceed()
        if isinstance(outputs, tf.Tensor):
            note(name, outputs)
        return outputs

    return hook
