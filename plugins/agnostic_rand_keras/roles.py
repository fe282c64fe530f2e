"""What each variable of Keras' own layers does, and what its dimensions mean: for Keras 2 and 3."""

from __future__ import annotations

from typing import Any

from agnostic_rand.adapters import SPACE, UNKNOWN, Meaning, Role, distinct_axes, einsum_axes, strided_axes

_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
_RECURRENT = ("LSTMCell", "GRUCell", "SimpleRNNCell", "ConvLSTMCell")
_NORMALIZATIONS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")

STATISTICS: dict[str, Role] = {"moving_mean": "mean", "moving_variance": "variance"}
"""The running statistics that a normalization layer keeps beside its parameters.

The `mean` and `variance` of the preprocessing layer Normalization are not among them: they describe
the data, not what the model learned, and stay. So do seed states, lookup tables, and what is used in
training only: the vectors of SpectralNormalization, the corrections of batch renormalization.
"""

_OF_NORMALIZATION: dict[str, Role] = {"gamma": "scale", "scale": "scale", "beta": "shift", **STATISTICS}


def meaning(layer: Any, name: str, dimensions: int) -> Meaning:
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


def _meaning(layer: Any, name: str, dimensions: int) -> Meaning:
    if _is(layer, *_NORMALIZATIONS):
        return _OF_NORMALIZATION.get(name, "other"), None
    if _is(layer, "EinsumDense"):
        if name == "kernel":
            return "kernel", einsum_axes(layer.equation, 1)
        return ("bias", ("out",) * dimensions) if name == "bias" else UNKNOWN
    if not _is(layer, "Dense", *_CONVOLUTIONS, *_TRANSPOSED, *_DEPTHWISE, *_SEPARABLE, *_RECURRENT):
        return UNKNOWN
    if name == "bias":
        return "bias", ("out",)
    if name in ("recurrent_kernel", "pointwise_kernel") or (name == "kernel" and not _is(layer, *_DEPTHWISE)):
        if _is(layer, *_TRANSPOSED):
            return "kernel", (*strided_axes(_space(dimensions), layer.strides), "out", "in")
        return "kernel", (*_space(dimensions), "in", "out")
    if name in ("kernel", "depthwise_kernel"):
        return "kernel", (*_space(dimensions), "groups", "multiplier")
    return UNKNOWN


def _space(dimensions: int) -> tuple[str, ...]:
    return SPACE.get(dimensions - 2, ())


def _is(layer: Any, *names: str) -> bool:
    """Whether it is a layer of one of these types of Keras' own, or of a subclass."""
    kinds = (kind for kind in type(layer).__mro__ if kind.__module__.partition(".")[0] in ("keras", "tf_keras"))
    return any(kind.__name__ in names for kind in kinds)
