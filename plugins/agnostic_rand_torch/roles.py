"""What each parameter of torch's own layers does, and what its dimensions mean."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

from agnostic_rand.adapters import Role

Meaning: TypeAlias = tuple[Role, tuple[str, ...] | None]

_SPACE = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
_UNKNOWN: Meaning = ("other", None)


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


def meaning(kind: type, name: str, dimensions: int) -> Meaning:
    """The role and the axes of the parameter `name` of a module of class `kind`.

    Args:
        kind: The class of the module that owns it.
        name: Its attribute name, without the suffixes of a reparametrization.
        dimensions: Its number of dimensions.
    """
    role, axes = _meaning(kind, name, dimensions)
    return role, axes if axes is not None and len(axes) == dimensions else None


def _meaning(kind: type, name: str, dimensions: int) -> Meaning:
    if issubclass(kind, _NORMALIZATIONS):
        return {"weight": ("scale", None), "bias": ("shift", None)}.get(name, _UNKNOWN)  # type: ignore[return-value]
    if issubclass(kind, nn.RNNBase | nn.RNNCellBase):
        if name.startswith("weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name.startswith("bias") else _UNKNOWN
    if issubclass(kind, nn.MultiheadAttention):
        if name.endswith("proj_weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name == "in_proj_bias" else _UNKNOWN
    if name == "bias" and issubclass(kind, (nn.Linear, nn.Bilinear, *_CONVOLUTIONS, *_TRANSPOSED)):
        return "bias", ("out",)
    if name == "weight":
        return "kernel" if (axes := _kernel_axes(kind, dimensions)) else "other", axes
    return _UNKNOWN


def _kernel_axes(kind: type, dimensions: int) -> tuple[str, ...] | None:
    if issubclass(kind, nn.Linear):
        return ("out", "in")
    if issubclass(kind, nn.Bilinear):
        return ("out", "in", "in2")
    if issubclass(kind, _CONVOLUTIONS):
        return ("out", "in", *_SPACE[dimensions - 2])
    if issubclass(kind, _TRANSPOSED):
        return ("in", "out", *_SPACE[dimensions - 2])
    return None
