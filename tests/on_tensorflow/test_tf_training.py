"""A plain training loop: what it learns, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import trained
from tf_nets import Dense, normal

import agnostic_rand as ar

X = normal(3, 24, 6, scale=1.0)
LABELS = np.argmax(X[:, :3], axis=1)


def net(activation: str | None = None, *between: Any) -> Any:
    layers = [keras.layers.Dense(8, activation="relu"), *between, keras.layers.Dense(3, activation=activation)]
    return trained(keras.Sequential([keras.Input((6,)), *layers]))


def losses(model: Any, steps: int = 6, seed: int = 0) -> list[float]:
    step = ar.adapt(model, example_inputs=X[:1]).trainer(learning_rate=0.01, seed=seed)
    return [step(X, LABELS)[0] for _ in range(steps)]


def adam(kernel: np.ndarray, bias: np.ndarray, steps: int) -> list[float]:
    """Softmax regression by Kingma & Ba 2015, algorithm 1, in float64."""
    weights = [kernel.astype(np.float64), bias.astype(np.float64)]
    means, squares = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    x, hot, found = X.astype(np.float64), np.eye(3)[LABELS], []
    for t in range(1, steps + 1):
        logits = x @ weights[0] + weights[1]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        found.append(float(-np.log(p[np.arange(24), LABELS]).mean()))
        gradients = [x.T @ (p - hot) / 24, (p - hot).mean(axis=0)]
        for i, g in enumerate(gradients):
            means[i] = 0.9 * means[i] + 0.1 * g
            squares[i] = 0.999 * squares[i] + 0.001 * g**2
            weights[i] -= 0.01 * (means[i] / (1 - 0.9**t)) / (np.sqrt(squares[i] / (1 - 0.999**t)) + 1e-8)
    return found


def test_training_is_adam_on_the_cross_entropy() -> None:
    module = Dense(1, 6, 3)
    due = adam(module.kernel.numpy(), module.bias.numpy(), 30)
    assert np.allclose(losses(module, 30), due, rtol=1e-4)


def test_a_softmax_at_the_end_is_seen_also_inside_a_function() -> None:
    class Hidden(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)

        @tf.function
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.nn.softmax(self.dense(x))

    assert np.allclose(losses(Hidden()), losses(Dense(1, 6, 3)), rtol=1e-5)
    assert np.allclose(losses(net("softmax")), losses(net()), rtol=1e-5)
    # Saturated probabilities: their logarithm has no gradient left, the logits have.
    sharp = net("softmax")
    sharp.layers[-1].kernel.assign(1000 * sharp.layers[-1].kernel)
    assert losses(sharp, 2)[0] > 50


def test_dropout_follows_the_seed_and_no_global_one() -> None:
    first, again, other = (losses(net(None, keras.layers.Dropout(0.5)), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert np.abs(np.diff(first)).min() > 1e-4
    tf.random.set_seed(9)
    due = tf.random.normal([2]).numpy()
    tf.random.set_seed(9)
    assert losses(net(None, keras.layers.Dropout(0.5)), seed=1) == first
    assert np.array_equal(tf.random.normal([2]).numpy(), due)
    tf.random.set_seed(5)


def test_a_generator_in_the_module_follows_the_seed() -> None:
    class Noisy(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)
            self.noise = [tf.random.Generator.from_non_deterministic_state()]

        def __call__(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
            return self.dense(x + self.noise[0].normal(tf.shape(x)) if training else x)

    first, again, other = (losses(Noisy(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_statistics_learn_and_frozen_layers_do_not() -> None:
    frozen = keras.layers.Dense(8, trainable=False)
    model = net(None, frozen, keras.layers.BatchNormalization())
    before = [weight.numpy() for weight in model.weights]
    names = [weight.name for weight in model.weights]
    losses(model, 1)
    moved = {name for name, a, b in zip(names, before, model.weights, strict=True) if not np.array_equal(a, b)}
    still = {weight.name for weight in frozen.weights}
    assert set(names) - moved == still
    # The model evaluates again: outputs do not depend on the batch.
    adapter = ar.adapt(model)
    assert np.allclose(adapter.predict(X)[:1], adapter.predict(X[:1]), atol=1e-6)


def test_a_smaller_last_batch_trains_too() -> None:
    step = ar.adapt(net()).trainer(learning_rate=0.01, seed=0)
    for _ in range(20):
        for part in (slice(0, 10), slice(10, 20), slice(20, 24)):
            loss, correct = step(X[part], LABELS[part])
    assert loss < 0.5
    assert correct == 4


def test_variables_that_the_loss_does_not_reach_stay() -> None:
    class Idle(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)
            self.idle = Dense(2, 6, 3)
            self.table = tf.Variable(normal(4, 5, 6))

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            # The gradient of a table is sparse.
            return self.dense(x + tf.gather(self.table, tf.zeros(tf.shape(x)[0], tf.int32)))

    module = Idle()
    idle, table = module.idle.kernel.numpy(), module.table.numpy()
    losses(module, 2)
    assert np.array_equal(module.idle.kernel.numpy(), idle)
    assert np.array_equal(module.table.numpy()[1:], table[1:])
    assert np.abs(module.table.numpy()[0] - table[0]).max() > 0.005
