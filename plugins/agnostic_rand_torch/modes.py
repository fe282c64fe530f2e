"""Evaluation mode for the length of a call, whatever the caller's modes are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule into evaluation mode, and back into its own mode at the end."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        # The attribute, not train(): a module may override train() with effects of its own.
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def differentiable(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Record gradients, also inside the caller's `no_grad` or `inference_mode`."""
    recurrent = device.type == "cuda" and any(isinstance(part, nn.RNNBase) for part in module.modules())
    with torch.inference_mode(False), torch.enable_grad():
        if recurrent:
            # cuDNN's recurrent layers have no backward pass in evaluation mode.
            with torch.backends.cudnn.flags(enabled=False):
                yield
        else:
            yield
