"""Normalizations that are written out in elementary operations.

`(x - mean) / sqrt(variance + epsilon)`, where the quotient may be a product with `rsqrt`, and where a
scale may be multiplied by the inverse root (or divided by the root) before the data are; or
`x * inverse + (shift - mean * inverse)`. Mean and variance are those of the data, or running ones, which
are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agnostic_rand.adapters import Meaning
from agnostic_rand_jax.provenance import Source, Value, plain


def normalized(operation: str, taken: Sequence[Value]) -> Value:
    """What an operation makes, and what that is to a normalization."""
    made = plain(taken)
    kinds = [value.kind for value in taken]
    match operation:
        case "add" if any(value.fixed for value in taken) and not all(value.fixed for value in taken):
            # A small number is added to the variance, or to its root.
            varied = next(value for value in taken if not value.fixed)
            if varied.kind == "root":
                return replace(made, kind="root", variance=varied.variance)
            return replace(made, kind="raised", variance=varied.source)
        case "sqrt" if kinds == ["raised"]:
            return replace(made, kind="root", variance=taken[0].variance)
        case "rsqrt" if kinds == ["raised"]:
            return replace(made, kind="inverse", variance=taken[0].variance)
        case "div" if kinds[1] == "root":
            data, root = taken
            if data.data:
                return replace(made, kind="normalized", variance=root.variance, mean=data.mean)
            if data.fixed or data.source is not None:
                return replace(made, kind="inverse", variance=root.variance, scale=data.source)
        case "mul":
            for inverse, other in (taken, taken[::-1]):
                if inverse.kind == "inverse" and other.data and other.kind != "inverse":
                    known = replace(made, kind="normalized", scale=inverse.scale)
                    return replace(known, variance=inverse.variance, mean=other.mean)
        case "sub" if taken[0].data:
            return replace(made, mean=taken[1].source)
    return made


def shown(operation: str, taken: Sequence[Value], made: Value) -> Iterator[tuple[Source, Meaning]]:
    """The parameters of which the operation shows what they are to a normalization.

    Args:
        operation: The operation.
        taken: What it takes.
        made: What `normalized` says of what it makes.
    """
    if made.kind == "normalized":
        if made.scale is not None:
            yield made.scale, ("scale", None)
        if made.variance is not None:
            yield made.variance, ("variance", None)
            # Beside the variance of the data themselves a bias may be subtracted.
            if made.mean is not None:
                yield made.mean, ("mean", None)
        return
    subtracted = taken[1] if operation == "sub" else None
    if subtracted is not None and subtracted.variance is not None and subtracted.scale is not None:
        # What was multiplied by the inverse root, and not by the data, is the mean.
        yield subtracted.scale, ("mean", None)
        if taken[0].source is not None:
            yield taken[0].source, ("shift", None)
