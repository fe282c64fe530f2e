"""Backward passes through ReLU by other rules, wherever torch's own function is called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from agnostic_rand.adapters import ReluRule

_TENSOR = torch.Tensor
_RELU = (functional.relu, torch.relu, torch.relu_, _TENSOR.relu, _TENSOR.relu_)
# Functions that are a ReLU if they bound by 0 from below only.
_BOUNDED = (
    *(torch.clamp, torch.clamp_, torch.clip, torch.clip_, torch.clamp_min, torch.clamp_min_),
    *(_TENSOR.clamp, _TENSOR.clamp_, _TENSOR.clip, _TENSOR.clip_, _TENSOR.clamp_min, _TENSOR.clamp_min_),
)
_MAXIMUM = (torch.maximum, _TENSOR.maximum)
_HIDDEN = (
    "ReluBackward0",
    # A reentrant checkpoint runs its part of the model in the backward pass, where no mode is active.
    "CheckpointFunctionBackward",
    "CompiledFunctionBackward",
    "torch::jit::(anonymous namespace)::DifferentiableGraphBackward",
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
        self._guided = rule == "guided"
        self.met = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        x, top = _rectified(func, args, kwargs)
        if top is None or not isinstance(x, torch.Tensor) or not x.requires_grad:
            return func(*args, **kwargs)
        self.met += 1
        rectified = _RuleRelu.apply(x, top, self._guided)  # type: ignore[no-untyped-call]
        in_place = kwargs.get("inplace", func is functional.relu and len(args) > 1 and args[1])
        return x.copy_(rectified) if in_place or func.__name__.endswith("_") else rectified


def hides_relu(outputs: torch.Tensor) -> bool:
    """Whether a ReLU that no mode replaced stands between the inputs and `outputs`."""
    waiting, seen = [outputs.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() in _HIDDEN:
            return True
        seen.add(node)
        waiting.extend(following for following, _ in node.next_functions)
    return False


def _rectified(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[Any, float | None]:
    """What a call rectifies, and where it stops to rise; `None` where it is no ReLU.

    Keras' ReLU, its activations and operations of that name call torch's; `keras.ops.maximum(x, 0)`
    is one too.
    """
    x = args[0] if args else kwargs.get("input")
    if func in _RELU:
        return x, math.inf
    if func is functional.relu6:
        return x, 6.0
    if func in _BOUNDED:
        low = args[1] if len(args) > 1 else kwargs.get("min")
        high = args[2] if len(args) > 2 else kwargs.get("max")
        if _number(low) == 0 and high is None:
            return x, math.inf
    if func in _MAXIMUM:
        other = args[1] if len(args) > 1 else kwargs.get("other")
        for value, bound in ((x, other), (other, x)):
            if _number(bound) == 0 and not _is_bounded(value):
                return value, math.inf
    return x, None


def _number(value: Any) -> float | None:
    """The one number that is given as itself or as a constant tensor."""
    if isinstance(value, torch.Tensor):
        return float(value.detach()) if value.numel() == 1 and not value.requires_grad else None
    return float(value) if isinstance(value, int | float) else None


def _is_bounded(value: Any) -> bool:
    """Whether it is a minimum: the maximum then clips it, as images are clipped."""
    node = getattr(value, "grad_fn", None)
    return node is not None and node.name() == "MinimumBackward0"


class _RuleRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, top: float, guided: bool) -> torch.Tensor:
        if guided:
            ctx.save_for_backward((x > 0) & (x < top))
        return functional.relu(x) if math.isinf(top) else functional.relu6(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        positive = gradients[0].clamp(min=0)
        return positive * ctx.saved_tensors[0] if ctx.saved_tensors else positive, None, None
