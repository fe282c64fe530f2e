"""Which calls of torch's functions are ReLUs.

They are torch's own functions of that name, and `maximum(x, 0)`, `clip(x, 0)`, `where(x > 0, x, 0)`,
`threshold(x, 0, 0)` and `x * (x > 0)`. Cut off at 6 they are ReLUs too; cut off elsewhere by clipping,
as `clip(x, 0, 1)` of an image, they are none. Nor is the maximum that a sparsemax is made of. Other
ways to write a ReLU, such as `(x + abs(x)) / 2`, are not recognised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

_TENSOR = torch.Tensor
_RELU = (functional.relu, torch.relu, torch.relu_, _TENSOR.relu, _TENSOR.relu_)
# Functions that are a ReLU if they bound by 0 from below, and by nothing or 6 from above.
_BOUNDED = (
    *(torch.clamp, torch.clamp_, torch.clip, torch.clip_, torch.clamp_min, torch.clamp_min_),
    *(_TENSOR.clamp, _TENSOR.clamp_, _TENSOR.clip, _TENSOR.clip_, _TENSOR.clamp_min, _TENSOR.clamp_min_),
)
_MAXIMUM = (torch.maximum, _TENSOR.maximum)
_THRESHOLD = (functional.threshold, torch.threshold)
_WHERE = (torch.where, _TENSOR.where)
_PRODUCTS = frozenset({"mul", "multiply", "__mul__", "__rmul__"})
_CONVERSIONS = frozenset({"to", "type", "type_as", "float", "double", "half", "bfloat16"})
_GREATER = frozenset({"gt", "ge", "greater", "greater_equal", "__gt__", "__ge__"})
_LESS = frozenset({"lt", "le", "less", "less_equal", "__lt__", "__le__"})
_TOPS = (None, 6.0, math.inf)
# So many steps lie between the cumulative sums and the threshold of a sparsemax.
_DEPTH = 12


class Calls:
    """What calls of functions tell of each other: which masks are true where a tensor is positive."""

    def __init__(self) -> None:
        # The masks are kept, so that their ids stay their own.
        self._tests: dict[int, tuple[Any, Any, bool]] = {}

    def note(self, func: Callable[..., Any], args: Any, result: Any) -> None:
        """Remember a comparison with zero, and its conversion to numbers."""
        name = getattr(func, "__name__", "")
        if name in _GREATER | _LESS and len(args) == 2:
            for side in (0, 1):
                if isinstance(args[side], torch.Tensor) and _number(args[1 - side]) == 0:
                    self._tests[id(result)] = result, args[side], (name in _GREATER) == (side == 0)
                    return
        elif name in _CONVERSIONS and (test := self._tests.get(id(args[0]))) is not None:
            self._tests[id(result)] = result, *test[1:]

    def rectified(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[Any, float] | None:
        """What a call rectifies, and where it stops to rise; `None` where it is no ReLU."""
        x = args[0] if args else kwargs.get("input")
        if func in _RELU:
            return x, math.inf
        if func is functional.relu6:
            return x, 6.0
        if func in _BOUNDED:
            low, high = (_number(_argument(args, kwargs, i, name)) for i, name in ((1, "min"), (2, "max")))
            unbounded = _argument(args, kwargs, 2, "max") is None
            if low == 0 and (unbounded or high in _TOPS[1:]) and not _is_projected(x):
                return x, math.inf if high is None else high
        elif func in _THRESHOLD:
            if (
                _number(_argument(args, kwargs, 1, "threshold"))
                == 0
                == _number(_argument(args, kwargs, 2, "value"))
            ):
                return x, math.inf
        elif func in _MAXIMUM:
            other = _argument(args, kwargs, 1, "other")
            for value, bound in ((x, other), (other, x)):
                if _number(bound) == 0 and not _is_bounded(value) and not _is_projected(value):
                    return value, math.inf
        else:
            return self._selected(func, args)
        return None

    def _selected(self, func: Callable[..., Any], args: Any) -> tuple[Any, float] | None:
        """What is kept where it is positive, by a choice or a product with a mask."""
        if func in _WHERE and len(args) == 3:
            first, mask, second = args if func is _TENSOR.where else (args[1], args[0], args[2])
            for kept, dropped, positive in ((first, second, True), (second, first, False)):
                if self._is_test(mask, kept, positive) and _is_zero(dropped, kept):
                    return kept, math.inf
        elif getattr(func, "__name__", "") in _PRODUCTS and len(args) == 2:
            for x, mask in (args, args[::-1]):
                if self._is_test(mask, x, True):
                    return x, math.inf
        return None

    def _is_test(self, mask: Any, x: Any, positive: bool) -> bool:
        test = self._tests.get(id(mask))
        return test is not None and test[1] is x and test[2] is positive


def _argument(args: Any, kwargs: dict[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


def _number(value: Any) -> float | None:
    """The one number that is given as itself or as a constant tensor."""
    if isinstance(value, torch.Tensor):
        return float(value.detach()) if value.numel() == 1 and not value.requires_grad else None
    return float(value) if isinstance(value, int | float) else None


def _is_zero(value: Any, like: torch.Tensor) -> bool:
    if isinstance(value, torch.Tensor) and not value.requires_grad and value.shape == like.shape:
        return not bool(value.any())
    return _number(value) == 0


def _is_bounded(value: Any) -> bool:
    """Whether it is a minimum: the maximum then clips it, as images are clipped."""
    node = getattr(value, "grad_fn", None)
    return node is not None and node.name() == "MinimumBackward0"


def _is_projected(value: Any) -> bool:
    """Whether it is a distance to the threshold that a sparsemax finds by cumulative sums."""
    node = getattr(value, "grad_fn", None)
    waiting = {node.next_functions[1][0]} if node is not None and node.name() == "SubBackward0" else set()
    for _ in range(_DEPTH):
        found = {
            used for node in waiting if node is not None for used, _ in node.next_functions if used is not None
        }
        if any(used.name() == "CumsumBackward0" for used in found):
            return True
        waiting = found
    return False
