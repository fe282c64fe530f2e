"""Where a model keeps the channels of its inputs."""

from __future__ import annotations

from collections.abc import Iterable

import keras

from agnostic_rand_keras.tree import all_layers

_SPATIAL = tuple(
    kind
    for name, kind in vars(keras.layers).items()
    if isinstance(kind, type) and ("Conv" in name or "Pooling" in name)
)


def channel_axis(model: keras.Model, ordered: Iterable[keras.Layer]) -> int:
    """1 for channels first, else -1: as the first convolution has it, or the first pooling.

    Others say less: a Flatten that is left as it is made has a format too, whatever it is given.

    Args:
        model: The model.
        ordered: Those of its layers that have parameters, from input to output.
    """
    layers = (*ordered, *all_layers(model))
    formats = [
        getattr(layer, "data_format", None)
        for layer in (*(layer for layer in layers if isinstance(layer, _SPATIAL)), *layers)
    ]
    known = next((f for f in formats if f in ("channels_first", "channels_last")), keras.config.image_data_format())
    return 1 if known == "channels_first" else -1
