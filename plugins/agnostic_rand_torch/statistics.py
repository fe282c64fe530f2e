"""Running means and variances as one batch gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from agnostic_rand.adapters import HostArray


def estimated_statistics(
    layers: Mapping[str, nn.Module], run: Callable[[], Any]
) -> dict[str, dict[str, HostArray]]:
    """Run the model with these layers normalizing by the batch, and read what they saw.

    The layers' statistics and modes are as before when the call returns, also after an exception.
    """
    norms = {
        name: layer
        for name, layer in layers.items()
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.running_mean is not None
    }
    saved = {name: (_state(norm), norm.momentum, norm.training) for name, norm in norms.items()}
    try:
        for norm in norms.values():
            # Momentum 1 replaces the running values by the batch's.
            norm.momentum, norm.training = 1.0, True
        run()
        return {
            name: {key: np.array(t.cpu().float().numpy()) for key, t in _state(norm).items() if t.ndim}
            for name, norm in norms.items()
        }
    finally:
        for name, (state, momentum, training) in saved.items():
            norm = norms[name]
            norm.momentum, norm.training = momentum, training
            for key, tensor in state.items():
                norm.get_buffer(key).copy_(tensor)


def _state(norm: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)}
