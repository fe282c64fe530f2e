"""How a model is called: on one input, or on several."""

from __future__ import annotations

import inspect
from typing import Any

import keras


def call_model(model: keras.Model, inputs: Any, *, training: bool) -> Any:
    """What the model returns; several inputs are passed as its `call` takes them."""
    if not isinstance(inputs, tuple | dict):
        return model(inputs, training=training)
    if isinstance(inputs, dict):
        by_name = set(inputs) <= set(inspect.signature(model.call).parameters)
        return model(**inputs, training=training) if by_name else model(inputs, training=training)
    if len(_positional(model)) >= len(inputs):
        return model(*inputs, training=training)
    return model(list(inputs), training=training)


def _positional(model: keras.Model) -> list[str]:
    """The parameters of the model's call that have no default."""
    parameters = inspect.signature(model.call).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in kinds]
