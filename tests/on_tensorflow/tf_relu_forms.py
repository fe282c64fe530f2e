"""The forms of a ReLU that TensorFlow can write, by itself and by the Keras that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tensorflow as tf
import tf_keras
from tf_nets import MLP

from agnostic_rand.testing import Rectified

numpy = tf.experimental.numpy
Function = Callable[[tf.Tensor], tf.Tensor]
INFINITY = float("inf")


def _mask(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x > 0, x.dtype)


@tf.function
def _traced_mask(x: tf.Tensor) -> tf.Tensor:
    return _mask(x)


def _zeros(x: tf.Tensor) -> tf.Tensor:
    return tf.zeros(tf.shape(x), x.dtype)


FORMS: dict[tuple[str, str], Function] = {
    ("relu", "tf.nn.relu"): tf.nn.relu,
    ("relu", "raw operation"): lambda x: tf.raw_ops.Relu(features=x),
    ("relu", "leaky without a slope"): lambda x: tf.nn.leaky_relu(x, 0.0),
    ("relu", "traced function"): tf.function(tf.nn.relu),
    ("relu", "compiled function"): tf.function(tf.nn.relu, jit_compile=True),
    ("relu", "twice"): lambda x: tf.nn.relu(tf.identity(tf.nn.relu(x))),
    ("relu", "activation"): tf_keras.activations.relu,
    ("relu", "layer"): tf_keras.layers.ReLU(),
    ("relu", "activation layer"): tf_keras.layers.Activation("relu"),
    ("relu6", "tf.nn.relu6"): tf.nn.relu6,
    ("relu6", "layer"): tf_keras.layers.ReLU(6.0),
    ("relu6", "activation"): lambda x: tf_keras.activations.relu(x, max_value=6.0),
    ("maximum with a number", "on the right"): lambda x: tf.maximum(x, 0),
    ("maximum with a number", "on the left"): lambda x: tf.maximum(0.0, x),
    ("maximum with a number", "numpy"): lambda x: numpy.maximum(x, 0),
    ("maximum with an array of zeros", "zeros_like"): lambda x: tf.maximum(x, tf.zeros_like(x)),
    ("maximum with an array of zeros", "zeros"): lambda x: tf.maximum(_zeros(x), x),
    ("maximum with an array of zeros", "of one sample"): lambda x: tf.maximum(x, tf.zeros(x.shape[1:])),
    ("clip from below", "to the largest number"): lambda x: tf.clip_by_value(x, 0, x.dtype.max),
    ("clip from below", "numpy"): lambda x: numpy.clip(x, 0, None),
    ("clip from 0 to infinity", "function"): lambda x: tf.clip_by_value(x, 0.0, INFINITY),
    ("clip from 0 to infinity", "raw operation"): lambda x: tf.raw_ops.ClipByValue(
        t=x, clip_value_min=0.0, clip_value_max=INFINITY
    ),
    ("where with a number", "greater"): lambda x: tf.where(x > 0, x, 0),
    ("where with a number", "zero is less"): lambda x: tf.where(tf.less(0.0, x), x, 0.0),
    ("where with a number", "numpy"): lambda x: numpy.where(x >= 0, x, 0.0),
    ("where with an array of zeros", "zeros_like"): lambda x: tf.where(x > 0, x, tf.zeros_like(x)),
    ("where with an array of zeros", "first version"): lambda x: tf.compat.v1.where(x > 0, x, tf.zeros_like(x)),
    ("where not, with zeros first", "a number"): lambda x: tf.where(x < 0, 0.0, x),
    ("where not, with zeros first", "zeros"): lambda x: tf.where(x <= 0, _zeros(x), x),
    ("where not, with zeros first", "logical_not"): lambda x: tf.where(~(x > 0), 0.0, x),
    ("times its mask", "on the right"): lambda x: x * _mask(x),
    ("times its mask", "on the left"): lambda x: tf.cast(tf.greater(x, 0), x.dtype) * x,
    ("times its mask", "without a gradient"): lambda x: x * tf.stop_gradient(_mask(x)),
    ("times its mask", "multiply_no_nan"): lambda x: tf.math.multiply_no_nan(x, _mask(x)),
    ("times its mask", "sign"): lambda x: x * (tf.sign(x) + 1) / 2,
    ("times its mask", "traced mask"): lambda x: x * _traced_mask(x),
    ("threshold", "layer"): tf_keras.layers.ThresholdedReLU(theta=0.0),
    ("half of the sum with its magnitude", "quotient"): lambda x: (x + abs(x)) / 2,
    ("half of the sum with its magnitude", "product"): lambda x: 0.5 * tf.add_n([tf.abs(x), x]),
    ("half of the sum with its magnitude", "halves"): lambda x: x / 2 + 0.5 * tf.abs(x),
    ("half of the sum with its magnitude", "root"): lambda x: (x + tf.sqrt(x**2)) / 2,
    ("minus its negative part", "minimum"): lambda x: x - tf.minimum(x, 0),
    ("minus its negative part", "negated"): lambda x: -tf.minimum(-x, 0),
    ("clip from 0 to 6", "function"): lambda x: tf.clip_by_value(x, 0, 6),
    ("clip from 0 to 6", "numpy"): lambda x: numpy.clip(x, 0.0, 6.0),
    ("clip from 0 to 6", "raw operation"): lambda x: tf.raw_ops.ClipByValue(
        t=x, clip_value_min=0.0, clip_value_max=6.0
    ),
    ("minimum of a relu with 6", "relu"): lambda x: tf.minimum(tf.nn.relu(x), 6.0),
    ("minimum of a relu with 6", "maximum"): lambda x: tf.minimum(6.0, tf.maximum(x, 0.0)),
    ("relu of a minimum with 6", "relu"): lambda x: tf.nn.relu(tf.minimum(x, 6)),
    ("relu of a minimum with 6", "maximum"): lambda x: tf.maximum(tf.minimum(6.0, x), 0.0),
    ("minimum of a relu with 4", "relu"): lambda x: tf.minimum(tf.nn.relu(x), 4.0),
    ("minimum of a relu with 4", "layer"): tf_keras.layers.ReLU(4.0),
}


class Written(MLP):
    """The chain of dense layers, whose ReLU after one of them is written in another form."""

    def __init__(self, function: Function, at: int) -> None:
        super().__init__(scale=2.0)
        self._functions = [function if i == at else tf.nn.relu for i in range(2)]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        first, second = self._functions
        return self.head(second(self.middle(first(self.first(tf.reshape(x, [tf.shape(x)[0], 6]))))))


def written(form: str, spelling: str, at: int = 0) -> Written:
    """The chain with that form."""
    return Written(FORMS[form, spelling], at)


def rectified_forms() -> tuple[Rectified, ...]:
    """Each form, after the first or the second layer."""
    return tuple(
        Rectified(form, spelling, partial(written, form, spelling, i % 2), i % 2)
        for i, (form, spelling) in enumerate(FORMS)
    )
