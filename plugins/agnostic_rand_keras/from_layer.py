"""The model from a named layer's output on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from agnostic_rand.adapters import Array, ReluRule, runs_not_once
from agnostic_rand_keras.beside import Given
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.interception import inner_layer, observed
from agnostic_rand_keras.runtime import Runtime, open_runtime


class FromLayerPass(ForwardPass):
    """The model as a function of a layer's output; its inputs are the last of its variables' values.

    Args:
        whole: The model as a function of its inputs.
        layer: The layer's path.
        inputs: Holds the batch.
    """

    def __init__(self, whole: ForwardPass, layer: str, inputs: Given) -> None:
        super().__init__(whole.model, (*whole.variables, inputs), whole.forward)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_place", {layer: inner_layer(whole.model, layer)})

    def __call__(self, inputs: Array, values: Sequence[Array] | None = None, *, training: bool = False) -> Array:
        """The outputs where the layer puts out `inputs`.

        Raises:
            ModelError: The layer does not run once.
        """
        given = list(values if values is not None else [variable.value for variable in self.variables])
        place: dict[str, keras.Layer] = self._place  # type: ignore[attr-defined]
        whole: ForwardPass = self._whole  # type: ignore[attr-defined]
        calls = 0

        def replaced(_name: str, output: Array) -> Array:
            nonlocal calls
            calls += 1
            return keras.ops.cast(inputs, output.dtype)

        with observed(place, replaced):
            outputs = whole(given[-1], None if values is None else given[:-1], training=training)
        if calls != 1:
            raise runs_not_once(next(iter(place)), f"{calls} calls")
        return outputs


@dataclass
class LayerStarts:
    """The compiled rests of one model, by layer and by the shape of the batch."""

    opened: dict[tuple[Any, ...], tuple[Given, Runtime]] = field(default_factory=dict)

    def runtime(self, forward: ForwardPass, layer: str, inputs: Array) -> Runtime:
        """The model, which is `forward`, from the layer on, for a batch of inputs."""
        key = (id(forward), layer, tuple(inputs.shape), str(inputs.dtype))
        if key not in self.opened:
            given = Given(inputs)
            self.opened[key] = given, open_runtime(FromLayerPass(forward, layer, given))
        given, runtime = self.opened[key]
        given.value = inputs
        return runtime


@dataclass(frozen=True)
class KerasFromLayer:
    """The model from a layer on, on one batch.

    Args:
        starts: What was compiled for the model.
        opened: The model as a function of so many rows of inputs, and its runtime.
        inputs: The batch `(n, ...)`.
        layer: The layer's path.

    Raises:
        UnknownNameError: There is no such layer.
        ModelError: It does not run once in a forward pass.
    """

    starts: LayerStarts
    opened: Callable[[int], tuple[ForwardPass, Runtime]]
    inputs: Array
    layer: str

    @property
    def output(self) -> Array:
        """What the layer puts out."""
        _, whole = self.opened(self.inputs.shape[0])
        targets = whole.asarray(np.zeros(self.inputs.shape[0], dtype=np.int64), "float32")
        output = whole.layer_gradient(self.inputs, targets, self.layer)[0]
        self.predict(output)
        return output

    def predict(self, output: Array) -> Array:
        """The model's outputs where the layer puts out `output`."""
        return self._runtime(output).predict(output)

    def gradient(self, output: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient with respect to `output`."""
        return self._runtime(output).output_and_gradient(output, targets, relu)[1]

    def _runtime(self, output: Array) -> Runtime:
        rows = output.shape[0]
        repeats = rows // self.inputs.shape[0]
        forward, whole = self.opened(rows)
        copies = whole.xp.concat([self.inputs] * repeats, axis=0) if repeats > 1 else self.inputs
        return self.starts.runtime(forward, self.layer, copies)
