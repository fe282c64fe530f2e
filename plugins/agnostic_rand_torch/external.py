"""Foreign code at work on a module: in evaluation mode, and with its forward pass noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from agnostic_rand_torch.modes import evaluating


@contextmanager
def watched(
    native: nn.Module, module: nn.Module, inputs: torch.Tensor | None
) -> Iterator[Callable[[], torch.Tensor | None]]:
    """Note the outputs of the first call of `module` on `inputs`, whoever makes it.

    Args:
        native: What foreign code calls; in evaluation mode meanwhile.
        module: The module inside it whose calls are seen.
        inputs: What to look for, or `None` to note nothing.
    """
    noted: list[torch.Tensor] = []

    def note(_: nn.Module, args: tuple[Any, ...], outputs: Any) -> None:
        if inputs is None or noted or len(args) != 1 or not isinstance(outputs, torch.Tensor):
            return
        if isinstance(args[0], torch.Tensor) and _equal(args[0], inputs):
            # A copy: code that follows may change the outputs in place.
            noted.append(outputs.detach().clone())

    hook = module.register_forward_hook(note)
    try:
        with evaluating(native):
            yield lambda: _outputs(noted)
    finally:
        hook.remove()


def _equal(seen: torch.Tensor, inputs: torch.Tensor) -> bool:
    same_kind = seen.shape == inputs.shape and seen.dtype == inputs.dtype and seen.device == inputs.device
    return same_kind and torch.equal(seen.detach(), inputs)


def _outputs(noted: list[torch.Tensor]) -> torch.Tensor | None:
    if not noted:
        return None
    outputs = noted[0][:, None] if noted[0].ndim == 1 else noted[0]
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
