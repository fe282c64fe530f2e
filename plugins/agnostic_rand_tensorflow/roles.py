"""What each weight of Keras' own layers (version 2) does, and what its dimensions mean."""

from __future__ import annotations

from typing import Any

from agnostic_rand.adapters import strided_axes
from agnostic_rand_tensorflow.declared import Meaning
from agnostic_rand_tensorflow.einsum import kernel_axes
from agnostic_rand_tensorflow.legacy_keras import is_kind

_SPACE = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
_NORMALIZATIONS = ("BatchNormalization", "LayerNormalization", "GroupNormalization")
_OF_NORMALIZATION: dict[str, Meaning] = {
    "gamma": ("scale", None),
    "beta": ("shift", None),
    "moving_mean": ("mean", None),
    "moving_variance": ("variance", None),
}
_CELLS = ("SimpleRNNCell", "GRUCell", "LSTMCell")
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")


def layer_meaning(layer: Any, name: str, dimensions: int) -> Meaning | None:
    """The role and the axes of the weight `name`; `None` for layers and weights that are not Keras' own."""
    if is_kind(layer, *_NORMALIZATIONS):
        return _OF_NORMALIZATION.get(name)
    if is_kind(layer, "Embedding"):
        return "other", None
    if is_kind(layer, "Dense", "EinsumDense", *_CELLS, *_CONVOLUTIONS, *_TRANSPOSED, *_DEPTHWISE):
        if name == "bias":
            return "bias", ("out",) if dimensions == 1 else None
        axes = _kernel_axes(layer, name, dimensions)
        if axes is not None and len(axes) == dimensions:
            return "kernel", axes
    return None


def _kernel_axes(layer: Any, name: str, dimensions: int) -> tuple[str, ...] | None:
    if is_kind(layer, "EinsumDense"):
        return kernel_axes(layer.equation, 1) if name == "kernel" else None
    space = _SPACE.get(dimensions - 2, ())
    if name == "depthwise_kernel" or (name == "kernel" and is_kind(layer, *_DEPTHWISE)):
        return (*space, "groups", "multiplier")
    if name not in ("kernel", "recurrent_kernel", "pointwise_kernel"):
        return None
    # A transposed convolution is a convolution too: it is asked for first.
    if is_kind(layer, *_TRANSPOSED):
        return (*strided_axes(space, layer.strides), "out", "in")
    return (*space, "in", "out")
