"""Nothing is traced or compiled anew while a cascade runs: for no weights, batch or draw."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_cases import biased, host

import agnostic_rand as ar

BACKEND = keras.backend.backend()
X = np.random.default_rng(3).normal(0.2, 1.0, (23, 6)).astype("float32")
LABELS = np.arange(23) % 3
CALLS: Counter[int | None] = Counter()

pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="torch evaluates eagerly: there is nothing to trace")


class Counting(layers.Layer):
    """Counts how often its code is run, by the size of the batch: once for each trace."""

    def call(self, x: Any) -> Any:
        CALLS[x.shape[0]] += 1
        return x


def counted() -> keras.Model:
    inputs = keras.Input((6,))
    x = layers.Dense(5, activation="relu", name="first")(Counting()(inputs))
    x = layers.BatchNormalization(name="norm")(x)
    return biased(keras.Model(inputs, layers.Dense(3, name="last")(x)))


# What is traced: predict (the original's outputs), and the gradient by the rule.
EXPLAINERS: dict[str, tuple[Any, int]] = {
    "saliency": ("saliency", 1),
    "guided_backprop": ("guided_backprop", 1),
    # The outputs of the samples themselves are a function of their own.
    "integrated_gradients": (ar.explainers.IntegratedGradients(steps=3), 2),
    "smoothgrad": (ar.explainers.SmoothGrad(samples=3), 2),
}


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_cascade_traces_each_function_once(name):
    explainer, functions = EXPLAINERS[name]
    metric = ar.ModelRandomizationMetric(
        counted(),
        X,
        LABELS,
        randomization_strategy=ar.CascadingRandomization(),
        # 23 = 8 + 8 + 7: the last batch is smaller.
        batch_size=8,
        draws=3,
        seed=0,
    )
    CALLS.clear()
    result = metric.run(explainer)
    assert result.scores["spearman"].shape == (3, 3, 23)
    # The order of the copy's layers is seen by tracing it on a few samples, which compiles nothing.
    CALLS[4] -= 1
    if BACKEND == "tensorflow":
        # One trace takes batches of any size; the original's outputs were traced when the metric was made.
        assert dict(+CALLS) == {None: 1}
        return
    # The batch of seven is filled up to eight.
    assert dict(+CALLS) == {8: functions}


def test_the_last_batch_is_explained_as_it_would_be_alone():
    model = counted()
    whole = ar.explain(model, X[:7], LABELS[:7], "saliency", batch_size=7)
    cut = ar.explain(model, X[:7], LABELS[:7], "saliency", batch_size=4)
    np.testing.assert_allclose(host(cut), host(whole), atol=1e-6)


def test_copies_and_other_weights_need_no_trace():
    adapter = ar.adapt(counted())
    x, y = adapter.asarray(X), adapter.asarray(LABELS)
    adapter.output_and_gradient(x, y)
    adapter.predict(x)
    CALLS.clear()
    twin = adapter.clone()
    twin.write("last", {"kernel": np.full((5, 3), 0.5, np.float32)})
    for rows in (23, 9, 1):
        outputs = host(twin.predict(x[:rows]))
        both = twin.output_and_gradient(x[:rows], y[:rows])
        np.testing.assert_allclose(host(both[0]), outputs, atol=1e-6)
    assert not CALLS
    assert np.abs(outputs - host(adapter.predict(x[:1]))).max() > 1e-3


@pytest.mark.skipif(BACKEND != "jax", reason="JAX tells of compilations")
def test_jax_compiles_nothing_after_the_first_step():
    import jax
    import jax.numpy as jnp

    adapter = ar.adapt(counted())
    x, y = adapter.asarray(X), adapter.asarray(LABELS)
    last, last_labels = adapter.asarray(X[:7]), adapter.asarray(LABELS[:7])

    def step(number: int) -> None:
        adapter.write("last", {"kernel": np.full((5, 3), number, np.float32)})
        twin = adapter.clone()
        twin.write("first", {"bias": np.full(5, number, np.float32)})
        np.asarray(twin.output_and_gradient(x, y)[1])
        np.asarray(twin.output_and_gradient(last, last_labels)[1])
        np.asarray(twin.predict(last))

    compiled: list[str] = []

    def note(event: str, _seconds: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    step(0)
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        jax.jit(lambda x: x * 3 + jnp.float32(1))(x)
        assert compiled, "the listener hears of compilations"
        compiled.clear()
        for number in range(1, 4):
            step(number)
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the fallback is TensorFlow's")
def test_a_model_that_counts_on_its_batch_size_is_traced_for_one_and_filled_up():
    class Counts(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            # A number is needed here.
            return self.dense(ops.concatenate([x[i : i + 1] for i in range(x.shape[0])]))

    model = Counts()
    model(X)
    adapter = ar.adapt(biased(model), example_inputs=X[:1])
    whole = host(adapter.predict(X))
    np.testing.assert_allclose(whole, X @ host(model.dense.kernel) + host(model.dense.bias), atol=1e-5)
    np.testing.assert_allclose(host(adapter.predict(X[:5])), whole[:5], atol=1e-6)
    assert adapter.traces == {"predict": 1}


def test_a_fixed_batch_size_is_kept():
    inputs = keras.Input((4, 2), batch_size=3)
    model = biased(keras.Model(inputs, layers.Dense(2)(layers.SimpleRNN(3, stateful=True)(inputs))))
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    adapter = ar.adapt(model, example_inputs=x)
    first = host(adapter.predict(adapter.asarray(x)))
    np.testing.assert_array_equal(host(adapter.predict(adapter.asarray(x))), first)
    assert adapter.clone().layers() == adapter.layers()
