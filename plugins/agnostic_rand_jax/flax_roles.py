"""What each parameter of Flax's own layers does, and what its dimensions mean; for Linen and NNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from agnostic_rand.adapters import SPACE, UNKNOWN, Meaning, einsum_axes, strided_axes

_NORMALIZATIONS = frozenset({"BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm", "WeightNorm"})
_MATRICES = frozenset({"Dense", "DenseParams", "Linear", "LoRA"})
_STATISTICS: dict[str, Meaning] = {"mean": ("mean", None), "var": ("variance", None)}


def meaning(module: Any, name: str, dimensions: int) -> Meaning:
    """The role and the axes of the parameter `name` of a module.

    Args:
        module: The module that owns it, of Linen or NNX, or `None` where it is not known.
        name: The parameter's name.
        dimensions: Its number of dimensions.
    """
    kind = flax_kind(module)
    if kind in _NORMALIZATIONS:
        # Weight normalization names a scale after the parameter that it belongs to.
        return {"bias": ("shift", None)}.get(name, ("scale", None))  # type: ignore[return-value]
    if kind in _MATRICES:
        return _matrix(name)
    if kind in ("DenseGeneral", "LinearGeneral"):
        return _general(module, name)
    if kind in ("Conv", "ConvLocal", "ConvTranspose"):
        return _convolution(module, kind, name, dimensions)
    if kind == "Einsum":
        return _einsum(module, name)
    return UNKNOWN


def statistic_meaning(name: str) -> Meaning:
    """The role of a running statistic."""
    return _STATISTICS.get(name, UNKNOWN)


def flax_kind(module: Any) -> str | None:
    """The name of Flax's own type that the module is, or derives from."""
    own = (base.__name__ for base in type(module).__mro__ if base.__module__.startswith(("flax.linen", "flax.nnx")))
    return next(own, None)


def _matrix(name: str) -> Meaning:
    if name in ("kernel", "lora_a", "lora_b"):
        return "kernel", ("in", "out")
    return ("bias", ("out",)) if name == "bias" else UNKNOWN


def _general(module: Any, name: str) -> Meaning:
    """A kernel over several axes: those of the batch, those that are summed over, those made."""
    batch = _count(getattr(module, "batch_dims", None) or getattr(module, "batch_axis", None) or ())
    summed = _count(module.axis)
    made = _count(getattr(module, "features", None) or getattr(module, "out_features", ()))
    if name == "kernel":
        return "kernel", ("groups",) * batch + ("in",) * summed + ("out",) * made
    return ("bias", ("groups",) * batch + ("out",) * made) if name == "bias" else UNKNOWN


def _convolution(module: Any, kind: str, name: str, dimensions: int) -> Meaning:
    if name == "bias":
        return "bias", ("out",)
    if name != "kernel":
        return UNKNOWN
    size = module.kernel_size
    space = len(size) if isinstance(size, Sequence) else dimensions - 2
    if space not in SPACE:
        return "kernel", None
    transposed = kind == "ConvTranspose"
    # Inputs that are spread by zeros make a convolution a transposed one.
    given = (module.strides if transposed else module.input_dilation) or 1
    strides = tuple(given) if isinstance(given, Sequence) else (given,) * space
    if kind == "ConvLocal":
        # Its 'in' holds the space of a window too.
        return "kernel", ("groups",) * space + strided_axes(("in", "out"), (math.prod(strides), 1))
    turned = transposed and module.transpose_kernel
    return "kernel", (*strided_axes(SPACE[space], strides), *(("out", "in") if turned else ("in", "out")))


def _einsum(module: Any, name: str) -> Meaning:
    text = getattr(module, "einsum_str", None)
    if name == "bias":
        return "bias", None
    if name != "kernel" or not text:
        return UNKNOWN
    axes = einsum_axes(text, 1)
    return ("kernel", axes) if axes is not None else UNKNOWN


def _count(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 1
