"""Where a model keeps the channels of its inputs: for Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def channel_axis(keras: Any, layers: Iterable[Any]) -> int:
    """1 for channels first, else -1: as the first convolution has it, or the first pooling.

    Others say less: a Flatten that is left as it is made has a format too, whatever it is given.

    Args:
        keras: The package.
        layers: Those of the model, from input to output.
    """
    named = (
        (name, getattr(keras.layers, name)) for name in dir(keras.layers) if "Conv" in name or "Pooling" in name
    )
    spatial = tuple(kind for _, kind in named if isinstance(kind, type))
    held = list(layers)
    ordered = (*(layer for layer in held if isinstance(layer, spatial)), *held)
    formats = (getattr(layer, "data_format", None) for layer in ordered)
    default = keras.backend.image_data_format()
    known = next((found for found in formats if found in ("channels_first", "channels_last")), default)
    return 1 if known == "channels_first" else -1
