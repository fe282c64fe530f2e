"""Targets: which output of the model is explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.errors import InputError, ModelError
from agnostic_rand.subject.samples import Samples

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


def explained_outputs(samples: Samples, classes: int) -> Samples:
    """The samples with the outputs that their labels stand for.

    A single output is what is explained for both labels of two classes, 0 and 1: a map for label 0 says what
    raises the logit too, and not the other way round.

    Args:
        samples: The data.
        classes: The number of the model's outputs.

    Raises:
        InputError: A label stands for none.
    """
    labels = samples.targets
    if labels is None:
        return samples
    if classes == 1 and samples.classes is None and np.isin(labels, (0, 1)).all():
        return replace(samples, targets=np.zeros_like(labels))
    check_labels(labels, classes, samples.classes)
    return samples


def output_batches(adapter: ModelAdapter, samples: Samples, batch_size: int) -> Iterator[Array]:
    """The model's outputs `(k, classes)`, batch by batch."""
    for start in range(0, len(samples), batch_size):
        placed = samples[start : start + batch_size].placed(adapter)
        yield outputs_of(placed.seen_by(adapter), placed.explained)


def frozen_targets(adapter: ModelAdapter, samples: Samples, batch_size: int) -> HostArray:
    """The trained model's predictions `(n,)`; zeros where the model has a single output."""
    outputs = output_batches(adapter, samples, batch_size)
    return np.concatenate([adapter.to_numpy(best_class(part)).astype(np.int64) for part in outputs])
