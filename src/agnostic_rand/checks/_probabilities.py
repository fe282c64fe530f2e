"""Probabilities of a classifier, whether it puts them out itself or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.adapters.activation import with_activation
from agnostic_rand.errors import InputError
from agnostic_rand.subject.subject import Subject

OWN = "the model's own outputs"
SOFTMAX = "softmax of the outputs"


def are_probabilities(outputs: HostArray) -> bool:
    """Whether all outputs `(n, classes)` are at least 0 and each sample's sum to 1, to within 0.001.

    Example:
        >>> are_probabilities(np.array([[0.2, 0.8]])), are_probabilities(np.array([[2.0, -1.0]]))
        (True, False)
    """
    return bool((outputs >= 0).all()) and np.allclose(outputs.sum(axis=1), 1, atol=1e-3)


def with_probabilities(subject: Subject) -> tuple[Callable[[ModelAdapter], ModelAdapter], str]:
    """What makes probabilities of the outputs of the subject's model, trained or not, and how, in words.

    Args:
        subject: The model and the data.

    Raises:
        InputError: The model has a single output.
    """
    outputs = subject.probed.outputs
    if outputs.shape[1] < 2:
        raise InputError(
            "the model",
            expected="at least two outputs, of which a softmax makes probabilities",
            received="a single output",
            fix="Probabilities of classes need a classifier.",
        )
    # A second softmax would press all probabilities together. Decided on the trained model: a random one that
    # ends in a softmax still does.
    if are_probabilities(outputs):
        return _as_it_is, OWN
    return partial(with_activation, activation="softmax"), SOFTMAX


def _as_it_is(adapter: ModelAdapter) -> ModelAdapter:
    return adapter
