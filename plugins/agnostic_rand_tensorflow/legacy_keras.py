"""Where Keras is of version 2: its layers are modules of TensorFlow."""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf


def namespaces() -> tuple[Any, ...]:
    """The loaded packages that are Keras 2: `tf_keras`, and `keras` of old installations."""
    loaded = (sys.modules.get(name) for name in ("tf_keras", "keras"))
    return tuple(keras for keras in loaded if keras is not None and issubclass(keras.layers.Layer, tf.Module))


def namespace_of(layer: object) -> Any:
    """The package that a layer of Keras 2 is of."""
    return next(keras for keras in namespaces() if isinstance(layer, keras.layers.Layer))


def is_layer(thing: object) -> bool:
    """Whether it is a layer or a model of Keras 2; metrics, which are layers too, are not."""
    return any(isinstance(thing, keras.layers.Layer) for keras in namespaces()) and not is_metric(thing)


def is_metric(thing: object) -> bool:
    """Whether it is a metric of Keras 2, whose counts are no weights."""
    return any(isinstance(thing, keras.metrics.Metric) for keras in namespaces())


def is_kind(layer: object, *names: str) -> bool:
    """Whether it is a layer of one of these types of `keras.layers`, or of a subclass."""
    kinds = (getattr(keras.layers, name, None) for keras in namespaces() for name in names)
    return isinstance(layer, tuple(kind for kind in kinds if kind is not None))
