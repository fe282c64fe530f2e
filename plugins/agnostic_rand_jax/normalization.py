"""Normalizations that are written out in elementary operations.

`(x - mean) / sqrt(variance + epsilon)`, where the quotient may be a product with `rsqrt`, and where a
scale may be multiplied by the inverse root before the data are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agnostic_rand_jax.provenance import Kind, Value, plain


def normalized(operation: str, taken: Sequence[Value]) -> Value:
    """What an operation makes, and what that is to a normalization."""
    made = plain(taken)
    kind, scale = _kind(operation, taken)
    return replace(made, kind=kind, scale=scale.scale if scale is not None else None)


def _kind(operation: str, taken: Sequence[Value]) -> tuple[Kind | None, Value | None]:
    kinds = [value.kind for value in taken]
    match operation:
        case "add" if any(value.fixed for value in taken) and not all(value.fixed for value in taken):
            # A small number is added to the variance, or to its root.
            return ("root" if "root" in kinds else "raised"), None
        case "sqrt" if kinds == ["raised"]:
            return "root", None
        case "rsqrt" if kinds == ["raised"]:
            return "inverse", None
        case "div" if kinds[1] == "root":
            return ("normalized" if taken[0].data else "inverse" if taken[0].fixed else None), None
        case "mul":
            for inverse, other in (taken, taken[::-1]):
                if inverse.kind == "inverse" and other.data and other.kind != "inverse":
                    return "normalized", inverse
    return None, None
