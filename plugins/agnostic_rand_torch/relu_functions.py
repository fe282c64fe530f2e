"""The functions of torch that are a ReLU, or are one for certain arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

_METHODS = torch.Tensor
_OPERATORS = torch.ops.aten


def _operators(name: str) -> tuple[Any, ...]:
    """What exported graphs call: `aten.relu`, `aten.relu.default` and both in place."""
    packets = (getattr(_OPERATORS, name), getattr(_OPERATORS, f"{name}_"))
    return (*packets, *(packet.default for packet in packets))


_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "relu": (functional.relu, torch.relu, torch.relu_, _METHODS.relu, _METHODS.relu_, *_operators("relu")),
    "relu6": (functional.relu6, *_operators("relu6")),
    "hardtanh": (functional.hardtanh, functional.hardtanh_, *_operators("hardtanh")),
    "threshold": (functional.threshold, torch.threshold_, torch.threshold, *_operators("threshold")),
    "clamp_min": (
        *(torch.clamp_min, torch.clamp_min_, _METHODS.clamp_min, _METHODS.clamp_min_),
        *_operators("clamp_min"),
    ),
    "clamp": (
        *(torch.clamp, torch.clamp_, torch.clip, torch.clip_),
        *(_METHODS.clamp, _METHODS.clamp_, _METHODS.clip, _METHODS.clip_),
        *_operators("clamp"),
    ),
}
_KINDS: dict[Any, str] = {function: kind for kind, functions in _FUNCTIONS.items() for function in functions}

# The names of the second and third argument.
_BOUNDS = {
    "hardtanh": ("min_val", "max_val"),
    "threshold": ("threshold", "value"),
    "clamp_min": ("min", ""),
    "clamp": ("min", "max"),
}


def ceiling(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """The value at which the function stops to rise: infinity for ReLU, 6 for ReLU6, `None` for others."""
    kind = _KINDS.get(func)
    if kind is None or kind == "relu":
        return None if kind is None else math.inf
    if kind == "relu6":
        return 6.0
    low, high = (
        args[position] if len(args) > position else kwargs.get(name)
        for position, name in enumerate(_BOUNDS[kind], start=1)
    )
    if not _is_number(low, 0):
        return None
    if kind == "threshold":
        return math.inf if _is_number(high, 0) else None
    if high is None and kind != "hardtanh":
        return math.inf
    return 6.0 if _is_number(high, 6) else None


def works_in_place(func: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    """Whether the call overwrites its input."""
    return func.__name__.split(".")[0].endswith("_") or kwargs.get("inplace") is True


def _is_number(value: Any, number: float) -> bool:
    return isinstance(value, int | float) and value == number
