"""What is a ReLU: each form that TensorFlow can write, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_nets import Dense
from tf_relu_forms import FORMS

import agnostic_rand as ar
from agnostic_rand.errors import ModelError
from agnostic_rand.testing import RELU_FORMS

RULES = ("guided", "deconv")
# Large enough that some values are above 6.
X = 4 * np.random.default_rng(3).normal(0.2, 1.0, (5, 6)).astype(np.float32)
TARGETS = np.array([0, 2, 1, 1, 0])
SIGNAL = Dense(1, 6, 3).kernel.numpy().T[TARGETS]
Function = Callable[[tf.Tensor], tf.Tensor]


class Last(tf.Module):
    """A dense layer behind some function of the input."""

    def __init__(self, function: Function, part: object = None) -> None:
        super().__init__()
        self.function = function
        self.part = part
        self.dense = Dense(1, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(self.function(x))


def gradient(function: Function, rule: str, part: object = None) -> np.ndarray:
    model = Last(function, part)
    return ar.adapt(model, example_inputs=X[:1]).gradient(X, TARGETS, relu=rule)


def by_the_rule(rule: str, top: float = np.inf) -> np.ndarray:
    passes = (X > 0) & (top > X) if rule == "guided" else np.ones_like(X)
    return np.maximum(SIGNAL, 0) * passes


@pytest.mark.parametrize("rule", RULES)
def test_no_form_of_a_relu_is_refused(rule: str) -> None:
    seen = gradient(lambda x: tf.reduce_sum(tf.stack([function(x) for function in FORMS.values()]), 0), rule)
    due = sum(by_the_rule(rule, RELU_FORMS[form]) for form, _ in FORMS)
    assert np.abs(seen - due).max() < 1e-5 * np.abs(due).max()


ZEROS = tf.zeros((40, 6))
KERNEL = tf.constant(np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32))
ALSO: dict[str, Function] = {
    # Too large to be put into a graph: it is passed to it.
    "a large array of zeros": lambda x: tf.maximum(tf.tile(x[:, None], (1, 40, 1)), ZEROS)[:, 0],
    "an array that spreads the input": lambda x: tf.maximum(x[:, None], ZEROS)[:, 0],
    "in half precision": lambda x: tf.cast(tf.nn.relu(tf.cast(x, tf.float16)), tf.float32),
    "in another precision": lambda x: tf.cast(half_sum(tf.cast(x, tf.float64)), tf.float32),
    "vectorized": lambda x: tf.vectorized_map(tf.nn.relu, x),
    "both signs": lambda x: tf.nn.crelu(x)[:, :6],
    "gathered": lambda x: tf.gather(tf.nn.relu(x), tf.range(6), axis=1),
    "into a branch": lambda x: into_a_branch(tf.nn.relu(x)),
    "into a map": lambda x: tf.map_fn(lambda row: row * 1, tf.nn.relu(x)),
    "of a residual": lambda x: tf.nn.relu(x) + tf.stop_gradient(x),
    "of a value that is used besides": lambda x: half_sum(x) + tf.stop_gradient(tf.abs(x)),
}


def half_sum(x: tf.Tensor) -> tf.Tensor:
    return (x + tf.abs(x)) / 2


def into_a_branch(x: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(x) < 1e9, lambda: x, lambda: -x)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("form", ALSO)
def test_a_relu_follows_the_rule_wherever_it_stands(form: str, rule: str) -> None:
    np.testing.assert_allclose(gradient(ALSO[form], rule), by_the_rule(rule), atol=2e-3)


def centered(x: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(x, 1, keepdims=True)
    variance = tf.maximum(tf.reduce_mean(x * x, 1, keepdims=True) - mean * mean, 0.0)
    return (x - mean) * tf.math.rsqrt(variance + 1e-3)


def gated(x: tf.Tensor) -> tf.Tensor:
    a, b = tf.split(x, 2, axis=1)
    return tf.concat([a * tf.cast(b > 0, a.dtype), b], axis=1)


layers = tf_keras.layers
OTHERS: dict[str, Function] = {
    "PReLU": layers.PReLU(alpha_initializer=tf_keras.initializers.Constant(0.25)),
    "leaky": lambda x: tf.nn.leaky_relu(x, 0.2),
    "leaky layer": layers.ReLU(negative_slope=0.25),
    "leaky layer with a maximum": layers.ReLU(negative_slope=0.25, max_value=6.0),
    "leaky of two relus": lambda x: tf.nn.relu(x) - 0.1 * tf.nn.relu(-x),
    "leaky of a minimum": lambda x: tf.maximum(x, 0.0) + 0.1 * tf.minimum(0.0, x),
    "leaky maximum": lambda x: tf.maximum(x, 0.1 * x),
    "layer with a threshold": layers.ReLU(threshold=1.0),
    "elu": tf.nn.elu,
    "elu by where": lambda x: tf.where(x > 0, x, tf.exp(x) - 1),
    "selu": tf.nn.selu,
    "celu": lambda x: tf.maximum(x, 0.0) + 2 * tf.math.expm1(tf.minimum(x, 0.0) / 2),
    "softplus": tf.nn.softplus,
    "softplus of parts": lambda x: tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x))),
    "silu": tf.nn.silu,
    "gelu": tf.nn.gelu,
    "hard sigmoid": tf_keras.activations.hard_sigmoid,
    "hard sigmoid of a relu6": lambda x: tf.identity(layers.ReLU(6.0)(x + 3.0)) * (1.0 / 6.0),
    "hard sigmoid of a clip": lambda x: tf.clip_by_value(x + 3, 0, 6) / 6,
    "hard swish": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "hard swish by a factor": lambda x: x * (tf.nn.relu6(x + 3) * 0.16667),
    "hard tanh": lambda x: tf.clip_by_value(x, -1, 1),
    "clip to 1": lambda x: tf.clip_by_value(x, 0, 1),
    "clip to 1, the maximum first": lambda x: tf.minimum(tf.maximum(x, 0.0), 1.0),
    "floor": lambda x: tf.maximum(x, 1e-7),
    "floor under a variance": centered,
    "mask elsewhere": lambda x: x * tf.cast(x > 0.5, x.dtype),
    "mask of another": lambda x: x * tf.cast(x[:, ::-1] > 0, x.dtype),
    "mask of another part": gated,
    "maximum of two": lambda x: tf.maximum(x, x[:, ::-1]),
    "magnitude": tf.abs,
    "relu of a weight": lambda x: x @ tf.nn.relu(KERNEL),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_activation_keeps_its_derivative(other: str) -> None:
    function = OTHERS[other]
    # It makes its variables.
    function(tf.constant(X))
    due = gradient(lambda x: function(x), "standard", function)
    for rule in RULES:
        seen = gradient(lambda x: function(x) + tf.nn.relu(x), rule, function)
        np.testing.assert_allclose(seen, due + by_the_rule(rule), atol=2e-5 * np.abs(due).max())
    with pytest.raises(ModelError, match="at least one ReLU"):
        gradient(lambda x: function(x), "guided", function)


def test_an_output_that_is_rectified_is_the_same_by_each_rule() -> None:
    class Rectified(Last):
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.nn.relu(super().__call__(x))

    adapter = ar.adapt(Rectified(tf.identity), example_inputs=X[:1])
    outputs: list[Any] = [adapter.output_and_gradient(X, TARGETS, relu=rule) for rule in ("standard", *RULES)]
    for values, _ in outputs:
        np.testing.assert_array_equal(values, adapter.predict(X))
    np.testing.assert_allclose(outputs[2][1], SIGNAL, atol=1e-6)
