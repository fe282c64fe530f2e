"""Backward passes through ReLU by other rules, whether it is a layer, a function or a method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial

import tensorflow as tf

from agnostic_rand.adapters import ReluRule, put_back
from agnostic_rand.errors import ModelError

_RULES: tuple[ReluRule, ...] = ("guided", "deconv")
_TYPES = ("Relu", "Relu6", "Maximum")
_MARK = "_gradient_op_type"

# TensorFlow keeps what is registered as a gradient for ever, so that it is one function for all runs:
# this tells it the operations that the present one has met.
_passed: ContextVar[set[str] | None] = ContextVar("passed", default=None)


class ReluOverride:
    """Gives each ReLU of one trace the rule's backward pass.

    A ReLU is one by TensorFlow's name, or a `maximum(x, 0)`. One that is written in other ways, such as
    `where(x > 0, x, 0)`, keeps its derivative.

    Args:
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
        model: The model's name in errors.
    """

    def __init__(self, rule: ReluRule, model: str) -> None:
        self._rule = rule
        self._model = model
        self._passed: set[str] = set()
        self._names = {kind: _name(rule, kind) for kind in _TYPES}

    def active(self) -> AbstractContextManager[None]:
        """Operations that are added to the graph meanwhile follow the rule."""
        self._passed.clear()
        graph = tf.compat.v1.get_default_graph()
        context: AbstractContextManager[None] = graph.gradient_override_map(self._names)
        return context

    @contextmanager
    def inlining(self) -> Iterator[None]:
        """Functions of the model that are called meanwhile are traced anew, into the caller's graph."""
        before = tf.config.functions_run_eagerly()
        token = _passed.set(self._passed)
        try:
            with put_back(lambda: tf.config.run_functions_eagerly(before)):
                tf.config.run_functions_eagerly(True)
                yield
        finally:
            _passed.reset(token)

    def check(self, inputs: tf.Tensor, outputs: tf.Tensor) -> None:
        """Make sure that the gradient went through the rule, and through no other ReLU.

        Raises:
            ModelError: No ReLU was met, or one that is out of reach.
        """
        graph = outputs.graph
        bodies = [node for body in graph.as_graph_def().library.function for node in body.node_def]
        hidden = any(node.op in ("Relu", "Relu6") and not self._is_marked(node) for node in bodies)
        unmet = [op for op in _between(graph, inputs, outputs) if op.type in ("Relu", "Relu6")]
        if hidden or any(op.name not in self._passed for op in unmet):
            raise ModelError(
                f"relu={self._rule!r} on {self._model}",
                expected="ReLUs whose gradient can be changed",
                received="a ReLU inside a function that is traced already (a SavedModel, a loop or a branch) "
                "or that has a gradient of its own",
                fix="Use Gradient(), or build the model from its code and load the weights into it.",
            )
        if not self._passed:
            raise ModelError(
                f"relu={self._rule!r} on {self._model}",
                expected="at least one ReLU in the forward pass",
                received="none (other activations)",
                fix="Use Gradient(): without a ReLU this method is the plain gradient.",
            )

    def _is_marked(self, node: tf.compat.v1.NodeDef) -> bool:
        return _MARK in node.attr and node.attr[_MARK].s.decode() in self._names.values()


def _name(rule: ReluRule, kind: str) -> str:
    return f"AgnosticRand.{rule}.{kind}"


def _relu(rule: ReluRule, op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    _note(op)
    positive = tf.nn.relu(gradient)
    if rule == "deconv":
        return positive
    return tf.raw_ops.ReluGrad(gradients=positive, features=op.outputs[0])


def _relu6(_: ReluRule, op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    _note(op)
    return tf.raw_ops.Relu6Grad(gradients=tf.nn.relu(gradient), features=op.outputs[0])


def _maximum(rule: ReluRule, op: tf.Operation, gradient: tf.Tensor) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """`maximum(x, 0)` is a ReLU; another maximum, and that of a clipped value, keeps its gradient."""
    for place, other in ((0, 1), (1, 0)):
        x, zero = op.inputs[place], tf.get_static_value(op.inputs[other])
        if zero is not None and not zero.any() and x.shape.rank and x.op.type != "Minimum":
            passed = _relu(rule, op, gradient)
            return (passed, None) if place == 0 else (None, passed)
    a, b = tf.identity(op.inputs[0]), tf.identity(op.inputs[1])
    plain: tuple[tf.Tensor, tf.Tensor] = tuple(tf.gradients(tf.maximum(a, b), [a, b], grad_ys=gradient))
    return plain


def _note(op: tf.Operation) -> None:
    met = _passed.get()
    if met is not None:
        met.add(op.name)


for _rule in _RULES:
    for _kind, _function in zip(_TYPES, (_relu, _relu6, _maximum), strict=True):
        tf.RegisterGradient(_name(_rule, _kind))(partial(_function, _rule))


def _between(graph: tf.Graph, inputs: tf.Tensor, outputs: tf.Tensor) -> list[tf.Operation]:
    """The operations through which a gradient could flow from the outputs to the inputs."""
    reached = {inputs.op.name}
    for op in graph.get_operations():
        floating = any(tensor.dtype.is_floating for tensor in op.outputs)
        if floating and op.type != "StopGradient" and any(tensor.op.name in reached for tensor in op.inputs):
            reached.add(op.name)
    needed: set[str] = set()
    waiting = [outputs.op]
    while waiting:
        op = waiting.pop()
        if op.name in reached and op.name not in needed:
            needed.add(op.name)
            waiting.extend(tensor.op for tensor in op.inputs)
    return [op for op in graph.get_operations() if op.name in needed]
