"""The TensorFlow backend of agnostic_rand: `tf.Module`, legacy Keras (`tf_keras`) and loaded SavedModels.

This module imports no framework; the adapter is loaded when a model is opened.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from agnostic_rand.adapters import Claim, ModelAdapter, OpenRequest, hookimpl

REQUIRES = ("tensorflow",)


@hookimpl
def agnostic_rand_claim(model: Any) -> Claim | None:
    """Claim what TensorFlow tracks variables of, but for Keras 3, which has a backend of its own."""
    tensorflow: Any = sys.modules.get("tensorflow")
    if not hasattr(tensorflow, "Module"):
        return None
    if isinstance(model, tensorflow.Module):
        model_type = tensorflow.Module
    elif isinstance(model, tensorflow.__internal__.tracking.AutoTrackable) and not _is_keras3(model):
        # What tf.saved_model.load returns is trackable, and no module.
        model_type = tensorflow.__internal__.tracking.AutoTrackable
    else:
        return None
    return Claim(backend="tensorflow", model_type=model_type, open=partial(_open, model), api_version=1)


def _is_keras3(model: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.layers.Layer)


def _open(model: Any, request: OpenRequest) -> ModelAdapter:
    from agnostic_rand_tensorflow.keras_adapter import adapter_type

    return adapter_type(model)(model, request)
