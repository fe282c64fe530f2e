"""The Keras 3 backend of agnostic_rand: it claims every `keras.Model`, on whichever backend Keras runs.

This module imports no framework; the adapter is loaded when a model is opened.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from agnostic_rand.adapters import Claim, ModelAdapter, OpenRequest, hookimpl

REQUIRES = ("keras",)


@hookimpl
def agnostic_rand_claim(model: Any) -> Claim | None:
    """Claim the model if Keras 3 is loaded and it is one of its models.

    On Keras' torch backend a model is a `torch.nn.Module` too: `keras.Model` is the more derived type.
    """
    keras = sys.modules.get("keras")
    kind = getattr(keras, "Model", None)
    if kind is None or not isinstance(model, kind) or not hasattr(keras, "StatelessScope"):
        # Keras 2 has no such scope; its models are those of the tensorflow backend.
        return None
    return Claim(backend="keras", model_type=kind, open=partial(_open, model), api_version=1)


def _open(model: Any, request: OpenRequest) -> ModelAdapter:
    from agnostic_rand_keras.adapter import KerasAdapter

    return KerasAdapter(model, request)
