"""Where a Keras model (version 2) keeps the channels of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agnostic_rand_tensorflow.legacy_keras import namespaces


def channel_axis(layers: Sequence[Any]) -> int:
    """1 for channels first, else -1: as the first convolution has it, or the first pooling.

    Others say less: a Flatten that is left as it is made has a format too, whatever it is given.

    Args:
        layers: Those of the model, from input to output.
    """
    spatial = tuple(
        kind
        for keras in namespaces()
        for name in dir(keras.layers)
        if ("Conv" in name or "Pooling" in name) and isinstance(kind := getattr(keras.layers, name), type)
    )
    ordered = (*(layer for layer in layers if isinstance(layer, spatial)), *layers)
    formats = (getattr(layer, "data_format", None) for layer in ordered)
    default = next((keras.backend.image_data_format() for keras in namespaces()), "channels_last")
    known = next((found for found in formats if found in ("channels_first", "channels_last")), default)
    return 1 if known == "channels_first" else -1
