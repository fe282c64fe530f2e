"""Keras' own initializers (version 2), rebuilt with a fresh seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import HostArray
from agnostic_rand_tensorflow.legacy_keras import is_kind, namespaces


def initialized(layer: Any, weights: Mapping[str, tf.Variable], seed: int) -> dict[str, HostArray]:
    """Fresh values of those weights whose initializer the layer keeps.

    Args:
        layer: The layer that owns the weights, with attributes such as `kernel_initializer`.
        weights: By name, the weights.
        seed: With the weight's name, decides the values.
    """
    state = random.getstate()
    values = {}
    try:
        for name, weight in weights.items():
            # The initializer of `depthwise_kernel` is `depthwise_initializer`.
            names = (f"{name}_initializer", f"{name.removesuffix('_kernel')}_initializer")
            found = [given for key in names if _is_initializer(given := getattr(layer, key, None))]
            if not found:
                continue
            fresh = _reseeded(found[0], zlib.crc32(f"{seed}/{name}".encode()) % (2**31 - 1))
            value = fresh(tuple(weight.shape), dtype=weight.dtype)
            values[name] = np.array(tf.cast(value, tf.float32) if weight.dtype is tf.bfloat16 else value)
            if name == "bias" and is_kind(layer, "LSTMCell") and layer.unit_forget_bias:
                values[name][layer.units : 2 * layer.units] = 1.0
    finally:
        # An initializer that takes no seed may have drawn one of its own.
        random.setstate(state)
    return values


def _is_initializer(thing: Any) -> bool:
    return any(isinstance(thing, keras.initializers.Initializer) for keras in namespaces())


def _reseeded(initializer: Any, seed: int) -> Any:
    """The same initializer with another seed: as it is, it would give the values that it gave before."""
    config = initializer.get_config()
    return type(initializer).from_config({**config, "seed": seed} if "seed" in config else config)
