"""Which operators bound a value as a ReLU does, told by their operands and by what made these.

They are seen below autograd, where modules, functions, methods and operators in place are one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAMED = frozenset({"relu", "leaky_relu", "elu", "threshold"})
"""Operators that are a ReLU wherever they stand; others may be part of a clip."""

WATCHED = NAMED.union(
    ("hardtanh", "clamp", "clamp_min", "clamp_max", "maximum", "fmax", "minimum", "fmin"),
    ("gt", "ge", "lt", "le", "logical_not", "bitwise_not", "_to_copy", "abs"),
    ("where", "masked_fill", "index_put", "mul", "add", "sub"),
)
"""All operators that matter here."""

_OPPOSITE = {"positive": "negative", "negative": "positive"}
# How much of a value is looked at, and how many negative numbers are no chance.
_LOOKED_AT, _EVIDENCE = 4096, 8
# So many steps lie between the cumulative sums and the threshold of a sparsemax.
_DEPTH = 12


@dataclass(frozen=True)
class Bounded:
    """What an operator bounds.

    Args:
        x: The value.
        place: Which of the inputs of the operator's derivative it is.
        low: The bound from below; NaN where it is no number.
        high: The bound from above.
        slope: What the operator multiplies by between them.
    """

    x: Tensor
    place: int
    low: float = 0.0
    high: float = math.inf
    slope: float = 1.0


class Operators:
    """What calls of operators tell of each other, such as which mask is true where a tensor is positive."""

    def __init__(self) -> None:
        # By id, with the result itself, so that its id stays its own: how it was made, of what, in which version.
        self._made: dict[int, tuple[Any, str, Tensor, int]] = {}

    def note(self, name: str, args: Sequence[Any], result: Any) -> None:
        """Remember of what a mask, a magnitude or another part of an activation was made."""
        match name, *args:
            case ("gt" | "ge" | "lt" | "le", *pair):
                for place, x in enumerate(pair):
                    if _is_plain(x) and number(pair[1 - place]) == 0:
                        kind = "positive" if name.startswith("g") is (place == 0) else "negative"
                        self._made[id(result)] = result, kind, x, _version(x)
            case ("_to_copy" | "logical_not" | "bitwise_not", x, *_) if id(x) in self._made:
                _, kind, source, version = self._made[id(x)]
                kept = kind if name == "_to_copy" else _OPPOSITE.get(kind, "")
                self._made[id(result)] = result, kept, source, version
            case ("abs", x) if _is_plain(x):
                self._made[id(result)] = result, name, x, _version(x)
            case ("add", x, int() | float() as shift) if _is_plain(x) and shift == 3:
                self._made[id(result)] = result, "shifted", x, _version(x)

    def bounded(self, name: str, args: Sequence[Any]) -> Bounded | None:
        """What a call bounds, if it bounds anything by numbers."""
        match name, *args:
            case ("relu", x) | ("leaky_relu" | "elu", x, 0, *_) | ("threshold", x, 0, 0):
                return Bounded(x, 0)
            case ("hardtanh", x, *bounds):
                return self._clipped(x, [*bounds, *(-1.0, 1.0)[len(bounds) :]])
            case ("clamp" | "clamp_min", x, *bounds):
                return self._clipped(x, [*bounds, None][:2])
            case ("clamp_max", x, high):
                return self._clipped(x, (None, high))
            case ("maximum" | "fmax" | "minimum" | "fmin", *pair):
                for place, (x, bound) in enumerate((pair, pair[::-1])):
                    if not math.isnan(value := number(bound)):
                        upper = name in ("minimum", "fmin")
                        return Bounded(x, place, *((-math.inf, value) if upper else (value, math.inf)))
            case ("where", mask, *pair):
                for place, kind in enumerate(_OPPOSITE):
                    if self._is_of(mask, kind, pair[place]) and number(pair[1 - place]) == 0:
                        return Bounded(pair[place], place)
            case ("masked_fill", x, mask, value) | ("index_put", x, [mask], value):
                if self._is_of(mask, "negative", x) and number(value) == 0:
                    return Bounded(x, 0)
            case ("mul" | "add", *pair):
                kind, slope = ("positive", 1.0) if name == "mul" else ("abs", 2.0)
                for place, x in enumerate(pair):
                    if self._is_of(pair[1 - place], kind, x):
                        return Bounded(x, place, slope=slope)
        return None

    def tells_another(self, args: Sequence[Any]) -> bool:
        """Whether a mask among the operands is known to be that of a value that is not among them."""
        masks = [self._made[id(mask)] for mask in args if id(mask) in self._made]
        values = [x.data_ptr() for x in args if _is_plain(x)]
        return any(kind in _OPPOSITE and source.data_ptr() not in values for _, kind, source, _ in masks)

    def _clipped(self, x: Tensor, bounds: Sequence[Any]) -> Bounded | None:
        low, high = number(bounds[0], -math.inf), number(bounds[1], math.inf)
        # As in a hard sigmoid, `relu6(x + 3) / 6`.
        is_shifted = (low, high) == (0, 6) and self._made.get(id(x), (None, ""))[1] == "shifted"
        return None if is_shifted else Bounded(x, 0, low, high)

    def _is_of(self, made: Any, kind: str, x: Any) -> bool:
        """Whether something was made in that way of `x`, or of a view like it, which nothing has changed since."""
        _, found, source, version = self._made.get(id(made), (None, "", x, 0))
        if found != kind or not _is_plain(x) or _version(x) != version:
            return False
        return x is source or (_geometry(x) == _geometry(source) and x.numel() > 0)


def comparable(name: str, args: Sequence[Any], in_place: bool) -> list[Tensor]:
    """The operands of a sum or product, of which a ReLU can be made in any number of ways, before the call."""
    operands = [x for x in args if _is_plain(x)]
    # A learned slope of a leaky ReLU may be zero: both sides of a choice or product then carry a gradient.
    chooses = name in ("mul", "where", "masked_fill", "index_put") and sum(x.requires_grad for x in operands) < 2
    parts = [_part(x) for x in operands] if chooses or name in ("add", "sub") else []
    return [x.clone() for x in parts] if in_place else parts


def comes_out_as_relu(name: str, operands: Sequence[Tensor], result: Tensor) -> bool:
    """Whether the result is the ReLU of one of the operands, or twice it, and enough signs show that."""
    seen = _part(result)
    return any(
        x.shape == seen.shape
        and (torch.equal(seen, x.clamp(min=0)) or (name == "add" and torch.equal(seen, x + x.abs())))
        and int((x < 0).sum()) >= _EVIDENCE
        and bool((x > 0).any())
        for x in operands
    )


def number(value: Any, default: float = math.nan) -> float:
    """The one number that a constant is everywhere, or NaN; the default for `None`."""
    if isinstance(value, Tensor):
        if not _is_dense(value) or value.requires_grad or not value.numel() or value.is_complex():
            return math.nan
        first = value[(0,) * value.ndim]
        return float(first) if bool((value == first).all()) else math.nan
    return float(value) if isinstance(value, int | float) else default if value is None else math.nan


def is_projected(made: Any) -> bool:
    """Whether a node is the distance to the threshold that a sparsemax finds by cumulative sums."""
    waiting = {made.next_functions[1][0]} if made is not None and made.name() == "SubBackward0" else set()
    for _ in range(_DEPTH):
        found = {
            used for node in waiting if node is not None for used, _ in node.next_functions if used is not None
        }
        if any(used.name() == "CumsumBackward0" for used in found):
            return True
        waiting = found
    return False


def _version(x: Tensor) -> int:
    return -1 if x.is_inference() else x._version


def _geometry(x: Tensor) -> tuple[Any, ...]:
    return x.data_ptr(), x.dtype, x.shape, x.stride()


def _is_dense(x: Any) -> bool:
    """Whether it is a tensor of numbers, and no object that stands for one."""
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout is torch.strided and not x.is_nested


def _is_plain(x: Any) -> bool:
    return _is_dense(x) and bool(x.is_floating_point())


def _part(x: Tensor) -> Tensor:
    return x if x.numel() <= _LOOKED_AT else x[:1]
