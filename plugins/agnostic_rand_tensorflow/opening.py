"""Which adapter a model gets: what can be known of it beyond its variables."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from agnostic_rand_tensorflow.adapter import TensorFlowAdapter
from agnostic_rand_tensorflow.keras_adapter import LegacyKerasAdapter
from agnostic_rand_tensorflow.legacy_keras import is_layer
from agnostic_rand_tensorflow.module_adapter import ModuleAdapter


def adapter_type(model: Any) -> type[TensorFlowAdapter]:
    """The adapter of Keras models, of modules, or of loaded SavedModels."""
    if is_layer(model):
        return LegacyKerasAdapter
    return ModuleAdapter if isinstance(model, tf.Module) else TensorFlowAdapter
