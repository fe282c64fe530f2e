"""The forms of a ReLU that Keras can write, the same on each backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from agnostic_rand.testing import Rectified

INFINITY = float("inf")


class Written(layers.Layer):
    """A layer that computes a function of its input, without a config."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


def _zero() -> Any:
    return ops.convert_to_tensor(0.0)


LAYERS: dict[tuple[str, str], Callable[[], Any]] = {
    ("relu", "layer"): layers.ReLU,
    ("relu", "activation by name"): lambda: layers.Activation("relu"),
    ("relu", "leaky layer without a slope"): lambda: layers.LeakyReLU(negative_slope=0.0),
    ("relu6", "layer with a maximum"): lambda: layers.ReLU(max_value=6.0),
    ("relu6", "activation by name"): lambda: layers.Activation("relu6"),
    ("minimum of a relu with 4", "layer with a maximum"): lambda: layers.ReLU(max_value=4.0),
}

FUNCTIONS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("relu", "ops"): lambda x: ops.relu(x),
    ("relu", "activations"): lambda x: keras.activations.relu(x),
    ("maximum with a number", "on the right"): lambda x: ops.maximum(x, 0),
    ("maximum with a number", "on the left"): lambda x: ops.maximum(0.0, x),
    ("maximum with an array of zeros", "zeros_like"): lambda x: ops.maximum(x, ops.zeros_like(x)),
    ("maximum with an array of zeros", "zeros on the left"): lambda x: ops.maximum(ops.zeros((x.shape[-1],)), x),
    ("maximum with an array of zeros", "a scalar tensor"): lambda x: ops.maximum(x, _zero()),
    ("clip from 0 to infinity", "ops"): lambda x: ops.clip(x, 0.0, INFINITY),
    ("clip from 0 to 6", "ops"): lambda x: ops.clip(x, 0, 6),
    ("where with a number", "greater"): lambda x: ops.where(x > 0, x, 0),
    ("where with a number", "not less"): lambda x: ops.where(x >= 0, x, 0.0),
    ("where with a number", "zero is less"): lambda x: ops.where(ops.less(0.0, x), x, 0.0),
    ("where with an array of zeros", "zeros_like"): lambda x: ops.where(x > 0, x, ops.zeros_like(x)),
    ("where not, with zeros first", "a number"): lambda x: ops.where(x < 0, 0.0, x),
    ("where not, with zeros first", "zeros_like"): lambda x: ops.where(x <= 0, ops.zeros_like(x), x),
    ("where not, with zeros first", "logical_not"): lambda x: ops.where(ops.logical_not(x > 0), 0.0, x),
    ("times its mask", "on the right"): lambda x: x * ops.cast(x > 0, x.dtype),
    ("times its mask", "on the left"): lambda x: ops.cast(ops.greater(x, 0), x.dtype) * x,
    ("threshold", "activations"): lambda x: keras.activations.threshold(x, 0.0, 0.0),
    ("half of the sum with its magnitude", "quotient"): lambda x: (x + ops.abs(x)) / 2,
    ("half of the sum with its magnitude", "product"): lambda x: 0.5 * (ops.absolute(x) + x),
    ("relu6", "ops"): lambda x: ops.relu6(x),
    ("minimum of a relu with 6", "ops"): lambda x: ops.minimum(ops.relu(x), 6.0),
    ("minimum of a relu with 6", "maximum"): lambda x: ops.minimum(6.0, ops.maximum(x, 0.0)),
    ("relu of a minimum with 6", "ops"): lambda x: ops.relu(ops.minimum(x, 6.0)),
    ("relu of a minimum with 6", "maximum"): lambda x: ops.maximum(ops.minimum(6.0, x), 0.0),
}


def rectified_forms() -> tuple[Rectified, ...]:
    """Each form as a layer, in the code of a layer, or as an operation of the graph."""
    kinds = [(form, spelling, make) for (form, spelling), make in LAYERS.items()]
    kinds += [
        (form, spelling, partial(Written, function) if i % 3 else partial(_operation, function))
        for i, ((form, spelling), function) in enumerate(FUNCTIONS.items())
    ]
    return tuple(
        Rectified(form, spelling, partial(network, make, i % 2), i % 2)
        for i, (form, spelling, make) in enumerate(kinds)
    )


def network(make: Callable[[], Any], at: int) -> keras.Model:
    """Three dense layers on inputs `(3, 2)`; after the one numbered `at` the form stands, else a ReLU.

    Its weights are so large that some of what is rectified is above 6.
    """
    inputs = keras.Input((3, 2))
    x = layers.Flatten()(inputs)
    for i, units in enumerate((7, 6)):
        x = layers.Dense(units, kernel_initializer="zeros", activation=None if i == at else "relu")(x)
        x = make()(x) if i == at else x
    model = keras.Model(inputs, layers.Dense(3, kernel_initializer="zeros")(x))
    rng = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(rng.normal(0, 2, tuple(variable.shape)).astype("float32"))
    return model


def _operation(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return function
