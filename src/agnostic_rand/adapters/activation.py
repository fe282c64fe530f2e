"""Activation on a model's outputs: the model is explained with it, and not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import AdapterView, Array, FromLayer, ModelAdapter, ReluRule, SideInputs
from agnostic_rand.errors import ArgumentError

Activation: TypeAlias = Literal["softmax", "sigmoid"] | None


class ActivatedAdapter(AdapterView):
    """An adapter whose outputs pass through a softmax or sigmoid.

    The gradient of an activated output is that of a weighted sum of the model's own outputs, so
    every backend can give it.

    Args:
        adapter: The adapter of the model itself.
        activation: `"softmax"` or `"sigmoid"`.
    """

    def __init__(self, adapter: ModelAdapter, activation: Literal["softmax", "sigmoid"]) -> None:
        super().__init__(adapter)
        self._activation = activation

    def clone(self) -> Self:
        """The same activation on a copy of the model."""
        return type(self)(self._adapter.clone(), self._activation)

    def beside(self, inputs: SideInputs) -> ModelAdapter:
        """The same activation on the model as a function of one of its inputs."""
        capable: Any = self._adapter
        return type(self)(capable.beside(inputs), self._activation)

    def predict(self, inputs: Array) -> Array:
        """The activated outputs `(n, classes)`."""
        return self.activated(self._adapter.predict(inputs))

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient of the activated output of the target."""
        return self.output_and_gradient(inputs, targets, relu=relu)[1]

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        """The activated outputs, and the gradient of the target's."""
        outputs = self.predict(inputs)
        return outputs, self._adapter.gradient(inputs, self.weights(outputs, targets), relu=relu)

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        """A layer's output, and the gradient of the activated output with respect to it."""
        return super().layer_gradient(inputs, self.weights(self.predict(inputs), targets), layer)

    def from_layer(self, inputs: Array, layer: str) -> FromLayer:
        """The model from a layer on, with activated outputs."""
        return _ActivatedFromLayer(self, super().from_layer(inputs, layer))

    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        """Watch foreign code, and activate the outputs that it computed."""
        capable: Any = self._adapter
        with capable.explaining(inputs) as captured:
            yield lambda: None if (outputs := captured()) is None else self.activated(outputs)

    def activated(self, outputs: Array) -> Array:
        """The activated outputs of the model's own."""
        xp = array_namespace(outputs)
        if self._activation == "sigmoid":
            # Both branches stay finite for outputs of any size.
            decay = xp.exp(-xp.abs(outputs))
            return xp.where(outputs >= 0, 1 / (1 + decay), decay / (1 + decay))
        powers = xp.exp(outputs - xp.max(outputs, axis=1, keepdims=True))
        return powers / xp.sum(powers, axis=1, keepdims=True)

    def _as_weights(self, targets: Array, outputs: Array) -> Array:
        if targets.ndim == 2:
            return targets
        one_hot = np.eye(outputs.shape[1], dtype=np.float32)[self.to_numpy(targets)]
        return self.asarray(one_hot)

    def weights(self, outputs: Array, targets: Array) -> Array:
        """The vectors whose products with the model's own outputs have the gradients of the activated ones."""
        direction = self._as_weights(targets, outputs)
        if self._activation == "sigmoid":
            return direction * outputs * (1 - outputs)
        xp = array_namespace(outputs)
        return outputs * (direction - xp.sum(direction * outputs, axis=1, keepdims=True))


@dataclass(frozen=True)
class _ActivatedFromLayer:
    """An activated model from a layer on."""

    adapter: ActivatedAdapter
    plain: FromLayer

    @property
    def output(self) -> Array:
        """What the layer puts out."""
        return self.plain.output

    def predict(self, output: Array) -> Array:
        """The activated outputs."""
        return self.adapter.activated(self.plain.predict(output))

    def gradient(self, output: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        """The gradient of the activated output of the target."""
        weights = self.adapter.weights(self.predict(output), targets)
        return self.plain.gradient(output, weights, relu=relu)


def with_activation(adapter: ModelAdapter, activation: Activation) -> ModelAdapter:
    """The adapter itself, or one whose outputs are activated.

    Raises:
        ArgumentError: The activation is not known.
    """
    if activation is None:
        return adapter
    if activation not in ("softmax", "sigmoid"):
        raise ArgumentError(
            "activation",
            expected="None, 'softmax' or 'sigmoid'",
            received=repr(activation),
            fix="Pass activation=None to explain the model's own outputs.",
        )
    return ActivatedAdapter(adapter, activation)
