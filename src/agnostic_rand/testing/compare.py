"""Comparison of arrays in the kit: bit for bit, or within the precision of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.testing.expectation import ContractError

Values: TypeAlias = Mapping[str, Mapping[str, HostArray]]
"""By layer and name, host copies of all that a model holds."""


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays have one type, one shape and the same bits."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def changed(before: Values, after: Values) -> list[str]:
    """The arrays that are not the same, bit for bit, as `"layer/name"`."""
    names = [(layer, name) for layer, held in before.items() for name in held]
    lost = [f"{layer}/{name}" for layer, name in names if name not in after.get(layer, {})]
    return lost + [
        f"{layer}/{name}"
        for layer, name in names
        if name in after.get(layer, {}) and not same_bits(before[layer][name], after[layer][name])
    ]


def difference(a: HostArray, b: HostArray) -> float:
    """The largest difference, as a share of the largest value of `b`; infinite where shapes differ."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    if a.size == 0:
        return 0.0
    scale = float(np.abs(b).max()) or 1.0
    return float(np.abs(a - b).max()) / scale


def expect_close(actual: HostArray, expected: HostArray, tolerance: float, subject: str) -> None:
    """State that two arrays agree.

    Raises:
        ContractError: They differ by more than `tolerance` times the largest expected value.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise ContractError(f"{subject}: shape {actual.shape}, expected {expected.shape}")
    off = difference(actual, expected)
    if off > tolerance:
        worst = np.unravel_index(int(np.argmax(np.nan_to_num(np.abs(actual - expected), nan=np.inf))), actual.shape)
        raise ContractError(
            f"{subject}: {actual[worst]:.6g} where {expected[worst]:.6g} is due (at {tuple(map(int, worst))}); "
            f"off by {off:.2g} of the largest value, {tolerance:.2g} is allowed"
        )


def representable(value: HostArray, dtype: str) -> HostArray:
    """Host values that the framework's element type holds without rounding."""
    if dtype != "bfloat16":
        return value
    # The upper half of a float32's bits is a bfloat16.
    cut: HostArray = (np.asarray(value, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return cut


def some(names: list[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
