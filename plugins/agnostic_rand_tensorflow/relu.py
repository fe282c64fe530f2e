"""Backward passes through ReLU by other rules, in a graph that is being traced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import ReluRule, no_relu, put_back, relu_out_of_reach
from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.graph import Operation, inlined
from agnostic_rand_tensorflow.rectifiers import Rectifier, rectifiers

_RULES: tuple[ReluRule, ...] = ("guided", "deconv")
# Code that has a gradient and that no graph shows.
_OPAQUE = ("EagerPyFunc", "XlaCallModule")


def in_the_open(call: Callable[[], tf.Tensor]) -> tf.Tensor:
    """What the call returns; the functions that it calls are traced anew into its graph, where that is possible."""
    before = tf.config.functions_run_eagerly()
    with put_back(lambda: tf.config.run_functions_eagerly(before)):
        tf.config.run_functions_eagerly(True)
        try:
            return call()
        except tf.errors.OperatorNotAllowedInGraphError:
            # Python's `if` and `for` over tensors, which only a function of its own may hold.
            tf.config.run_functions_eagerly(before)
            return call()


class RuledGraph:
    """The graph from inputs to outputs, in which each ReLU gets the rule's backward pass.

    What takes a rectified tensor takes instead an identity of it, whose gradient is the rule's.

    Args:
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
        model: The model's name in errors.
        inputs: The tensor that the gradient is taken with respect to.
        outputs: The outputs of the model.

    Raises:
        ModelError: A ReLU is out of reach.
    """

    def __init__(self, rule: ReluRule, model: str, inputs: tf.Tensor, outputs: tf.Tensor) -> None:
        self._rule = rule
        self._model = model
        self._inputs = inputs
        # By the name of the rectified tensor.
        self._ruled: dict[str, tf.Tensor] = {}
        operations = inlined(inputs.graph, _constants(inputs.graph), ()).operations
        depending = _depending(operations, inputs.op.name)
        for operation in operations:
            if operation in depending and (operation.type in _OPAQUE or _calls(operation)):
                raise self._out_of_reach(operation, "whose inside no graph shows")
        for found in rectifiers(operations):
            if found.operation in depending:
                self._reroute(found)
        self.outputs = self._ruled.get(outputs.name, outputs)

    def gradient(self, outputs: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor | None:
        """The gradient of a tensor that was made of the outputs; `None` where there is none.

        Raises:
            ModelError: It goes through no ReLU, or through one that has a gradient of its own.
        """
        met = self._met()
        # Not a tape: it would not look at the gradients that a graph overrides.
        gradient, *reached = tf.gradients(outputs, [self._inputs, *met], grad_ys=weights)
        for ruled, signal in zip(met, reached, strict=True):
            if signal is None:
                raise self._out_of_reach(
                    ruled.op.inputs[0].op, "in code with a gradient of its own (tf.custom_gradient)"
                )
        if not met:
            raise no_relu(self._rule, self._model)
        return gradient

    def _reroute(self, found: Rectifier) -> None:
        operation, (source, place) = found.operation, found.source
        within = operation.within or source.within
        if within:
            raise self._out_of_reach(operation, f"inside {'/'.join(within)!r}")
        if found.hidden:
            raise self._out_of_reach(operation, "with a gradient of its own (tf.stop_gradient)")
        graph = self._inputs.graph
        rectified = graph.get_tensor_by_name(f"{operation.name}:0")
        x = graph.get_tensor_by_name(f"{source.name}:{place}")
        x = self._ruled.get(x.name, x)
        if not x.dtype.is_floating:
            return
        users = rectified.consumers()
        if not x.shape.is_compatible_with(rectified.shape):
            x = tf.broadcast_to(x, tf.shape(rectified))
        with graph.gradient_override_map({"IdentityN": _name(self._rule)}):
            ruled, *_ = tf.raw_ops.IdentityN(input=[rectified, x, tf.constant(found.top, x.dtype)])
        for user in users:
            for i, given in enumerate(user.inputs):
                if given is rectified:
                    user._update_input(i, ruled)
        self._ruled[rectified.name] = ruled

    def _met(self) -> list[tf.Tensor]:
        """What stands for rectified tensors that a gradient of the outputs could go through."""
        ruled = {tensor.op: tensor for tensor in self._ruled.values()}
        seen, waiting = set(), [self.outputs]
        while waiting:
            tensor = waiting.pop()
            differentiable = tensor.dtype.is_floating or tensor.dtype == tf.variant
            if differentiable and tensor.op not in seen and tensor.op.type != "StopGradient":
                seen.add(tensor.op)
                waiting.extend(tensor.op.inputs[1:2] if tensor.op in ruled else tensor.op.inputs)
        return [tensor for op, tensor in ruled.items() if op in seen]

    def _out_of_reach(self, operation: Operation | tf.Operation, where: str) -> ModelError:
        return relu_out_of_reach(
            self._rule,
            self._model,
            f"the operation {operation.type} {operation.name!r} {where}",
            "write that part of the model in the open (a recurrent layer: unroll=True; a SavedModel: build it from "
            "its code and load the weights into it)",
        )


def _constants(graph: Any) -> dict[str, Operation]:
    """By placeholder, the arrays of one number that the graph captured."""
    constants = {}
    for tensor, placeholder in graph.captures:
        value = tensor.numpy().ravel() if hasattr(tensor, "numpy") and tensor.dtype.is_floating else None
        if value is not None and value.size and (value == value[0]).all():
            number = tf.compat.v1.AttrValue(tensor=tf.make_tensor_proto(value[0]))
            constants[placeholder.op.name] = Operation("Const", attributes={"value": number})
    return constants


def _depending(operations: Sequence[Operation], name: str) -> set[Operation]:
    """What the placeholder of that name has an effect on, but for what stops the gradient."""
    found: set[Operation] = set()
    for operation in operations:
        given = operation.name == name and not operation.within
        if given or (operation.type != "StopGradient" and not found.isdisjoint(operation.inputs)):
            found.add(operation)
    return found


def _calls(operation: Operation) -> bool:
    return any(value.HasField("func") or value.list.func for value in operation.attributes.values())


def _name(rule: ReluRule) -> str:
    return f"AgnosticRand.{rule}"


def _through(rule: ReluRule, op: tf.Operation, gradient: Any, *_: Any) -> list[tf.Tensor | None]:
    rectified, x, top = op.inputs
    passing = tf.nn.relu(tf.convert_to_tensor(gradient))
    if rule == "guided":
        passing = tf.raw_ops.ReluGrad(gradients=passing, features=rectified)
        if math.isfinite(tf.get_static_value(top)):
            passing = tf.where(rectified < tf.cast(top, rectified.dtype), passing, tf.zeros_like(passing))
    return [None, tf.cast(passing, x.dtype), None]


for _rule in _RULES:
    tf.RegisterGradient(_name(_rule))(partial(_through, _rule))
