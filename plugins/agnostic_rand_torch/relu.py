"""Backward passes through ReLU by other rules, whether it is a module, a function or a method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from agnostic_rand.adapters import ReluRule
from agnostic_rand_torch.relu_functions import ceiling, works_in_place

_HIDING = (
    "ReluBackward0",
    "CompiledFunctionBackward",
    # A reentrant checkpoint runs its part of the model in the backward pass, where no mode is active.
    "CheckpointFunctionBackward",
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
        top = ceiling(func, args, kwargs)
        if top is None:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        if not x.requires_grad:
            return func(*args, **kwargs)
        self.met += 1
        rectified = _RuleRelu.apply(x, top, self._guided)  # type: ignore[no-untyped-call]
        return x.copy_(rectified) if works_in_place(func, kwargs) else rectified


def hides_relu(outputs: torch.Tensor) -> bool:
    """Whether a ReLU, or code that cannot be looked into, stands between the inputs and `outputs`.

    What a `ReluMode` replaced is not counted: this finds what it could not see.
    """
    waiting, seen = [outputs.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() in _HIDING:
            return True
        seen.add(node)
        waiting.extend(following for following, _ in node.next_functions)
    return False


class _RuleRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, top: float, guided: bool) -> torch.Tensor:
        rectified = functional.hardtanh(x, 0.0, top) if math.isfinite(top) else functional.relu(x)
        ctx.top = top
        if guided:
            # What ReLU itself keeps: activation checkpointing computes it again, by the plain ReLU.
            ctx.save_for_backward(rectified)
        return rectified

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        positive = gradients[0].clamp(min=0)
        for rectified in ctx.saved_tensors:
            positive = positive * ((rectified > 0) & (rectified < ctx.top))
        return positive, None, None
