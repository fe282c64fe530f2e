"""Global random generators stay as they are, whatever a model or an explainer draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops import stateful_random_ops
from tf_nets import MLP, Dense, normal

import agnostic_rand as ar

X = normal(1, 9, 6, scale=1.0)


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    adapter = ar.adapt(MLP())
    state = adapter.random_state()
    yield
    adapter.set_random_state(state)


def draws() -> list[float]:
    numbers = tf.random.normal([2]), tf.random.get_global_generator().normal([2]), tf.random.uniform([2])
    return np.concatenate(numbers).tolist()


def drawing(native: Any, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """An explainer that draws without a thought of others."""
    return tf.random.normal(inputs.shape) + tf.random.get_global_generator().normal(inputs.shape)


def seeding(native: Any, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """An explainer that seeds too."""
    noise = drawing(native, inputs, targets)
    tf.random.set_seed(123)
    tf.random.set_global_generator(tf.random.Generator.from_seed(4))
    return noise + drawing(native, inputs, targets)


@pytest.mark.parametrize("explainer", [drawing, seeding])
@pytest.mark.parametrize("seed", [5, None])
def test_an_explainer_may_draw_and_seed(seed: int | None, explainer: Any) -> None:
    tf.random.set_seed(seed)
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    adapter = ar.adapt(MLP())
    draws()
    state = adapter.random_state()
    due = draws()
    adapter.set_random_state(state)
    ar.ModelRandomizationMetric(MLP(), X, seed=0, batch_size=4).run(explainer)
    now = draws()
    if seed is None:
        # Without a seed eager operations are seeded by chance; the generator is not.
        due, now = due[2:4], now[2:4]
    assert now == due
    assert tf.random.get_global_generator() is state[0][0]


def test_a_run_makes_no_global_generator() -> None:
    stateful_random_ops.global_generator = None
    ar.ModelRandomizationMetric(MLP(), X, seed=0).run("saliency")
    assert stateful_random_ops.global_generator is None


def test_a_model_that_draws_from_the_global_generator_leaves_it() -> None:
    generator = tf.random.Generator.from_seed(1)
    tf.random.set_global_generator(generator)
    state = generator.state.numpy()
    adapter = ar.adapt(
        Dense(1, 6, 3),
        example_inputs=X[:1],
        forward=lambda model, x: model(x + tf.random.get_global_generator().normal(tf.shape(x))),
    )
    first = adapter.predict(X)
    adapter.gradient(X, np.zeros(9, np.int64))
    assert np.array_equal(generator.state.numpy(), state)
    assert np.array_equal(adapter.predict(X), first)


@pytest.mark.parametrize("explainer", ["saliency", "guided_backprop", "smoothgrad"])
def test_a_run_draws_nothing_of_its_own(explainer: str) -> None:
    tf.random.set_seed(5)
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    due = draws()
    tf.random.set_seed(5)
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    adapter = ar.adapt(MLP(), example_inputs=X[:1])
    adapter.clone().gradient(X, np.zeros(9, np.int64))
    adapter.trainer(learning_rate=0.1, seed=0)(X, np.zeros(9, np.int64))
    ar.explain(MLP(), X, None, explainer)
    assert draws() == due
