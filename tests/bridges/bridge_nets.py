"""A net with what bridges stumble over, and what a check must leave of it as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    """Two convolutions, a batch normalization and a block, its ReLUs as modules or as functions."""

    def __init__(self, *, functional: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.relu2 = nn.ReLU()
        self.head = Block(8 * 5 * 5, 4)
        self.functional = functional

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv1(x))
        x = torch.relu(x) if self.functional else self.relu1(x)
        x = self.conv2(x)
        x = torch.relu(x) if self.functional else self.relu2(x)
        return self.head(x)


class Block(nn.Module):
    """A module within a module, which is no container of torch's."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.flat(x))


def make_net(*, functional: bool = False) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = Net(functional=functional)
        net.norm.running_mean.normal_()
        net.norm.running_var.uniform_(0.5, 2)
        with torch.no_grad():
            net.norm.weight.uniform_(0.5, 2)
            net.norm.bias.normal_()
    return net.eval()


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """All that a check must leave as it is: values bit for bit, names, modes, flags, hooks, attributes."""
    parts = dict(model.named_modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "values": {name: value.numpy().tobytes() for name, value in model.state_dict().items()},
        "modes": {name: part.training for name, part in parts.items()},
        "hooks": {name: [len(vars(part)[hook]) for hook in hooks] for name, part in parts.items()},
        "attributes": {name: sorted(vars(part)) for name, part in parts.items()},
        "full backward": {name: vars(part)["_is_full_backward_hook"] for name, part in parts.items()},
        "flags": {name: (p.requires_grad, p.grad) for name, p in model.named_parameters()},
    }


def assert_close(ours: Any, theirs: Any, share: float = 1e-5) -> None:
    """Equal to a share of the second's largest value."""
    ours, theirs = (np.asarray(a.detach() if isinstance(a, torch.Tensor) else a) for a in (ours, theirs))
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max()
    assert scale > 0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * scale)
