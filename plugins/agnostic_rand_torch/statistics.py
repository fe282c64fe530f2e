"""Running means and variances as one batch gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from agnostic_rand.adapters import HostArray, no_variance
from agnostic_rand.errors import ModelError
from agnostic_rand_torch.arrays import host_copy
from agnostic_rand_torch.roles import keeps_statistics, kind_of


def estimated_statistics(
    layers: Mapping[str, nn.Module], run: Callable[[], Any]
) -> dict[str, dict[str, HostArray]]:
    """Run the model with these layers normalizing by the batch, and read what they saw.

    A layer that is called several times in one pass has the mean of what it saw each time. The
    layers' statistics and modes are as before when the call returns, also after an exception.

    Raises:
        InputError: There are too few inputs to have a variance.
        ModelError: A layer is scripted: its mode cannot be changed.
    """
    for name, layer in layers.items():
        if isinstance(layer, torch.jit.ScriptModule) and keeps_statistics(kind_of(layer)):
            raise ModelError(
                f"statistics='recalibrate' of the layer {name!r}",
                expected="a layer that can normalize by the batch",
                received="a scripted layer, whose mode is fixed",
                fix="Use statistics='reset', or pass the model as it was before torch.jit.script.",
            )
    norms = {
        name: layer
        for name, layer in layers.items()
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.running_mean is not None
    }
    saved = {name: (_state(norm), norm.momentum, norm.training) for name, norm in norms.items()}
    try:
        for norm in norms.values():
            # Without a momentum batch normalization averages over its calls; others then learn nothing.
            batch = isinstance(norm, nn.modules.batchnorm._BatchNorm)
            norm.momentum, norm.training = None if batch else 1.0, True
            norm.reset_running_stats()
        try:
            run()
        except ValueError as error:
            if "more than 1 value" not in str(error):
                raise
            raise no_variance(str(error)) from error
        return {
            name: {key: host_copy(buffer) for key, buffer in norm.named_buffers(recurse=False) if buffer.ndim}
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
