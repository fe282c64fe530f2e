"""What the forward pass says of variables: the order of their first use, and what each is used for.

An operation knows what its inputs are: the second input of `Conv2D` is a kernel of shape `(h, w, in,
out)`. What no operation tells stays unknown; nothing is guessed from names or shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agnostic_rand.adapters import Meaning, einsum_axes, strided_axes
from agnostic_rand_tensorflow.graph import SHAPES, FlatGraph, Operation
from agnostic_rand_tensorflow.normalization import normalization_meaning

_PASSING = frozenset({"ReadVariableOp", "Identity", "Cast", "Snapshot", "StopGradient", "EnsureShape"})
_RESHAPING = frozenset({"Reshape", "ExpandDims", "Squeeze", "BroadcastTo", "SpaceToBatchND", "BatchToSpaceND"})
_NO_USE = SHAPES | {"NoOp"}

_CONVOLUTIONS: Mapping[str, tuple[str, ...]] = {
    "Conv2D": ("h", "w", "in", "out"),
    "Conv3D": ("d", "h", "w", "in", "out"),
    "DepthwiseConv2dNative": ("h", "w", "groups", "multiplier"),
    "Conv2DBackpropInput": ("h", "w", "out", "in"),
    "Conv3DBackpropInputV2": ("d", "h", "w", "out", "in"),
}
_TRANSPOSED = frozenset({"Conv2DBackpropInput", "Conv3DBackpropInputV2"})
_PRODUCTS = frozenset({*_CONVOLUTIONS, "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"})
_GATHERS = frozenset({"ResourceGather", "ResourceGatherNd", "Gather", "GatherV2", "GatherNd"})
_FUSED: Mapping[int, Meaning] = {
    1: ("scale", None),
    2: ("shift", None),
    3: ("mean", None),
    4: ("variance", None),
}


def used_variables(graph: FlatGraph) -> tuple[int, ...]:
    """The `id` of each variable whose value is used, by first use."""
    return tuple(dict.fromkeys(id(operand.variable) for _, _, operand in _uses(graph)))


def deduced_meanings(graph: FlatGraph) -> dict[int, Meaning]:
    """By the `id` of a variable, what its first use that tells anything says of it."""
    consumers: dict[int, list[tuple[Operation, int]]] = {}
    for operation in graph.operations:
        for position, operand in enumerate(operation.inputs):
            consumers.setdefault(id(operand), []).append((operation, position))
    meanings: dict[int, Meaning] = {}
    for operation, position, operand in _uses(graph):
        found = _meaning(operation, position, operand, lambda made: consumers.get(id(made), ()))
        if found is not None:
            meanings.setdefault(id(operand.variable), found)
    return meanings


def ends_in_softmax(graph: FlatGraph) -> bool:
    """Whether the first output is a softmax, not the logits."""
    return plain(graph.outputs[0]).type == "Softmax"


def plain(operation: Operation, more: frozenset[str] = frozenset()) -> Operation:
    """The operation whose value this one only passes on."""
    while operation.variable is None and operation.inputs and operation.type in _PASSING | more:
        operation = operation.inputs[0]
    return operation


def _uses(graph: FlatGraph) -> Iterable[tuple[Operation, int, Operation]]:
    """Each operation that computes with a variable: where it takes it, and the variable's handle."""
    for operation in graph.operations:
        if operation.type in _PASSING | _RESHAPING | _NO_USE:
            continue
        for position, operand in enumerate(operation.inputs):
            source = plain(operand, _RESHAPING)
            if source.variable is not None:
                yield operation, position, source


def _meaning(
    operation: Operation,
    position: int,
    source: Operation,
    consumers: Callable[[Operation], Iterable[tuple[Operation, int]]],
) -> Meaning | None:
    operand = operation.inputs[position]
    dimensions = len(source.variable.shape)  # type: ignore[union-attr]
    if operation.type in _GATHERS and position == 0:
        return "other", None
    if operation.type in _PRODUCTS:
        axes = _kernel_axes(operation, position, operand, dimensions)
        return None if axes is None or len(axes) != dimensions else ("kernel", axes)
    if operation.type.startswith("FusedBatchNorm") and position in _FUSED:
        return _FUSED[position]
    if operation.type == "BiasAdd" and position == 1:
        return "bias", ("out",)
    if operation.type in ("AddV2", "Add") and _is_product(operation.inputs[1 - position]):
        return "bias", ("out",) if dimensions == 1 else None
    return normalization_meaning(operation, position, consumers)


def _kernel_axes(
    operation: Operation, position: int, operand: Operation, dimensions: int
) -> tuple[str, ...] | None:
    convolution = _CONVOLUTIONS.get(operation.type)
    if convolution is not None:
        if position != 1:
            return None
        if operation.type in _TRANSPOSED:
            strides = _spatial_strides(operation)
            convolution = (*strided_axes(convolution[: len(strides)], strides), *convolution[len(strides) :])
        # A convolution in one dimension is one in two, with a height of 1 put in front.
        flat = dimensions == 3 and len(convolution) == 4 and plain(operand).type == "ExpandDims"
        return convolution[1:] if flat else convolution if plain(operand).variable is not None else None
    if plain(operand).variable is None or plain(operation.inputs[1 - position]).variable is not None:
        return None
    if operation.type == "Einsum":
        return einsum_axes(operation.attributes["equation"].s.decode(), position)
    keys = ("transpose_a", "transpose_b") if operation.type == "MatMul" else ("adj_x", "adj_y")
    transposed = operation.attributes[keys[position]].b
    return ("in", "out") if (position == 1) != transposed else ("out", "in")


def _spatial_strides(operation: Operation) -> list[int]:
    strides = operation.attributes["strides"].list.i
    channels_first = operation.attributes["data_format"].s.startswith(b"NC")
    return list(strides[2:] if channels_first else strides[1:-1])


def _is_product(operation: Operation) -> bool:
    return plain(operation, _RESHAPING).type in _PRODUCTS
