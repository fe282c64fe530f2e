"""What each parameter of torch's own layers does, and what its dimensions mean."""

from __future__ import annotations

from typing import TypeAlias

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


def meaning(module: nn.Module, name: str, dimensions: int) -> Meaning:
    """The role and the axes of the parameter `name` of a module.

    Args:
        module: The module that owns it.
        name: Its attribute name, without the suffixes of a reparametrization.
        dimensions: Its number of dimensions.
    """
    if isinstance(module, _NORMALIZATIONS):
        return {"weight": ("scale", None), "bias": ("shift", None)}.get(name, _UNKNOWN)  # type: ignore[return-value]
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        if name.startswith("weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name.startswith("bias") else _UNKNOWN
    if isinstance(module, nn.MultiheadAttention):
        if name.endswith("proj_weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name == "in_proj_bias" else _UNKNOWN
    if name == "bias" and isinstance(module, (nn.Linear, nn.Bilinear, *_CONVOLUTIONS, *_TRANSPOSED)):
        return "bias", ("out",)
    if name == "weight":
        return "kernel" if (axes := _kernel_axes(module, dimensions)) else "other", axes
    return _UNKNOWN


def _kernel_axes(module: nn.Module, dimensions: int) -> tuple[str, ...] | None:
    if isinstance(module, nn.Linear):
        return ("out", "in")
    if isinstance(module, nn.Bilinear):
        return ("out", "in", "in2")
    if isinstance(module, _CONVOLUTIONS):
        return ("out", "in", *_SPACE[dimensions - 2])
    if isinstance(module, _TRANSPOSED):
        return ("in", "out", *_SPACE[dimensions - 2])
    return None
