"""Scale, shift, mean and variance in a normalization that is written out in elementary operations.

Two forms are known, with or without each of their parts: `x * inverse + (shift - mean * inverse)`,
where `inverse = rsqrt(variance + epsilon) * scale` (`tf.nn.batch_normalization`), and
`(x - mean) / sqrt(variance + epsilon) * scale + shift`, where the quotient may be a product with `rsqrt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agnostic_rand.adapters import Meaning
from agnostic_rand_tensorflow.graph import Operation

_ADDITIONS = ("AddV2", "Add")
_PASSING = frozenset({"Identity", "Cast", "Reshape", "ExpandDims", "BroadcastTo", "ReadVariableOp"})

Consumers = Callable[[Operation], Iterable[tuple[Operation, int]]]


def normalization_meaning(operation: Operation, position: int, consumers: Consumers) -> Meaning | None:
    """What a variable is to a normalization in which the operation takes it, if it is one.

    Args:
        operation: What takes the variable.
        position: As which of its inputs.
        consumers: The operations that take the output of one, each with the position of the input.
    """
    if operation.type == "Neg":
        return ("mean", None) if any(_is_quotient(user) for user, _ in _users(operation, consumers)) else None
    if len(operation.inputs) != 2:
        return None
    other = _plain(operation.inputs[1 - position])
    if operation.type in _ADDITIONS:
        if any(user.type in ("Rsqrt", "Sqrt") for user, _ in _users(operation, consumers)):
            return "variance", None
        return ("shift", None) if _is_normalized(other) else None
    if operation.type == "Mul":
        if _is_inverse(other):
            subtracted = any(user.type == "Sub" and at == 1 for user, at in _users(operation, consumers))
            return ("mean", None) if subtracted else ("scale", None)
        return ("scale", None) if _is_normalized(other) else None
    if operation.type == "Sub":
        if position == 0:
            scaled_mean = other.type == "Mul" and any(_is_inverse(_plain(part)) for part in other.inputs)
            return ("shift", None) if scaled_mean else None
        return ("mean", None) if any(_is_quotient(user) for user, _ in _users(operation, consumers)) else None
    return None


def _is_inverse(operation: Operation) -> bool:
    """`rsqrt(...)`, or that times a scale."""
    if _is_root(operation, "Rsqrt"):
        return True
    if operation.type != "Mul":
        return False
    parts = [_plain(part) for part in operation.inputs]
    return any(_is_root(a, "Rsqrt") and b.variable is not None for a, b in (parts, parts[::-1]))


def _is_root(operation: Operation, kind: str) -> bool:
    """A root of `variance + epsilon`, not of a constant such as a width."""
    return operation.type == kind and _plain(operation.inputs[0]).type in _ADDITIONS


def _is_quotient(operation: Operation) -> bool:
    """Something divided by a standard deviation."""
    parts = [_plain(part) for part in operation.inputs]
    if operation.type == "RealDiv":
        return _is_root(parts[1], "Sqrt")
    return operation.type == "Mul" and any(_is_inverse(part) for part in parts)


def _is_normalized(operation: Operation) -> bool:
    """A quotient, or that times a scale."""
    if _is_quotient(operation):
        return True
    parts = [_plain(part) for part in operation.inputs]
    if operation.type != "Mul":
        return False
    return any(a.variable is not None and _is_quotient(b) for a, b in (parts, parts[::-1]))


def _plain(operation: Operation) -> Operation:
    while operation.variable is None and operation.inputs and operation.type in _PASSING:
        operation = operation.inputs[0]
    return operation


def _users(operation: Operation, consumers: Consumers) -> Iterable[tuple[Operation, int]]:
    for user, position in consumers(operation):
        if user.type in _PASSING:
            yield from _users(user, consumers)
        else:
            yield user, position
