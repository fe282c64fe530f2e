"""Backward passes through ReLU by other rules, whether it is a module, a function or a method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from agnostic_rand.adapters import ReluRule

_RELUS = frozenset(
    {
        functional.relu,
        functional.relu_,
        functional.relu6,
        torch.relu,
        torch.relu_,
        torch.Tensor.relu,
        torch.Tensor.relu_,
    }
)
_CLAMPS = frozenset(
    {
        torch.clamp,
        torch.clamp_,
        torch.clamp_min,
        torch.clamp_min_,
        torch.clip,
        torch.clip_,
        torch.Tensor.clamp,
        torch.Tensor.clamp_,
        torch.Tensor.clamp_min,
        torch.Tensor.clamp_min_,
        torch.Tensor.clip,
        torch.Tensor.clip_,
    }
)


class ReluMode(TorchFunctionMode):
    """While active, each ReLU that is called has the rule's backward pass.

    Args:
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
    """

    def __init__(self, rule: ReluRule) -> None:
        super().__init__()
        self._rule = rule
        self.met = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not (func in _RELUS or (func in _CLAMPS and _is_relu_clamp(args, kwargs))):
            return func(*args, **kwargs)
        self.met += 1
        if self._rule == "deconv" and func is not functional.relu6:
            x = args[0] if args else kwargs["input"]
            rectified = _DeconvRelu.apply(x)  # type: ignore[no-untyped-call]
            in_place = func.__name__.endswith("_") or kwargs.get("inplace", len(args) > 1 and args[1] is True)
            return x.copy_(rectified) if in_place else rectified
        output = func(*args, **kwargs)
        if output.requires_grad:
            output.register_hook(_keep_positive)
        return output


class _DeconvRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0].clamp(min=0)


def _keep_positive(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.clamp(min=0)


def _is_relu_clamp(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    low = args[1] if len(args) > 1 else kwargs.get("min")
    high = args[2] if len(args) > 2 else kwargs.get("max")
    return isinstance(low, int | float) and low == 0 and high is None
