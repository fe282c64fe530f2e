"""Probabilities of a classifier, whether it puts them out itself or not."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.adapters.activation import with_activation
from agnostic_rand.errors import InputError
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import output_batches

OWN = "the model's own outputs"
SOFTMAX = "softmax of the outputs"


def are_probabilities(outputs: HostArray) -> bool:
    """Whether all outputs `(n, classes)` are at least 0 and each sample's sum to 1, to within 0.001.

    Example:
        >>> are_probabilities(np.array([[0.2, 0.8]])), are_probabilities(np.array([[2.0, -1.0]]))
        (True, False)
    """
    return bool((outputs >= 0).all()) and np.allclose(outputs.sum(axis=1), 1, atol=1e-3)


def with_probabilities(working: ModelAdapter, subject: Subject) -> tuple[ModelAdapter, str]:
    """The model with outputs that are probabilities, and how they became so, in words.

    Args:
        working: The trained model.
        subject: The data.

    Raises:
        InputError: The model has a single output.
    """
    size = subject.batch_size
    outputs = working.to_numpy(next(output_batches(working, subject.samples, size))).astype(np.float64)
    if outputs.shape[1] < 2:
        raise InputError(
            "the model",
            expected="at least two outputs, of which a softmax makes probabilities",
            received="a single output",
            fix="Probabilities of classes need a classifier.",
        )
    # A second softmax would press all probabilities together.
    if are_probabilities(outputs):
        return working, OWN
    return with_activation(working, "softmax"), SOFTMAX
