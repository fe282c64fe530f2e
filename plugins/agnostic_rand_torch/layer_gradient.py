"""What a named submodule puts out, and the gradient with respect to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from agnostic_rand.adapters import unusable_layer
from agnostic_rand.errors import unknown_name
from agnostic_rand_torch.gradients import gradient_by_backward, is_of_reentrant_checkpoint
from agnostic_rand_torch.modes import interpreted
from agnostic_rand_torch.roles import kind_of
from agnostic_rand_torch.unwrap import public_names


def output_shapes(module: nn.Module, run: Callable[[], Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each submodule's output in `run`, in the order in which they finish."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                shapes.pop(name, None)
                shapes[name] = tuple(output.shape)

        return hook

    handles = [part.register_forward_hook(note(name)) for name, part in hookable_submodules(module).items()]
    try:
        with interpreted():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def output_and_gradient_at(
    module: nn.Module, layer: str, run: Callable[[], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's last output in `run`, and the gradient of what `run` returns with respect to it.

    Raises:
        UnknownNameError: There is no such submodule.
        ModelError: It is not called, or its output is not one tensor that reaches the model's.
    """
    submodule = hookable_submodule(module, layer)
    caught: list[torch.Tensor] = []

    def catch(_module: nn.Module, _args: Any, output: Any) -> torch.Tensor | None:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return None
        # What comes next may work in place, so it gets a copy.
        caught.append(output if output.requires_grad else output.requires_grad_())
        return output.clone()

    handle = submodule.register_forward_hook(catch)
    gradient = None
    try:
        with interpreted():
            selected = run()
        if caught:
            try:
                (gradient,) = torch.autograd.grad(selected, caught[-1], allow_unused=True)
            except RuntimeError as error:
                if not is_of_reentrant_checkpoint(error):
                    raise
                with interpreted():
                    gradient = gradient_by_backward(module, run, lambda: caught[-1])
    finally:
        handle.remove()
    if gradient is None:
        received = "no such tensor in the forward pass" if not caught else "an output that is not used"
        raise unusable_layer(layer, received)
    return caught[-1].detach(), gradient


def hookable_submodule(module: nn.Module, layer: str) -> nn.Module:
    """The submodule of that name.

    Raises:
        UnknownNameError: There is none.
    """
    submodules = hookable_submodules(module)
    if layer not in submodules:
        raise unknown_name("layer", layer, submodules)
    return submodules[layer]


def hookable_submodules(module: nn.Module) -> dict[str, nn.Module]:
    """By its name without wrappers, each submodule that takes hooks; a wrapper itself has no name."""
    names = public_names(module)
    named = {names[id(part)]: part for part in module.modules() if names[id(part)]}
    # What computes a weight has an output of its own, but none for each sample.
    named = {name: part for name, part in named.items() if "parametrizations" not in name.split(".")}
    if not named:
        # A model that is a single layer is listed by its type, as in `layers()`.
        named = {kind_of(module).__name__: module}
    return {name: part for name, part in named.items() if not isinstance(part, torch.jit.ScriptModule)}
