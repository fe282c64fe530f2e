"""One trace for each function, whatever weights and batches come; and what a trace refuses."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_nets import MLP, BareVariables, Branching, ConvolutionalNet, Dense, FixedBatch, ModernLayers, normal

import agnostic_rand as ar
from agnostic_rand.errors import ModelError, UnknownNameError, WeightsError

X = np.random.default_rng(3).normal(0.2, 1.0, (23, 6)).astype(np.float32)
TARGETS = np.arange(23) % 3


class Counted(tf.Module):
    """Counts how often its code is run: once for each trace."""

    runs: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.first = Dense(1, 6, 6)
        self.second = Dense(2, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        Counted.runs["eager" if tf.executing_eagerly() else "traced"] += 1
        return self.second(tf.nn.relu(self.first(x)))


@pytest.mark.parametrize(
    ("explainer", "traces"),
    [
        # The outputs come with the gradient, also where the copy is compared with the original.
        ("saliency", 1),
        ("gradient_times_input", 1),
        # Gradients of other points than the samples, and outputs of the samples.
        (ar.explainers.IntegratedGradients(steps=5), 2),
        (ar.explainers.SmoothGrad(samples=5), 2),
        # The metric makes sure that a rule's gradient is not the plain one.
        ("guided_backprop", 2),
    ],
    ids=str,
)
def test_a_whole_cascade_is_traced_once(explainer: Any, traces: int) -> None:
    metric = ar.ModelRandomizationMetric(
        Counted(),
        X,
        TARGETS,
        randomization_strategy=ar.CascadingRandomization(),
        # 23 = 8 + 8 + 7: the last batch is smaller.
        batch_size=8,
        draws=3,
        seed=0,
    )
    Counted.runs.clear()
    result = metric.run(explainer)
    assert result.scores["spearman"].shape == (3, 2, 23)
    # The original's outputs were traced before, when the metric looked at the first sample.
    assert Counted.runs == {"traced": traces}


def test_a_trace_serves_every_batch_size_and_all_weights() -> None:
    Counted.runs.clear()
    adapter = ar.adapt(Counted(), example_inputs=X[:1])
    for size in (1, 23, 5):
        adapter.predict(X[:size])
        adapter.gradient(X[:size], TARGETS[:size])
        adapter.write("second", {"kernel": normal(size, 6, 3)})
    assert Counted.runs == {"traced": 2}
    due = np.maximum(X @ adapter.read("first")["kernel"] + adapter.read("first")["bias"], 0) @ normal(5, 6, 3)
    assert np.allclose(adapter.predict(X), due + adapter.read("second")["bias"], atol=1e-5)


def test_a_model_that_needs_the_batch_size_gets_one_size_and_filled_batches() -> None:
    net = FixedBatch()
    adapter = ar.adapt(net, example_inputs=X[:1])
    kernel, bias = net.dense.kernel.numpy(), net.dense.bias.numpy()
    traced = []
    for size in (4, 23, 7, 1):
        batch = X[:size]
        assert np.allclose(adapter.predict(batch), np.maximum(batch, 0) @ kernel + bias, atol=1e-5)
        gradient = adapter.gradient(batch, TARGETS[:size])
        assert np.allclose(gradient, np.where(batch > 0, kernel.T[TARGETS[:size]], 0), atol=1e-6)
        weighted = adapter.gradient(batch, np.eye(3, dtype=np.float32)[TARGETS[:size]])
        assert np.array_equal(weighted, gradient)
        traced.append(id(adapter._functions.forward(batch)))
    # A larger batch is traced anew, once; a smaller one is filled.
    assert traced[1] == traced[2] == traced[3] != traced[0]


class CountedFixedBatch(FixedBatch):
    runs = 0

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        CountedFixedBatch.runs += 1
        return super().__call__(x)


@pytest.mark.parametrize("explainer", ["saliency", ar.explainers.IntegratedGradients(steps=3)], ids=str)
def test_a_cascade_over_a_model_that_needs_the_batch_size_fills_its_last_batch(explainer: Any) -> None:
    traced = []
    for draws, samples in ((1, 16), (3, 16), (3, 23)):
        metric = ar.ModelRandomizationMetric(
            CountedFixedBatch(),
            X[:samples],
            TARGETS[:samples],
            randomization_strategy=ar.CascadingRandomization(),
            batch_size=8,
            draws=draws,
            seed=0,
        )
        CountedFixedBatch.runs = 0
        metric.run(explainer)
        traced.append(CountedFixedBatch.runs)
    assert traced[0] == traced[1] == traced[2]
    due = ar.ModelRandomizationMetric(FixedBatch(), X, TARGETS, batch_size=23, seed=0).run(explainer)
    cut = ar.ModelRandomizationMetric(FixedBatch(), X, TARGETS, batch_size=8, seed=0).run(explainer)
    assert np.allclose(cut.scores["spearman"], due.scores["spearman"], atol=1e-6)


def test_python_control_flow_over_tensors_works() -> None:
    net = Branching()
    adapter = ar.adapt(net, example_inputs=X[:1])
    y = X
    for _ in range(2):
        y = y + 0.5 * np.tanh(y)
    assert np.allclose(adapter.predict(X), y @ net.dense.kernel.numpy() + net.dense.bias.numpy(), atol=1e-5)
    assert adapter.gradient(X, TARGETS).shape == X.shape
    step = adapter.trainer(learning_rate=1e-2, seed=0)
    losses = [step(X, TARGETS)[0] for _ in range(20)]
    assert losses[-1] < losses[0]


def test_what_a_call_counts_is_put_back() -> None:
    class Fails(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)
            self.calls = tf.Variable(7, trainable=False)
            self.random = tf.random.Generator.from_seed(3)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            self.calls.assign_add(1)
            noise = self.random.normal(tf.shape(x))
            tf.debugging.assert_less(tf.reduce_max(x), 100.0)
            return self.dense(x + noise)

    net = Fails()
    adapter = ar.adapt(net, example_inputs=X[:1])
    state = net.random.state.numpy()
    first = adapter.predict(X)
    with pytest.raises(tf.errors.InvalidArgumentError):
        adapter.predict(X + 1000)
    with pytest.raises(tf.errors.InvalidArgumentError):
        adapter.gradient(X + 1000, TARGETS)
    # A model with a generator of its own draws the same in each call.
    assert np.array_equal(adapter.predict(X), first)
    assert net.calls.numpy() == 7
    assert np.array_equal(net.random.state.numpy(), state)


def test_a_counter_in_a_convolutional_net_stays() -> None:
    net = ConvolutionalNet()
    x = normal(5, 4, 5, 6, 2)
    adapter = ar.adapt(net, example_inputs=x)
    adapter.predict(x)
    adapter.gradient(x, TARGETS[:4], relu="guided")
    assert net.calls.numpy() == 0


def test_a_model_that_is_not_built_is_an_error() -> None:
    import keras as modern

    with pytest.raises(ModelError, match="creates the variable"):
        ar.adapt(ModernLayers(modern), example_inputs=X[:1])

    class Lazy(tf.Module):
        kernel = None

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            if self.kernel is None:
                self.kernel = tf.Variable(tf.ones((6, 3)), name="late")
            return x @ self.kernel

    lazy = Lazy()
    with pytest.raises(ModelError, match="creates the variable 'late'"):
        ar.adapt(lazy, example_inputs=X[:1])
    assert lazy.kernel is None
    with pytest.raises(ModelError, match="not built"):
        ar.adapt(keras.Sequential([keras.layers.Dense(3)]), example_inputs=X[:1])


def test_a_variable_that_the_module_does_not_track_is_an_error() -> None:
    outside = tf.Variable(tf.ones((3,)), name="outside")

    class Closure(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.function(lambda y: self.dense(y) * outside)(x)

    with pytest.raises(ModelError, match="'outside:0', which the model uses"):
        ar.adapt(Closure(), example_inputs=X[:1])
    constant = tf.Variable(tf.ones((3,)), trainable=False)
    net = Dense(1, 6, 3)
    adapter = ar.adapt(net, example_inputs=X[:1], forward=lambda model, x: model(x) * constant)
    assert [layer.name for layer in adapter.layers()] == ["Dense"]


@pytest.mark.parametrize(
    ("model", "forward", "match"),
    [
        (Dense(1, 5, 3), None, "can be called on the inputs"),
        (Dense(1, 6, 3), lambda model, x: {"a": model(x), "b": x}, "received .* with a, b"),
        (Dense(1, 6, 3), lambda model, x: [model(x)], r"one tensor.*list of 1.*inputs\)\[0\]"),
        (Dense(1, 6, 3), lambda model, x: {"a": model(x), "b": x}, r"one tensor.*dict with a, b.*inputs\)\['a'\]"),
        (tf.Module(), None, "a module with __call__"),
    ],
)
def test_a_model_that_cannot_be_called_is_an_error(model: Any, forward: Any, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        ar.adapt(model, example_inputs=X[:1], forward=forward)


def test_one_output_may_come_in_a_dictionary_or_without_its_axis() -> None:
    net = Dense(1, 6, 1)
    due = X @ net.kernel.numpy() + net.bias.numpy()
    for forward in (lambda model, x: {"score": model(x)}, lambda model, x: model(x)[:, 0]):
        adapter = ar.adapt(net, example_inputs=X[:1], forward=forward)
        assert np.allclose(adapter.predict(X), due, atol=1e-5)
        assert np.allclose(adapter.gradient(X, np.zeros(23, np.int64)), net.kernel.numpy()[:, 0], atol=1e-6)


def test_a_module_is_told_that_it_evaluates() -> None:
    class Moded(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)

        def __call__(self, x: tf.Tensor, is_training: bool) -> tf.Tensor:
            return self.dense(x) * (2.0 if is_training else 1.0)

    net = Moded()
    adapter = ar.adapt(net, example_inputs=X[:1])
    assert np.allclose(adapter.predict(X), net.dense(X), atol=1e-6)


def test_an_unused_layer_follows_the_one_declared_before_it() -> None:
    class Unused(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.idle_first = Dense(1, 2, 2)
            self.last = Dense(2, 6, 3)
            self.idle = Dense(3, 2, 2)
            self.first = Dense(4, 6, 6)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.last(self.first(x))

    adapter = ar.adapt(Unused(), example_inputs=X[:1])
    assert [layer.name for layer in adapter.layers()] == ["idle_first", "first", "last", "idle"]
    assert adapter.order_source == "traced"
    declared = ar.adapt(Unused())
    assert [layer.name for layer in declared.layers()] == ["idle_first", "last", "idle", "first"]
    assert declared.order_source == "declared"


def test_wrong_names_and_shapes_are_refused_with_nothing_written() -> None:
    adapter = ar.adapt(MLP(), example_inputs=X[:1])
    before = adapter.read("first")
    with pytest.raises(UnknownNameError, match="layer 'frist'"):
        adapter.read("frist")
    with pytest.raises(UnknownNameError, match="'bias'"):
        adapter.write("first", {"kernel": before["kernel"] * 2, "bais": before["bias"]})
    with pytest.raises(WeightsError, match=r"shape \(7,\)"):
        adapter.write("first", {"kernel": before["kernel"] * 2, "bias": np.zeros(3)})
    assert all(np.array_equal(value, before[name]) for name, value in adapter.read("first").items())


def test_a_network_in_the_root_s_own_attributes_has_a_layer_for_each_variable() -> None:
    layers = ar.adapt(BareVariables()).layers()
    assert [(layer.name, layer.kind) for layer in layers] == [
        ("token", "Variable"),
        ("layers/0", "Variable"),
        ("layers/1", "Variable"),
        ("out/kernel", "Variable"),
        ("out/bias", "Variable"),
    ]
