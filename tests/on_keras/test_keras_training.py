"""A plain training step: it learns, its seed decides it, and it leaves everything but weights alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from keras_cases import biased, host, mlp

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = np.random.default_rng(2).normal(0.3, 1, (12, 6)).astype("float32")
Y = np.arange(12) % 3


def classifier(softmax: bool = False, dtype: str | None = None) -> keras.Model:
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="first", dtype=dtype)(inputs)
    x = layers.Dropout(0.3, seed=7, dtype=dtype)(layers.BatchNormalization(name="norm", dtype=dtype)(x))
    x = layers.Dense(3, activation="softmax" if softmax else None, name="last", dtype=dtype)(x)
    return biased(keras.Model(inputs, x))


def state(model: keras.Model) -> dict[str, object]:
    """What a step must leave alone."""
    return {
        "flags": [(layer.name, layer.trainable) for layer in model.layers],
        "compiled": (model.compiled, id(getattr(model, "optimizer", None))),
        "seeds": [host(v).tolist() for v in model.layers[3].variables],
        "optimizer": None if not model.compiled else [host(v).tolist() for v in model.optimizer.variables],
    }


@pytest.mark.parametrize("softmax", [False, True])
def test_the_loss_is_the_mean_cross_entropy_before_the_update(softmax):
    # Without what draws: the loss of a step is that of training mode.
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    last = layers.Dense(3, activation="softmax" if softmax else None, name="last")
    adapter = ar.adapt(biased(keras.Model(inputs, last(x))))
    first, last = adapter.read("first"), adapter.read("last")
    hidden = np.maximum(X.astype(np.float64) @ first["kernel"] + first["bias"], 0)
    logits = hidden @ last["kernel"] + last["bias"]
    by_hand = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(12), Y])
    loss, correct = adapter.trainer(learning_rate=0.1, seed=0)(X, Y)
    assert loss == pytest.approx(by_hand, rel=1e-4)
    assert correct == (logits.argmax(axis=1) == Y).sum()
    # Adam's first step is the learning rate.
    moved = np.abs(adapter.read("last")["bias"] - last["bias"])
    assert moved.max() == pytest.approx(0.1, rel=1e-2)


def test_the_seed_decides_dropout_and_global_generators_stay():
    def weights(seed):
        adapter = ar.adapt(classifier())
        step = adapter.trainer(learning_rate=0.02, seed=seed)
        for _ in range(3):
            keras.random.normal((2,))
            step(X, Y)
        return adapter.read("last")["kernel"]

    first = weights(1)
    np.testing.assert_array_equal(first, weights(1))
    assert np.abs(first - weights(2)).max() > 1e-4


def test_a_step_changes_weights_and_statistics_only():
    model = classifier()
    model.compile("sgd", "mse")
    model.get_layer("first").trainable = False
    before, values = state(model), {v.path: host(v) for v in model.weights}
    adapter = ar.adapt(model)
    held = adapter.random_state()
    step = adapter.trainer(learning_rate=0.02, seed=0)
    step(X, Y)
    step(X, Y)
    assert state(model) == before
    for one, other in zip(held[2], adapter.random_state()[2], strict=True):
        np.testing.assert_array_equal(one, other)
    changed = {v.path.partition("/")[0] for v in model.weights if not np.array_equal(host(v), values[v.path])}
    assert changed == {"norm", "last"}
    moving = next(v for v in model.weights if v.path.endswith("moving_mean"))
    assert not np.array_equal(host(moving), values[moving.path])


def test_a_step_that_fails_changes_nothing():
    model = classifier()
    before, values = state(model), [host(v) for v in model.weights]
    step = ar.adapt(model).trainer(learning_rate=0.02, seed=0)
    with pytest.raises(Exception, match=r"(?s)shape|incompatible"):
        step(X[:, :5], Y)
    assert state(model) == before
    for old, new in zip(values, model.weights, strict=True):
        np.testing.assert_array_equal(old, host(new))


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16"])
def test_half_precision_learns_by_steps_that_it_cannot_hold(dtype):
    """A weight of 1 in bfloat16 has neighbours at a distance of 1/128: smaller steps must add up."""
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3, name="last", dtype=dtype)(inputs))
    adapter = ar.adapt(model)
    kernel = np.ones((6, 3), np.float32)
    adapter.write("last", {"kernel": kernel, "bias": np.zeros(3, np.float32)})
    step = adapter.trainer(learning_rate=1e-3, seed=0)
    step(X, Y)
    once = np.abs(adapter.read("last")["kernel"] - kernel).max()
    for _ in range(20):
        step(X, Y)
    many = np.abs(adapter.read("last")["kernel"] - kernel).max()
    if dtype == "bfloat16":
        assert once <= 2**-8
        # About 20 steps of 0.001, to the nearest number of the type.
        assert 2**-7 <= many <= 2**-5
        assert {p.dtype for p in adapter.layers()[0].parameters} == {"bfloat16"}
    else:
        assert once == pytest.approx(1e-3, rel=2e-2)
        assert 5e-3 < many < 2.2e-2
        assert {p.dtype for p in adapter.layers()[0].parameters} == {"float32"}


def test_what_cannot_be_trained_is_refused():
    frozen = mlp()
    frozen.trainable = False
    with pytest.raises(ModelError, match=r"trainable weights.*none.*model\.trainable = True"):
        ar.adapt(frozen).trainer(learning_rate=0.1, seed=0)


def test_data_randomization_trains_a_copy():
    model = classifier()
    values = [host(v) for v in model.variables]
    training = ar.TrainingOptions(epochs=1, batch_size=6)
    check = ar.DataRandomization(X, Y, training=training, least_accuracy=0.0, ceiling=False)
    assert np.isfinite(check.run(ar.Subject(model, X, Y, seed=0), "gradient").scores["spearman"]).all()
    for old, new in zip(values, model.variables, strict=True):
        np.testing.assert_array_equal(old, host(new))
