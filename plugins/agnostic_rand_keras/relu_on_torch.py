"""Backward passes through ReLU by other rules, wherever torch's own function is called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from agnostic_rand.adapters import ReluRule
from agnostic_rand_keras.rectifiers_on_torch import Calls

_HIDDEN = (
    "ReluBackward0",
    # A reentrant checkpoint runs its part of the model in the backward pass, where no mode is active.
    "CheckpointFunctionBackward",
    "CompiledFunctionBackward",
    "torch::jit::(anonymous namespace)::DifferentiableGraphBackward",
)


class ReluMode(TorchFunctionMode):
    """While active, each ReLU of what requires a gradient has the rule's backward pass.

    Args:
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
    """

    def __init__(self, rule: ReluRule) -> None:
        super().__init__()
        self._guided = rule == "guided"
        self._calls = Calls()
        self.met = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        x, top = self._calls.rectified(func, args, kwargs) or (None, math.inf)
        if not isinstance(x, torch.Tensor) or not x.requires_grad:
            result = func(*args, **kwargs)
            self._calls.note(func, args, result)
            return result
        self.met += 1
        rectified = _RuleRelu.apply(x, top, self._guided)  # type: ignore[no-untyped-call]
        in_place = kwargs.get("inplace", func is functional.relu and len(args) > 1 and args[1])
        named_so = func.__name__.endswith("_") and not func.__name__.endswith("__")
        return x.copy_(rectified) if in_place or named_so else rectified


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
