"""The compilation of a model for training, carried over to a copy with state of its own."""

from __future__ import annotations

from typing import Any

import keras


def compiled_alike(duplicate: keras.Model, model: keras.Model) -> keras.Model:
    """The copy, compiled as the model is: optimizer and metrics are new and have not counted anything.

    Losses and functions are shared, as they keep nothing. Where a part cannot be made anew of its config the copy
    stays uncompiled: its outputs are the same.
    """
    config = getattr(model, "_compile_config", None)
    if model.compiled and not duplicate.compiled and config is not None:
        try:
            arguments = {name: _fresh(value) for name, value in config.config.items()}
        except Exception:  # noqa: BLE001 - the config of a user's metric may raise anything
            return duplicate
        if isinstance(model.optimizer, keras.optimizers.Optimizer):
            # As it is now: a learning rate may have changed since the model was compiled.
            arguments["optimizer"] = _fresh(model.optimizer)
        duplicate.compile(**arguments)
    return duplicate


def _fresh(value: Any) -> Any:
    """What keeps state, made anew from its config, also inside of containers."""
    if isinstance(value, keras.optimizers.Optimizer | keras.metrics.Metric):
        return type(value).from_config(value.get_config())
    if isinstance(value, dict):
        return {name: _fresh(part) for name, part in value.items()}
    return type(value)(map(_fresh, value)) if isinstance(value, list | tuple) else value
