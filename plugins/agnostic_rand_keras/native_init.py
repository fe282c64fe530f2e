"""A layer's own initializers, with seeds of their own: for Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand_keras.arrays import host_copy

# Where a layer keeps the initializer of a variable under another name than the variable's.
_OTHER_NAMES = {
    "depthwise_kernel": "depthwise_initializer",
    "pointwise_kernel": "pointwise_initializer",
    "recurrent_kernel": "recurrent_initializer",
}


def initialized(keras: Any, layer: Any, variables: Mapping[str, Any], seed: int) -> dict[str, HostArray]:
    """Fresh values of those variables whose initializer the layer keeps.

    Global generators may move.

    Args:
        keras: The package.
        layer: The layer that owns them.
        variables: By name.
        seed: Decides the values; each variable has a seed of its own.
    """
    fresh: dict[str, HostArray] = {}
    seeds = np.random.SeedSequence(seed).generate_state(len(variables)) >> 1
    for (name, variable), own in zip(variables.items(), seeds, strict=True):
        initializer = _initializer(keras, layer, name)
        drawn = None if initializer is None else _drawn(keras, layer, name, initializer, variable, int(own))
        if drawn is not None:
            fresh[name] = drawn
    return fresh


def _initializer(keras: Any, layer: Any, name: str) -> Any | None:
    if name == "kernel" and isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
        return layer.depthwise_initializer
    return getattr(layer, _OTHER_NAMES.get(name, f"{name}_initializer"), None)


def _drawn(keras: Any, layer: Any, name: str, initializer: Any, variable: Any, seed: int) -> HostArray | None:
    make = _reseeded(keras, initializer, seed)
    if make is None:
        return None
    shape = tuple(int(n) for n in variable.shape)
    value = _host(make(shape, dtype=variable.dtype))
    if isinstance(layer, keras.layers.LSTMCell) and name == "bias" and layer.unit_forget_bias:
        # The cell itself puts ones in the place of the forget gate.
        value[layer.units : 2 * layer.units] = 1.0
    return value if value.shape == shape else None


def _reseeded(keras: Any, initializer: Any, seed: int) -> Callable[..., Any] | None:
    """The initializer made anew: the one that the layer keeps would return the same values again."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return None
    config = initializer.get_config()
    if "seed" not in config:
        # Zeros and Ones; an initializer that draws without a seed cannot be repeated, and is left out.
        first, second = (_host(initializer((3, 3), dtype="float32")) for _ in range(2))
        return initializer if np.array_equal(first, second) else None
    remade: Callable[..., Any] = type(initializer).from_config({**config, "seed": seed})
    return remade


def _host(value: Any) -> HostArray:
    array = host_copy(value)
    return array if array.dtype == np.float64 else array.astype(np.float32)
