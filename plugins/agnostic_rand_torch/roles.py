"""What each parameter of torch's own layers does, and what its dimensions mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from agnostic_rand.adapters import SPACE, UNKNOWN, Meaning, strided_axes

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def kind_of(module: nn.Module) -> type:
    """The class that says what a module does: that of torch which a scripted one was made from."""
    if isinstance(module, torch.jit.ScriptModule):
        kind = getattr(nn, str(module.original_name), type(module))
        return kind if isinstance(kind, type) else type(module)
    kind = type(module)
    # A parametrized module's class is made on the fly as a subclass of its own.
    return kind.__bases__[0] if nn.utils.parametrize.is_parametrized(module) else kind


def keeps_statistics(kind: type) -> bool:
    """Whether a module of this class may keep running means and variances."""
    return issubclass(kind, nn.modules.batchnorm._NormBase)


def meaning(owner: nn.Module, name: str, dimensions: int) -> Meaning:
    """The role and the axes of the parameter `name` of a module.

    Args:
        owner: The module that owns it.
        name: Its attribute name, without the suffixes of a reparametrization.
        dimensions: Its number of dimensions.
    """
    role, axes = _meaning(owner, name, dimensions)
    return role, axes if axes is not None and len(axes) == dimensions else None


def _meaning(owner: nn.Module, name: str, dimensions: int) -> Meaning:
    kind = kind_of(owner)
    if issubclass(kind, _NORMALIZATIONS):
        return {"weight": ("scale", None), "bias": ("shift", None)}.get(name, UNKNOWN)  # type: ignore[return-value]
    if issubclass(kind, nn.RNNBase | nn.RNNCellBase):
        if name.startswith("weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name.startswith("bias") else UNKNOWN
    if issubclass(kind, nn.MultiheadAttention):
        if name.endswith("proj_weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name == "in_proj_bias" else UNKNOWN
    if name == "bias" and issubclass(kind, (nn.Linear, nn.Bilinear, *_CONVOLUTIONS, *_TRANSPOSED)):
        return "bias", ("out",)
    if name == "weight":
        return "kernel" if (axes := _kernel_axes(owner, kind, dimensions)) else "other", axes
    return UNKNOWN


def _kernel_axes(owner: nn.Module, kind: type, dimensions: int) -> tuple[str, ...] | None:
    if issubclass(kind, nn.Linear):
        return ("out", "in")
    if issubclass(kind, nn.Bilinear):
        return ("out", "in", "in2")
    if issubclass(kind, _CONVOLUTIONS):
        return ("out", "in", *SPACE[dimensions - 2])
    if issubclass(kind, _TRANSPOSED):
        axes = ("in", "out", *SPACE[dimensions - 2])
        settings = _settings(owner)
        return None if settings is None else strided_axes(axes, settings)
    return None


def _settings(transposed: Any) -> tuple[int, ...] | None:
    """For each axis of a transposed convolution's kernel, of what share an output is made; `None` if unknown."""
    if hasattr(transposed, "stride"):
        return (transposed.groups, 1, *transposed.stride)
    # A traced module keeps its settings in its computation alone, and has none where it was not called.
    traced = transposed._c._has_method("forward")
    calls = transposed.graph.findAllNodes("aten::_convolution") if traced else []
    if len(calls) != 1:
        return None
    call = list(calls[0].inputs())
    stride, groups = list(call[3].node().inputs()), call[8].toIValue()
    found = (groups, 1, *(value.toIValue() for value in stride))
    return None if None in found else found
