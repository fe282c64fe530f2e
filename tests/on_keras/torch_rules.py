"""Small networks in plain PyTorch, in float64, with ReLU's backward passes written out: what is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agnostic_rand.adapters import HostArray

Rectifier = Callable[[Tensor], Tensor]


def rectifier(rule: str, top: float = float("inf")) -> Rectifier:
    """A ReLU, capped at `top`, with the backward pass that the rule's paper gives."""

    class Rectified(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(0, top)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            passes = (x > 0) & (x < top)
            if rule == "standard":
                return gradient * passes
            return gradient.clamp(min=0) * (passes if rule == "guided" else 1)

    return Rectified.apply


def gradient(
    network: Callable[[Tensor], Tensor], inputs: HostArray, targets: HostArray
) -> tuple[HostArray, HostArray]:
    """The outputs of `network`, and the gradient of the targets' outputs (or of their weighted sum)."""
    with torch.enable_grad():
        x = torch.tensor(inputs, dtype=torch.float64, requires_grad=True)
        outputs = network(x)
        weights = np.eye(outputs.shape[1])[targets] if targets.ndim == 1 else targets
        (slope,) = torch.autograd.grad((outputs * torch.from_numpy(weights)).sum(), x)
    return outputs.detach().numpy(), slope.numpy()


def dense(x: Tensor, values: dict[str, HostArray]) -> Tensor:
    return x @ _double(values["kernel"]) + _double(values["bias"])


def convolved(x: Tensor, values: dict[str, HostArray], *, padding: int = 0) -> Tensor:
    """Channels last, of stride 1, the kernel in Keras' layout."""
    kernel = _double(values["kernel"]).permute(3, 2, 0, 1)
    moved = functional.conv2d(x.movedim(-1, 1), kernel, _double(values["bias"]), padding=padding)
    return moved.movedim(1, -1)


def normalized(x: Tensor, values: dict[str, HostArray], epsilon: float = 1e-3) -> Tensor:
    """By running statistics, features last."""
    centered = (x - _double(values["moving_mean"])) / (_double(values["moving_variance"]) + epsilon).sqrt()
    return centered * _double(values["gamma"]) + _double(values["beta"])


def _double(value: HostArray) -> Tensor:
    return torch.from_numpy(np.asarray(value, dtype=np.float64))
