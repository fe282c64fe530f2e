"""Backward passes through ReLU by other rules, in a graph that is being traced."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from agnostic_rand.adapters import ReluRule
from agnostic_rand_keras.rectifiers_on_tensorflow import TYPES, holds_relu, rectified
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import refuse_plain_gradient
from agnostic_rand_keras.tree import all_layers

_RULES: tuple[ReluRule, ...] = ("guided", "deconv")
_FUNCTIONS = {"Maximum": tf.maximum, "Minimum": tf.minimum, "Mul": tf.multiply, "SelectV2": tf.where}

_passed: ContextVar[set[str] | None] = ContextVar("passed", default=None)


class ReluOverride:
    """Gives each ReLU of one graph the rule's backward pass.

    The graph's own table of gradients says so, and nothing outside of it. It holds for `tf.gradients`.

    Args:
        model: What is called.
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
    """

    def __init__(self, model: keras.Model, rule: ReluRule) -> None:
        self._model = model
        self._rule = rule

    @contextmanager
    def active(self) -> Iterator[None]:
        """Operations that are added to the graph meanwhile follow the rule."""
        graph = tf.compat.v1.get_default_graph()
        names = {kind: _name(self._rule, kind) for kind in TYPES}
        with plain_leaks(self._model, self._rule), graph.gradient_override_map(names):
            yield

    def gradient(self, selected: tf.Tensor, outputs: tf.Tensor, inputs: tf.Tensor) -> Any:
        """The gradient of `selected`, made of `outputs`, which were computed while this was active.

        Raises:
            ModelError: It went through no ReLU, or through one that the rule does not reach.
        """
        # Before the gradient, which adds functions of its own.
        hidden = _hidden(self._model, inputs.graph)
        passed: set[str] = set()
        token = _passed.set(passed)
        try:
            (gradient,) = tf.gradients(selected, inputs)
        finally:
            _passed.reset(token)
        met = [operation for operation in _between(inputs, outputs) if rectified(operation) is not None]
        if hidden is None and any(operation.name not in passed for operation in met):
            hidden = "code with a gradient of its own (tf.custom_gradient)"
        refuse_plain_gradient(self._model, self._rule, met=len(met), hidden=hidden)
        return gradient


def _name(rule: ReluRule, kind: str) -> str:
    return f"AgnosticRand.keras.{rule}.{kind}"


def _through(rule: ReluRule, operation: Any, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    """The gradients with respect to the inputs of an operation."""
    found = rectified(operation)
    if found is None:
        return _plain(operation, gradient)
    noted = _passed.get()
    if noted is not None:
        noted.add(operation.name)
    place, top = found
    passing = tf.nn.relu(gradient)
    if rule == "guided":
        x = operation.inputs[place]
        passes = x > 0 if math.isinf(top) else (x > 0) & (x < top)
        passing = tf.where(passes, passing, tf.zeros_like(passing))
    return [passing if i == place else None for i in range(len(operation.inputs))]


def _plain(operation: Any, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    if operation.type == "Relu6":
        return [tf.raw_ops.Relu6Grad(gradients=gradient, features=operation.inputs[0])]
    # Computed once more: the operation itself has lost its own gradient.
    given = [tf.identity(tensor) for tensor in operation.inputs]
    floating = [tensor for tensor in given if tensor.dtype.is_floating]
    slopes = iter(tf.gradients(_FUNCTIONS[operation.type](*given), floating, grad_ys=gradient))
    return [next(slopes) if tensor.dtype.is_floating else None for tensor in given]


for _rule in _RULES:
    for _kind in TYPES:
        tf.RegisterGradient(_name(_rule, _kind))(partial(_through, _rule))


def _hidden(model: keras.Model, graph: Any) -> str | None:
    """Where a ReLU is that the table of this graph does not reach."""
    if any(getattr(layer, "_remat_mode", None) for layer in all_layers(model)):
        return "a rematerialized layer, which TensorFlow evaluates again for its gradient"
    if any(holds_relu(function) for function in graph.as_graph_def().library.function):
        loops = any(operation.type.endswith("While") for operation in graph.get_operations())
        return "a loop (a recurrent layer)" if loops else "a tf.function that the model calls"
    return None


def _between(inputs: tf.Tensor, outputs: tf.Tensor) -> list[Any]:
    """The operations through which a gradient could flow from the outputs to the inputs."""
    reached = {inputs.op.name}
    for operation in inputs.graph.get_operations():
        floating = any(tensor.dtype.is_floating for tensor in operation.outputs)
        if floating and operation.type != "StopGradient" and any(x.op.name in reached for x in operation.inputs):
            reached.add(operation.name)
    needed: dict[str, Any] = {}
    waiting = [outputs.op]
    while waiting:
        operation = waiting.pop()
        if operation.name in reached and operation.name not in needed:
            needed[operation.name] = operation
            waiting.extend(tensor.op for tensor in operation.inputs)
    return list(needed.values())
