"""Which output of the model is explained."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.errors import InputError, ModelError

DYNAMIC = "dynamic"


def outputs_of(adapter: ModelAdapter, inputs: Array) -> Array:
    """The model's outputs, checked to be `(n, classes)`.

    Raises:
        ModelError: They have another shape.
    """
    outputs = adapter.predict(inputs)
    if outputs.ndim != 2 or outputs.shape[0] != inputs.shape[0]:
        raise ModelError(
            "the model's output",
            expected=f"an array of shape ({inputs.shape[0]}, classes)",
            received=f"shape {tuple(outputs.shape)} for inputs of shape {tuple(inputs.shape)}",
            fix="Pass forward=lambda model, inputs: ... that returns such an array.",
        )
    return outputs


def best_class(outputs: Array) -> Array:
    """The class of the largest output, `(n,)`."""
    xp: Any = array_namespace(outputs)
    return xp.argmax(outputs, axis=1)


def check_labels(labels: HostArray, classes: int, columns: int | None = None) -> None:
    """Refuse labels that are no class of the model.

    Args:
        labels: Class indices `(n,)`.
        classes: The number of the model's outputs.
        columns: The number of columns that one-hot labels had, or `None` for indices.

    Raises:
        InputError: A label is below 0 or at least the number of outputs, or the columns are not the
            outputs.
    """
    if columns is not None and columns != classes:
        raise InputError(
            "targets",
            expected=f"one-hot labels with a column for each of the model's {classes} outputs",
            received=f"{columns} columns",
            fix="Check the label encoding, or pass class indices (n,).",
        )
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(
            "targets",
            expected=f"labels from 0 to {classes - 1}, one for each of the model's {classes} outputs",
            received=f"{int(wrong.sum())} others, first {int(labels[first])} for sample {first}",
            fix="Check the label encoding, or leave targets out to explain the model's predictions.",
        )


def frozen_targets(adapter: ModelAdapter, inputs: HostArray, batch_size: int) -> HostArray:
    """The trained model's predictions `(n,)`; zeros where the model has a single output."""
    parts = []
    for start in range(0, inputs.shape[0], batch_size):
        outputs = outputs_of(adapter, adapter.asarray(inputs[start : start + batch_size]))
        parts.append(adapter.to_numpy(best_class(outputs)).astype(np.int64))
    return np.concatenate(parts)
