"""Which operations of a graph are ReLUs.

They are TensorFlow's own of that name, and `maximum(x, 0)`, `clip(x, 0, 6)`, `where(x > 0, x, 0)` and
`x * (x > 0)`. Clipped elsewhere, as `clip(x, 0, 1)` of an image, they are none. Nor are the ReLUs that
Keras makes other activations of: `hard_sigmoid`, `hard_silu`, `celu`, `sparsemax`. Other ways to write
a ReLU, such as `(x + abs(x)) / 2`, are not recognised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

TYPES = ("Relu", "Relu6", "Maximum", "Minimum", "SelectV2", "Mul")

_TOPS = (6.0, math.inf)
# Whether an operand is what a comparison with zero is true for, by the side that it stands on.
_POSITIVE = {
    **dict.fromkeys(("Greater", "GreaterEqual"), (True, False)),
    **dict.fromkeys(("Less", "LessEqual"), (False, True)),
}
# So many operations lie between the cumulative sums and the threshold of a sparsemax.
_DEPTH = 12


def rectified(operation: Any) -> tuple[int, float] | None:
    """Which of its inputs an operation rectifies, and where it stops to rise; `None` where it is no ReLU."""
    if not operation.outputs or not operation.outputs[0].dtype.is_floating:
        return None
    place, top = None, math.inf
    match operation.type:
        case "Relu":
            place = 0
        case "Relu6":
            place, top = None if _is_hard_sigmoid(operation) else 0, 6.0
        case "Maximum":
            place = next((i for i in (0, 1) if _is_floor(operation, i)), None)
        case "Minimum":
            # What clipping begins with.
            floors = [user for user in operation.outputs[0].consumers() if rectified(user) is not None]
            place = next((i for i in (0, 1) if _number(operation.inputs[1 - i]) == 6), None) if floors else None
            top = 6.0
        case "SelectV2":
            place = _selected(*operation.inputs)
        case "Mul":
            place = next((i for i in (0, 1) if _masks(operation.inputs[1 - i], operation.inputs[i])), None)
    if place is None or not operation.inputs[place].shape.is_compatible_with(operation.outputs[0].shape):
        return None
    return place, top


def holds_relu(function: Any) -> bool:
    """Whether a function of a graph's library holds a ReLU; it is given as nodes, not as operations."""
    nodes = {node.name: node for node in function.node_def}
    return any(_is_relu(node, nodes) for node in nodes.values())


def _is_floor(operation: Any, place: int) -> bool:
    """Whether it is a maximum of that input with zero, which is no part of another activation."""
    x = operation.inputs[place]
    if _number(operation.inputs[1 - place]) != 0 or x.op.type == "Const":
        return False
    if x.op.type == "Minimum" and not any(_number(bound) in _TOPS for bound in x.op.inputs):
        return False
    return not _is_of_celu(x) and not _is_projected(x)


def _is_of_celu(x: Any) -> bool:
    """Whether the negative part of it goes into `expm1`, as that of a celu does."""
    parts = [user for user in x.consumers() if user.type == "Minimum" and 0 in map(_number, user.inputs)]
    scaled = [user for part in parts for user in part.outputs[0].consumers()]
    scaled += [user for part in scaled if part.type in ("RealDiv", "Mul") for user in part.outputs[0].consumers()]
    return any(user.type == "Expm1" for user in scaled)


def _is_projected(x: Any) -> bool:
    """Whether it is a distance to the threshold that a sparsemax finds by cumulative sums."""
    waiting = [x.op.inputs[1].op] if x.op.type == "Sub" else []
    for _ in range(_DEPTH):
        if any(made.type == "Cumsum" for made in waiting):
            return True
        waiting = list({tensor.op.name: tensor.op for made in waiting for tensor in made.inputs}.values())
    return False


def _is_hard_sigmoid(operation: Any) -> bool:
    """Whether it is the ReLU6 in `relu6(x + 3) / 6`."""
    shifted = operation.inputs[0].op
    quotients = [user for user in operation.outputs[0].consumers() if user.type == "RealDiv"]
    return (
        shifted.type in ("AddV2", "Add")
        and 3 in map(_number, shifted.inputs)
        and any(_number(quotient.inputs[1]) == 6 for quotient in quotients)
    )


def _selected(mask: Any, chosen: Any, otherwise: Any) -> int | None:
    if _number(otherwise) == 0 and _test(mask, chosen) is True:
        return 1
    return 2 if _number(chosen) == 0 and _test(mask, otherwise) is False else None


def _masks(mask: Any, x: Any) -> bool:
    return mask.op.type == "Cast" and _test(mask.op.inputs[0], x) is True


def _test(mask: Any, x: Any) -> bool | None:
    """Whether the mask holds where `x` is positive, or where it is negative; `None` for others."""
    sides = _POSITIVE.get(mask.op.type)
    for i in (0, 1) if sides is not None else ():
        if mask.op.inputs[i].name == x.name and _number(mask.op.inputs[1 - i]) == 0:
            return sides[i]  # type: ignore[index]
    return None


def _number(tensor: Any) -> float | None:
    """The one number that the tensor is everywhere, where the graph tells."""
    if tensor.op.type in ("ZerosLike", "OnesLike"):
        return float(tensor.op.type == "OnesLike")
    if tensor.op.type == "Fill":
        return _number(tensor.op.inputs[1])
    value = tf.get_static_value(tensor) if tensor.dtype.is_floating else None
    return float(value.flat[0]) if value is not None and value.size and (value == value.flat[0]).all() else None


def _is_relu(node: Any, nodes: Mapping[str, Any]) -> bool:
    given = [nodes.get(name.split(":")[0]) for name in node.input]
    if node.op == "Relu6":
        shift = [nodes.get(name.split(":")[0]) for name in given[0].input] if given[0] is not None else []
        return 3.0 not in map(_constant, shift)
    if node.op == "Maximum" and 0.0 in map(_constant, given):
        return all(part is None or part.op != "Minimum" for part in given)
    return bool(node.op == "Relu")


def _constant(node: Any) -> float | None:
    if node is None or node.op != "Const":
        return None
    value = tf.make_ndarray(node.attr["value"].tensor)
    return float(value.flat[0]) if value.dtype.kind == "f" and value.size == 1 else None
