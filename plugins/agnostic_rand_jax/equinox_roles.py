"""What each parameter of Equinox's own layers does, and what its dimensions mean."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from agnostic_rand.adapters import SPACE, UNKNOWN, Meaning, strided_axes

_NORMALIZATIONS = (eqx.nn.LayerNorm, eqx.nn.GroupNorm, eqx.nn.RMSNorm, eqx.nn.BatchNorm)


def meaning(module: Any, name: str) -> Meaning:
    """The role and the axes of the parameter `name` of a module."""
    if isinstance(module, eqx.nn.WeightNorm):
        return ("magnitude", None) if name == "g" else meaning(module.layer, name.removeprefix("layer."))
    if isinstance(module, eqx.nn.SpectralNorm):
        return meaning(module.layer, name.removeprefix("layer."))
    if isinstance(module, _NORMALIZATIONS):
        return {"weight": ("scale", None), "bias": ("shift", None)}.get(name, UNKNOWN)  # type: ignore[return-value]
    if isinstance(module, eqx.nn.Linear):
        return {"weight": ("kernel", ("out", "in")), "bias": ("bias", ("out",))}.get(name, UNKNOWN)  # type: ignore[return-value]
    if isinstance(module, eqx.nn.Conv | eqx.nn.ConvTranspose):
        space = SPACE.get(module.num_spatial_dims)
        if name == "weight":
            if space is not None and isinstance(module, eqx.nn.ConvTranspose):
                space = strided_axes(space, module.stride)
            return "kernel", None if space is None else ("out", "in", *space)
        return ("bias", None if space is None else ("out", *space)) if name == "bias" else UNKNOWN
    if isinstance(module, eqx.nn.GRUCell | eqx.nn.LSTMCell):
        if name.startswith("weight"):
            return "kernel", ("out", "in")
        return ("bias", ("out",)) if name.startswith("bias") else UNKNOWN
    return UNKNOWN
