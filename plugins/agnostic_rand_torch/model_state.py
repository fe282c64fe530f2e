"""What a call of a module should leave as it is, in plain words."""

from __future__ import annotations

from torch import nn


def model_state(module: nn.Module) -> dict[str, object]:
    """Modes, hooks and gradients of the module and its parts, comparable by `==`."""
    parts = dict(module.named_modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    forward, before, backward, before_backward = (
        sum(len(getattr(part, name)) for part in parts.values()) for name in hooks
    )
    return {
        "training mode": tuple(name for name, part in parts.items() if part.training),
        "forward hooks": forward + before,
        "backward hooks": backward + before_backward,
        "gradients of parameters": tuple(name for name, p in module.named_parameters() if p.grad is not None),
        "requires_grad": tuple(name for name, p in module.named_parameters() if p.requires_grad),
    }
