"""What each variable of Keras' own layers does, and what its dimensions mean."""

from __future__ import annotations

from typing import TypeAlias

import keras
from keras import layers

from agnostic_rand.adapters import Role, distinct_axes, strided_axes

Meaning: TypeAlias = tuple[Role, tuple[str, ...] | None]

_SPACE = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_RECURRENT = (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell)
_NORMALIZATIONS = tuple(
    # The last one came with Keras 3.9.
    kind
    for name in ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
    if (kind := getattr(layers, name, None)) is not None
)
_UNKNOWN: Meaning = ("other", None)

STATISTICS: dict[str, Role] = {"moving_mean": "mean", "moving_variance": "variance"}
"""The running statistics that a normalization layer keeps beside its parameters.

The `mean` and `variance` of the preprocessing layer Normalization are not among them: they describe
the data, not what the model learned, and stay. So do seed states, lookup tables, and what is used in
training only: the vectors of SpectralNormalization, the corrections of batch renormalization.
"""


def meaning(layer: keras.Layer, name: str, dimensions: int) -> Meaning:
    """The role and the axes of the parameter `name` of a layer.

    Args:
        layer: The layer that owns it.
        name: The variable's name.
        dimensions: Its number of dimensions.
    """
    role, axes = _meaning(layer, name, dimensions)
    if axes is not None and len(axes) != dimensions:
        axes = None
    # A kernel without axes has no fan-in.
    return ("other" if role == "kernel" and axes is None else role), None if axes is None else distinct_axes(axes)


def _meaning(layer: keras.Layer, name: str, dimensions: int) -> Meaning:
    if isinstance(layer, _NORMALIZATIONS):
        return {"gamma": ("scale", None), "scale": ("scale", None), "beta": ("shift", None)}.get(name, _UNKNOWN)  # type: ignore[return-value]
    if isinstance(layer, layers.EinsumDense):
        if name == "kernel":
            return "kernel", _einsum_axes(layer.equation)
        return ("bias", ("out",) * dimensions) if name == "bias" else _UNKNOWN
    kinds = (layers.Dense, *_CONVOLUTIONS, *_TRANSPOSED, *_DEPTHWISE, *_SEPARABLE, *_RECURRENT)
    convolutional_cell = type(layer).__name__ == "ConvLSTMCell"
    if not isinstance(layer, kinds) and not convolutional_cell:
        return _UNKNOWN
    if name == "bias":
        return "bias", ("out",)
    if name in ("recurrent_kernel", "pointwise_kernel") or (name == "kernel" and not isinstance(layer, _DEPTHWISE)):
        if isinstance(layer, _TRANSPOSED):
            return "kernel", (*strided_axes(_space(dimensions), layer.strides), "out", "in")
        return "kernel", (*_space(dimensions), "in", "out")
    if name in ("kernel", "depthwise_kernel"):
        return "kernel", (*_space(dimensions), "groups", "multiplier")
    return _UNKNOWN


def _space(dimensions: int) -> tuple[str, ...]:
    return _SPACE.get(dimensions - 2, ())


def _einsum_axes(equation: str) -> tuple[str, ...]:
    """An index of the kernel that the outputs lack is summed over; one that all three have keeps groups apart."""
    operands, outputs = equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    return tuple("in" if i not in outputs else "groups" if i in inputs else "out" for i in kernel)
