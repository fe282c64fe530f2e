"""Foreign code at work on a module: in evaluation mode, and with its forward pass noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from agnostic_rand_torch.arrays import full_precision
from agnostic_rand_torch.modes import evaluating, own_gradients, with_gradients


@contextmanager
def watched(
    native: nn.Module, module: nn.Module, inputs: torch.Tensor | None
) -> Iterator[Callable[[], torch.Tensor | None]]:
    """Note the outputs of the first call of `module` on `inputs`, whoever makes it.

    Args:
        native: What foreign code calls; in evaluation mode meanwhile, with gradients enabled. Its
            modes, and its parameters' gradients and flags, are as before at the end.
        module: The module inside it whose calls are seen.
        inputs: What to look for, or `None` to note nothing.
    """
    noted: list[torch.Tensor] = []

    def note(_: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        if noted or len(args) != 1 or not isinstance(outputs, torch.Tensor):
            return
        if isinstance(args[0], torch.Tensor) and _equal(args[0], inputs) and _state(module) == state:
            # A copy: code that follows may change the outputs in place.
            noted.append(outputs.detach().clone())

    with evaluating(native), own_gradients(native), with_gradients():
        if inputs is None:
            yield lambda: None
            return
        state = _state(module)
        hook = module.register_forward_hook(note)
        try:
            yield lambda: _outputs(noted)
        finally:
            hook.remove()


def _state(module: nn.Module) -> tuple[object, ...]:
    """What differs when outputs would: many methods explain a noisy or modified model."""
    tensors = (*module.parameters(), *module.buffers())
    modes = tuple(part.training for part in module.modules())
    with torch.no_grad():
        sums = tuple(full_precision(tensor).sum().item() for tensor in tensors)
    kinds = {tensor.device.type for tensor in tensors}
    return {kind: torch.is_autocast_enabled(kind) for kind in kinds}, modes, sums


def _equal(seen: torch.Tensor, inputs: torch.Tensor | None) -> bool:
    if inputs is None or seen.shape != inputs.shape or seen.dtype != inputs.dtype or seen.device != inputs.device:
        return False
    return torch.equal(seen.detach(), inputs)


def _outputs(noted: list[torch.Tensor]) -> torch.Tensor | None:
    if not noted:
        return None
    return full_precision(noted[0][:, None] if noted[0].ndim == 1 else noted[0])
