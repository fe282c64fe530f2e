"""Backward passes through ReLU by other rules, in a graph that is being traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from agnostic_rand.adapters import ReluRule
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import refuse_plain_gradient
from agnostic_rand_keras.tree import all_layers

_NAMES = {"guided": "AgnosticRandGuided", "deconv": "AgnosticRandDeconv"}
_TYPES = ("Relu", "Relu6", "Maximum")


@tf.RegisterGradient("AgnosticRandGuidedRelu")  # type: ignore[untyped-decorator]
def _guided_relu(operation: Any, gradient: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ReluGrad(gradients=tf.nn.relu(gradient), features=operation.inputs[0])


@tf.RegisterGradient("AgnosticRandGuidedRelu6")  # type: ignore[untyped-decorator]
def _guided_relu6(operation: Any, gradient: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.Relu6Grad(gradients=tf.nn.relu(gradient), features=operation.inputs[0])


@tf.RegisterGradient("AgnosticRandDeconvRelu")  # type: ignore[untyped-decorator]
@tf.RegisterGradient("AgnosticRandDeconvRelu6")  # type: ignore[untyped-decorator]
def _deconv(_operation: Any, gradient: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(gradient)


@tf.RegisterGradient("AgnosticRandGuidedMaximum")  # type: ignore[untyped-decorator]
def _guided_maximum(operation: Any, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    return _through_maximum(operation, gradient, guided=True)


@tf.RegisterGradient("AgnosticRandDeconvMaximum")  # type: ignore[untyped-decorator]
def _deconv_maximum(operation: Any, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    return _through_maximum(operation, gradient, guided=False)


@contextmanager
def with_rule(model: keras.Model, rule: ReluRule) -> Iterator[None]:
    """Let each ReLU that is added to the current graph have the rule's backward pass.

    The graph's own table of gradients says so, and nothing outside of it. It holds for `tf.gradients`.

    Args:
        model: What is called in the context.
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).

    Raises:
        ModelError: No ReLU was added, or one that the rule does not reach.
    """
    graph = tf.compat.v1.get_default_graph()
    before = len(graph.get_operations())
    names = {kind: f"{_NAMES[rule]}{kind}" for kind in _TYPES}
    with plain_leaks(model, rule), graph.gradient_override_map(names):
        yield
    added = graph.get_operations()[before:]
    met = sum(operation.type in ("Relu", "Relu6") or _rectified(operation) is not None for operation in added)
    refuse_plain_gradient(model, rule, met=met, hidden=_hidden(model, graph, added))


def _rectified(operation: Any) -> int | None:
    """Which operand a maximum with zero rectifies; a minimum is clipped by it, which is no ReLU."""
    if operation.type != "Maximum":
        return None
    for place in (0, 1):
        x, bound = operation.inputs[place], tf.get_static_value(operation.inputs[1 - place])
        constant = bound is not None and bound.size == 1 and not bound.any()
        if constant and x.dtype.is_floating and x.op.type not in ("Minimum", "Const"):
            return place
    return None


def _through_maximum(operation: Any, gradient: tf.Tensor, *, guided: bool) -> list[tf.Tensor | None]:
    place = _rectified(operation)
    if place is None:
        a, b = (tf.identity(x) for x in operation.inputs)
        plain: list[tf.Tensor | None] = tf.gradients(tf.maximum(a, b), [a, b], grad_ys=gradient)
        return plain
    passed = tf.nn.relu(gradient)
    if guided:
        passed = tf.raw_ops.ReluGrad(gradients=passed, features=operation.inputs[place])
    return [passed, None] if place == 0 else [None, passed]


def _hidden(model: keras.Model, graph: Any, added: list[Any]) -> str | None:
    """Where a ReLU is that the table of this graph does not reach."""
    if any(getattr(layer, "_remat_mode", None) for layer in all_layers(model)):
        return "a rematerialized layer, which TensorFlow evaluates again for its gradient"
    library = {f.signature.name: f for f in graph.as_graph_def().library.function}
    if any(_has_relu(function) for function in library.values()):
        loops = any(operation.type.endswith("While") for operation in added)
        return "a loop (a recurrent layer)" if loops else "a tf.function that the model calls"
    return None


def _has_relu(function: Any) -> bool:
    return any(node.op in ("Relu", "Relu6") for node in function.node_def)
