"""A traced function as one flat list of operations, the bodies of called functions in their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation; for a captured variable, the variable's handle.

    Args:
        type: TensorFlow's name of the operation, such as `"Conv2D"`.
        inputs: The operations that make its inputs.
        attributes: As in `tf.compat.v1.NodeDef.attr`.
        variable: The variable whose handle this is, or `None`.
    """

    type: str
    inputs: tuple[Operation, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    variable: tf.Variable | None = None


_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
_LOOPS = ("While", "StatelessWhile")

_Made: TypeAlias = dict[str, tuple[Operation, ...]]


@dataclass(frozen=True)
class FlatGraph:
    """The operations in the order in which they were traced.

    Args:
        operations: With those of called functions; a loop's body counts once.
        outputs: The operations that make the function's outputs.
    """

    operations: tuple[Operation, ...]
    outputs: tuple[Operation, ...]


def flattened(function: Any, variables: Mapping[int, tf.Variable]) -> FlatGraph:
    """Inline everything that a concrete function calls.

    Args:
        function: The concrete function.
        variables: By the `id` of its handle, each variable that may be captured.
    """
    graph = function.graph.as_graph_def()
    captured = list(function.captured_inputs)
    placeholders = [tensor.op.name for tensor in function.inputs[len(function.inputs) - len(captured) :]]
    handles: _Made = {
        name: (Operation("Variable", variable=variables[id(handle)]),)
        for name, handle in zip(placeholders, captured, strict=True)
        if id(handle) in variables
    }
    inliner = _Inliner({body.signature.name: body for body in graph.library.function})
    made = inliner.run(graph.node, handles)
    return FlatGraph(tuple(inliner.operations), tuple(_resolved(made, tensor.name) for tensor in function.outputs))


class _Inliner:
    def __init__(self, bodies: Mapping[str, Any]) -> None:
        self._bodies = bodies
        self.operations: list[Operation] = []

    def run(self, nodes: Iterable[Any], arguments: _Made) -> _Made:
        """By node, the operations that make its outputs; one for all outputs but for calls."""
        waiting = {node.name: node for node in nodes}
        made = dict(arguments)
        for node in list(waiting.values()):
            self._make(node, waiting, made)
        return made

    def _make(self, node: Any, waiting: Mapping[str, Any], made: _Made) -> None:
        if node.name in made:
            return
        data = [name for name in node.input if not name.startswith("^")]
        for name in data:
            # A saved function lists its nodes in any order.
            producer = name.split(":")[0]
            if producer not in made:
                self._make(waiting[producer], waiting, made)
        inputs = tuple(_resolved(made, name) for name in data)
        called = self._called(node, inputs)
        made[node.name] = self._plain(node, inputs) if called is None else called

    def _plain(self, node: Any, inputs: tuple[Operation, ...]) -> tuple[Operation, ...]:
        operation = Operation(node.op, inputs, node.attr)
        self.operations.append(operation)
        return (operation,)

    def _called(self, node: Any, inputs: tuple[Operation, ...]) -> tuple[Operation, ...] | None:
        """The outputs of the function that the node calls; `None` for other nodes."""
        if node.op in _CALLS:
            return self._body(node.attr["f"].func.name, inputs)
        if node.op in _BRANCHES:
            named = [node.attr[key].func for key in ("then_branch", "else_branch") if key in node.attr]
            branches = named or node.attr["branches"].list.func
            # All are walked through; which one runs is not known.
            outputs = [self._body(branch.name, inputs[1:]) for branch in branches]
            return outputs[0]
        if node.op in _LOOPS:
            self._body(node.attr["cond"].func.name, inputs)
            return self._body(node.attr["body"].func.name, inputs)
        return self._body(node.op, inputs) if node.op in self._bodies else None

    def _body(self, name: str, inputs: Sequence[Operation]) -> tuple[Operation, ...]:
        body = self._bodies[name]
        arguments: _Made = {
            argument.name: (given,) for argument, given in zip(body.signature.input_arg, inputs, strict=True)
        }
        made = self.run(body.node_def, arguments)
        return tuple(_resolved(made, body.ret[output.name]) for output in body.signature.output_arg)


def _resolved(made: _Made, name: str) -> Operation:
    """The operation behind `node:0` in a graph, `node:output:0` or an argument's name in a function."""
    node, *rest = name.split(":")
    outputs = made[node]
    return outputs[int(rest[-1])] if rest and len(outputs) > 1 else outputs[0]
