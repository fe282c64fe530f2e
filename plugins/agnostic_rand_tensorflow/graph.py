"""A traced function as one flat list of operations, the bodies of called functions in their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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
        name: Its name in its graph.
        places: Which output of each of the inputs is taken: `"0"` in a graph, `"output:0"` in a function.
        within: The names of the calls, branches and loops in whose bodies it is, from the outermost.
        carried: Whether it stands for a value that changes from round to round of a loop.
        captured: The tensor of the world outside that this is, or `None`.
        later: What its value depends on besides: what is written to the variable, what a loop hands on to its
            next round, and for a branch the other branches and the condition.
    """

    type: str
    inputs: tuple[Operation, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    variable: tf.Variable | None = None
    name: str = ""
    places: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    carried: bool = False
    captured: tf.Tensor | None = None
    later: list[Operation] = field(default_factory=list)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The tensors that it takes."""
        return tuple(zip(self.inputs, self.places, strict=True))


Source: TypeAlias = tuple[Operation, str]
"""A tensor: the operation that makes it, and which of that operation's outputs it is."""


SHAPES = frozenset({"Shape", "ShapeN", "Size", "Rank", "VariableShape", "VarIsInitializedOp"})
"""Operations that look at no value of what they take."""

# What takes the handle of a variable and leaves its value alone.
_READS = SHAPES | {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "Identity"}
_PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
_LOOPS = ("While", "StatelessWhile")

# By node, what makes its outputs: one operation all of them, or for a call each its own.
_Made: TypeAlias = dict[str, Operation | tuple[Source, ...]]


@dataclass(frozen=True)
class FlatGraph:
    """The operations in the order in which they were traced.

    Args:
        operations: With those of called functions; a loop's body counts once.
        outputs: The operations that make the function's outputs.
    """

    operations: tuple[Operation, ...]
    outputs: tuple[Operation, ...]

    @cached_property
    def reached(self) -> tuple[Operation, ...]:
        """What the first output depends on."""
        found: dict[Operation, None] = {}
        waiting = [self.outputs[0]]
        while waiting:
            operation = waiting.pop()
            if operation not in found:
                found[operation] = None
                taken = operation.inputs[:1] if operation.carried else operation.inputs
                waiting += [*(() if operation.type in SHAPES else taken), *operation.later]
        return tuple(found)

    @property
    def outside(self) -> frozenset[int]:
        """The `id` of each variable and captured tensor that the first output depends on."""
        return frozenset(id(o.captured if o.variable is None else o.variable) for o in self.reached)

    @property
    def opaque(self) -> bool:
        """Whether the first output depends on Python code, which may read anything."""
        return any(operation.type in _PYTHON for operation in self.reached)

    @property
    def changed(self) -> tuple[tf.Variable, ...]:
        """The variables that are written to."""
        taken = dict.fromkeys(operand for operation in self.operations for operand in operation.inputs)
        return tuple(handle.variable for handle in taken if handle.variable is not None and handle.later)


def flattened(function: Any, variables: Mapping[int, tf.Variable]) -> FlatGraph:
    """Inline everything that a concrete function calls.

    Args:
        function: The concrete function.
        variables: By the `id` of its handle, each variable that the function does not know as one.
    """
    captured = list(function.captured_inputs)
    placeholders = [tensor.op.name for tensor in function.inputs[len(function.inputs) - len(captured) :]]
    known = {id(variable.handle): variable for variable in function.variables} | dict(variables)
    handles = {
        name: Operation("Captured", variable=known.get(id(taken)), captured=taken)
        for name, taken in zip(placeholders, captured, strict=True)
    }
    return inlined(function.graph, handles, [tensor.name for tensor in function.outputs])


def inlined(graph: tf.Graph, captured: Mapping[str, Operation], outputs: Sequence[str]) -> FlatGraph:
    """The same of a graph that may still grow.

    Args:
        graph: The graph.
        captured: By the name of a placeholder, what stands for it.
        outputs: The names of the tensors that are its outputs.
    """
    definition = graph.as_graph_def()
    inliner = _Inliner({body.signature.name: body for body in definition.library.function})
    made = inliner.run(definition.node, dict(captured))
    return FlatGraph(tuple(inliner.operations), tuple(_resolved(made, name)[0] for name in outputs))


class _Inliner:
    def __init__(self, bodies: Mapping[str, Any]) -> None:
        self._bodies = bodies
        self._within: tuple[str, ...] = ()
        self.operations: list[Operation] = []

    def run(self, nodes: Iterable[Any], arguments: _Made) -> _Made:
        """What makes the outputs of each node."""
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
        outer, self._within = self._within, (*self._within, node.name)
        called = self._called(node, inputs)
        self._within = outer
        made[node.name] = self._added(node.op, inputs, node) if called is None else called

    def _added(self, kind: str, inputs: Sequence[Source], node: Any, *, carried: bool = False) -> Operation:
        operation = Operation(
            kind,
            tuple(made for made, _ in inputs),
            {} if carried else node.attr,
            name=node.name,
            places=tuple(place for _, place in inputs),
            within=self._within,
            carried=carried,
        )
        self.operations.append(operation)
        for handle in operation.inputs:
            if handle.variable is not None and kind not in _READS:
                handle.later.append(operation)
        return operation

    def _called(self, node: Any, inputs: tuple[Source, ...]) -> tuple[Source, ...] | None:
        """The outputs of the function that the node calls; `None` for other nodes."""
        if node.op in _CALLS:
            return self._body(node.attr["f"].func.name, inputs)
        if node.op in _BRANCHES:
            named = [node.attr[key].func for key in ("then_branch", "else_branch") if key in node.attr]
            branches = named or node.attr["branches"].list.func
            # All are walked through; which one runs is not known.
            outputs = [self._body(branch.name, inputs[1:]) for branch in branches]
            for (made, _), *others in zip(*outputs, strict=True):
                made.later.extend(other for other, _ in (*others, inputs[0]))
            return outputs[0]
        if node.op in _LOOPS:
            given = tuple(
                source
                if source[0].variable is not None
                else (self._added("Identity", (source, *inputs), node, carried=True), "0")
                for source in inputs
            )
            ((test, _),) = self._body(node.attr["cond"].func.name, given)
            results = self._body(node.attr["body"].func.name, given)
            for (one, _), (result, _) in zip(given, results, strict=True):
                if one.carried:
                    one.later.extend((result, test))
            return results
        return self._body(node.op, inputs) if node.op in self._bodies else None

    def _body(self, name: str, inputs: Sequence[Source]) -> tuple[Source, ...]:
        body = self._bodies[name]
        arguments: _Made = {
            argument.name: (given,) for argument, given in zip(body.signature.input_arg, inputs, strict=True)
        }
        made = self.run(body.node_def, arguments)
        return tuple(_resolved(made, body.ret[output.name]) for output in body.signature.output_arg)


def _resolved(made: _Made, name: str) -> Source:
    """The tensor `node:0` of a graph, `node:output:0` or an argument's name of a function."""
    node, _, place = name.partition(":")
    outputs = made[node]
    if isinstance(outputs, Operation):
        return outputs, place or "0"
    return outputs[int(place.rpartition(":")[2] or 0)] if len(outputs) > 1 else outputs[0]
