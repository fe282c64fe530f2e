"""TensorFlow's data sets as they are handed over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import agnostic_rand as ar
from agnostic_rand.errors import InputError

X = np.random.default_rng(0).standard_normal((10, 6)).astype("float32")
Y = np.arange(10) % 2


class Linear(tf.Module):
    """One layer."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.linspace(-1, 1, 12).reshape(6, 2).astype("float32"))

    def __call__(self, x: Any) -> Any:
        return x @ self.w


def data(*parts: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts or (X, Y))


@pytest.mark.parametrize(
    "given",
    [
        data(),
        data().batch(4),
        data(X, Y, np.ones(10, "float32")).batch(4),
        data().repeat().take(10),
        data().filter(lambda x, y: y >= 0),
        tf.data.Dataset.from_tensor_slices({"image": X, "label": Y}).batch(4),
    ],
    ids=["samples", "batches", "weights", "taken", "of unknown length", "dictionaries"],
)
def test_data_sets_are_their_samples(given: Any) -> None:
    np.testing.assert_array_equal(
        ar.explain(Linear(), given, None, "gradient"), ar.explain(Linear(), X, Y, "gradient")
    )


@pytest.mark.parametrize("given", [data().repeat(), data().repeat().batch(4)])
def test_a_repeated_data_set_is_told_at_once(given: Any) -> None:
    with pytest.raises(InputError, match=r"data with an end.*infinite.*dataset.take\(20\)"):
        ar.explain(Linear(), given, None, "gradient")
