"""A plain training loop: Adam on the mean cross entropy of integer labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import HostArray, TrainingStep
from agnostic_rand_tensorflow.calling import Call
from agnostic_rand_tensorflow.deduction import ends_in_softmax
from agnostic_rand_tensorflow.functions import Functions, full_precision
from agnostic_rand_tensorflow.legacy_keras import is_layer
from agnostic_rand_tensorflow.ownership import Ownership

_DECAY, _DECAY_OF_SQUARES, _EPSILON = 0.9, 0.999, 1e-8
_SEEDS = 2**31 - 1


def training_step(
    functions: Functions, training: Call, ownership: Ownership, learning_rate: float, seed: int
) -> TrainingStep:
    """A function that updates the model by one batch; see `SupportsTraining.trainer`.

    Args:
        functions: The model's functions in evaluation mode, which tell whether it ends in a softmax.
        training: Calls the model in training mode.
        ownership: The model's variables and modules.
        learning_rate: Adam's step size.
        seed: Decides all randomness inside the model.
    """
    for generator in ownership.generators:
        generator.reset_from_seed(seed % _SEEDS)
    optimizer = _Adam(_trained(ownership), learning_rate)
    steps: dict[object, Any] = {}

    def step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
        probabilities = ends_in_softmax(functions.forward(inputs).graph)
        arrays = np.asarray(inputs), np.asarray(labels, dtype=np.int64)
        key = (arrays[0].shape[1:], probabilities)
        if key not in steps:
            body = _body(functions, training, optimizer, probabilities, seed)
            # The loop may end in a smaller batch; a model that needs its size is traced for each.
            steps[key] = tf.function(body, autograph=False, reduce_retracing=True)
        tensors = [tf.constant(array) for array in arrays]
        try:
            loss, correct = steps[key](*tensors)
        except tf.errors.OperatorNotAllowedInGraphError:
            # Python's `if` and `for` over tensors.
            converted = tf.autograph.to_graph(training)
            body = _body(functions, converted, optimizer, probabilities, seed)
            steps[key] = tf.function(body, autograph=False, reduce_retracing=True)
            loss, correct = steps[key](*tensors)
        return float(loss), int(correct)

    return step


def _body(functions: Functions, training: Call, optimizer: _Adam, probabilities: bool, seed: int) -> Any:
    def body(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Operations without a seed of their own take the graph's; the global seed stays as it is.
        tf.compat.v1.get_default_graph().seed = seed % _SEEDS
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(optimizer.variables)
            outputs = full_precision(training(functions.cast(inputs)))
            logits = _logits(outputs) if probabilities else outputs
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        correct = tf.reduce_sum(tf.cast(tf.argmax(outputs, axis=1) == labels, tf.int32))
        optimizer.apply(tape.gradient(loss, optimizer.variables))
        return loss, correct

    return body


class _Adam:
    """Kingma & Ba 2015, algorithm 1."""

    def __init__(self, variables: Sequence[tf.Variable], learning_rate: float) -> None:
        self.variables = list(variables)
        self._rate = learning_rate
        self._count = tf.Variable(0.0, trainable=False)
        self._means = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]
        self._squares = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.variables]

    def apply(self, gradients: Sequence[Any]) -> None:
        """Update the variables, in a graph; one that the loss does not depend on stays."""
        count = self._count.assign_add(1.0)
        rate = self._rate * tf.sqrt(1.0 - _DECAY_OF_SQUARES**count) / (1.0 - _DECAY**count)
        for variable, mean, square, given in zip(
            self.variables, self._means, self._squares, gradients, strict=True
        ):
            if given is None:
                continue
            gradient = tf.convert_to_tensor(given)
            first = mean.assign(_DECAY * mean + (1.0 - _DECAY) * gradient)
            second = square.assign(_DECAY_OF_SQUARES * square + (1.0 - _DECAY_OF_SQUARES) * gradient**2)
            variable.assign_sub(tf.cast(rate, variable.dtype) * first / (tf.sqrt(second) + _EPSILON))


def _logits(probabilities: tf.Tensor) -> tf.Tensor:
    """What the softmax was given; its logarithm where a function hides it."""
    operation = probabilities.op
    while operation.type in ("Identity", "Cast"):
        operation = operation.inputs[0].op
    if operation.type == "Softmax":
        return full_precision(operation.inputs[0])
    return tf.math.log(tf.maximum(probabilities, np.finfo(probabilities.dtype.as_numpy_dtype).tiny))


def _trained(ownership: Ownership) -> list[tf.Variable]:
    root = ownership.owners[""]
    if is_layer(root):
        # Keras knows which of its layers are frozen.
        return list(root.trainable_variables)
    found = {id(owned.variable): owned.variable for owned in ownership.variables if owned.trainable}
    return [variable for variable in found.values() if variable.dtype.is_floating]
