"""What legacy Keras layers tell besides their variables: initializers, statistics, outputs inside."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import functional, sequential, subclassed, trained
from tf_nets import MLP, normal

import agnostic_rand as ar
from agnostic_rand.adapters import (
    SupportsLayerGradient,
    SupportsNativeInit,
    SupportsStatistics,
    SupportsTraining,
)
from agnostic_rand.errors import InputError, ModelError, UnknownNameError

X = normal(3, 9, 6, scale=1.0)
IMAGES = normal(4, 9, 6, 6, 2, scale=1.0)
TARGETS = np.arange(9) % 3


def one_layer(layer: Any, *shape: int) -> Any:
    return ar.adapt(keras.Sequential([keras.Input(shape), layer]))


def test_a_module_lacks_what_only_keras_knows() -> None:
    keras_adapter, adapter = ar.adapt(functional()), ar.adapt(MLP())
    for capability in (SupportsNativeInit, SupportsStatistics):
        assert isinstance(keras_adapter, capability)
        assert not isinstance(adapter, capability)
    for capability in (SupportsLayerGradient, SupportsTraining):
        assert isinstance(keras_adapter, capability)
        assert isinstance(adapter, capability)


SPREADS: dict[str, tuple[Any, float]] = {
    "glorot_uniform": ("glorot_uniform", (2 / (200 + 100)) ** 0.5),
    "he_normal": ("he_normal", (2 / 200) ** 0.5),
    "an object": (keras.initializers.RandomNormal(stddev=0.3), 0.3),
    "an object with a seed": (keras.initializers.RandomUniform(-1, 1, seed=3), (1 / 3) ** 0.5),
}


@pytest.mark.parametrize("name", SPREADS)
def test_native_init_draws_from_the_layer_s_own_initializer(name: str) -> None:
    initializer, spread = SPREADS[name]
    layer = keras.layers.Dense(100, kernel_initializer=initializer, bias_initializer="ones", name="dense")
    adapter = one_layer(layer, 200)
    first, again, other = (adapter.native_init("dense", seed) for seed in (5, 5, 2**62 + 5))
    assert np.array_equal(first["kernel"], again["kernel"])
    assert np.abs(first["kernel"] - other["kernel"]).max() > 0.01
    # The initializer that the layer was built with gives the same values again and again.
    assert np.abs(first["kernel"] - adapter.read("dense")["kernel"]).max() > 0.01
    assert abs(first["kernel"].std() / spread - 1) < 0.02
    assert (first["bias"] == 1).all()


def test_the_weights_of_one_layer_do_not_share_a_draw() -> None:
    layer = keras.layers.SimpleRNN(4, recurrent_initializer="glorot_uniform", name="rnn")
    values = one_layer(layer, 3, 4).native_init("rnn/simple_rnn_cell", 1)
    assert not np.array_equal(values["kernel"], values["recurrent_kernel"])


def test_the_forget_gate_of_an_lstm_starts_open() -> None:
    values = one_layer(keras.layers.LSTM(2, name="lstm"), 3, 4).native_init("lstm/lstm_cell", 1)
    assert values["bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    closed = one_layer(keras.layers.LSTM(2, unit_forget_bias=False, name="lstm"), 3, 4)
    assert not closed.native_init("lstm/lstm_cell", 1)["bias"].any()


def test_a_weight_without_an_initializer_is_left_to_the_core() -> None:
    adapter = ar.adapt(trained(subclassed()), example_inputs=X[:1])
    assert adapter.native_init("scaled", 1) == {}
    metric = ar.ModelRandomizationMetric(
        trained(subclassed()),
        X,
        TARGETS,
        randomization_strategy=ar.FullRandomization(perturbation=ar.NativeInit()),
        seed=0,
    )
    assert np.isfinite(metric.evaluate("saliency"))


def test_native_init_draws_from_no_generator() -> None:
    adapter = one_layer(keras.layers.Dense(3, name="dense"), 4)
    keras.utils.set_random_seed(2)
    state = random.getstate()
    due = keras.initializers.GlorotUniform()((3,)).numpy(), tf.random.normal([2]).numpy()
    keras.utils.set_random_seed(2)
    adapter.native_init("dense", 1)
    assert random.getstate() == state
    now = keras.initializers.GlorotUniform()((3,)).numpy(), tf.random.normal([2]).numpy()
    assert np.array_equal(due[0], now[0])
    assert np.array_equal(due[1], now[1])


def test_statistics_are_the_batch_s_in_every_layer_at_once() -> None:
    model = trained(subclassed())
    adapter = ar.adapt(model, example_inputs=X[:1])
    before = [weight.numpy() for weight in model.weights]
    found = adapter.estimate_statistics(X, ["one/norm", "two/norm"])
    x = X.astype(np.float64)
    for block in model.blocks:
        kernel, bias = block.dense.kernel.numpy(), block.dense.bias.numpy()
        y = x @ kernel + bias
        values = found[f"{block.name}/norm"]
        assert np.allclose(values["moving_mean"], y.mean(axis=0), atol=1e-5)
        assert np.allclose(values["moving_variance"], y.var(axis=0), rtol=1e-4)
        normalized = (y - y.mean(axis=0)) / np.sqrt(y.var(axis=0) + block.norm.epsilon)
        x = np.maximum(normalized * block.norm.gamma.numpy() + block.norm.beta.numpy(), 0) + x
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))


def test_statistics_of_images_are_by_channel_and_others_are_left_out() -> None:
    model = trained(sequential())
    adapter = ar.adapt(model, example_inputs=IMAGES[:1])
    found = adapter.estimate_statistics(IMAGES, ["conv", "norm"])
    convolved = model.get_layer("conv")(IMAGES).numpy().reshape(-1, 4)
    assert list(found) == ["norm"]
    assert np.allclose(found["norm"]["moving_mean"], convolved.mean(axis=0), atol=1e-6)
    assert np.allclose(found["norm"]["moving_variance"], convolved.var(axis=0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (5, 4), (3, 3, 4)], ids=["rows", "sequences", "images"])
def test_statistics_are_what_a_layer_without_momentum_takes_from_the_batch(shape: tuple[int, ...]) -> None:
    x = normal(5, 4, *shape, scale=1.0)
    norm = keras.layers.BatchNormalization(momentum=0.0, name="norm")
    model = keras.Sequential([keras.Input(shape), norm, keras.layers.Flatten(), keras.layers.Dense(3)])
    found = ar.adapt(model).estimate_statistics(x, ["norm"])["norm"]
    norm(x, training=True)
    assert np.allclose(found["moving_mean"], norm.moving_mean, atol=1e-6)
    assert np.allclose(found["moving_variance"], norm.moving_variance, rtol=1e-5)


def test_a_normalization_that_is_called_twice_has_the_mean_of_both() -> None:
    norm = keras.layers.BatchNormalization(name="norm", scale=False, center=False, axis=1)
    x = keras.Input((6,))
    model = keras.Model(x, norm(3 * norm(x)))
    found = ar.adapt(model).estimate_statistics(X, ["norm"])["norm"]
    first = X.astype(np.float64)
    second = 3 * (first - first.mean(axis=0)) / np.sqrt(first.var(axis=0) + 1e-3)
    assert np.allclose(found["moving_mean"], (first.mean(axis=0) + second.mean(axis=0)) / 2, atol=1e-5)
    due = (first.var(axis=0) + second.var(axis=0)) / 2
    assert np.allclose(found["moving_variance"], due, rtol=1e-4)


def test_statistics_and_calls_are_put_back_after_an_exception() -> None:
    model = trained(subclassed())
    adapter = ar.adapt(model, example_inputs=X[:1])
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(InputError, match="a variance"):
        adapter.estimate_statistics(X[:1], ["one/norm"])
    with pytest.raises(Exception, match="incompatible"):
        adapter.estimate_statistics(X[:, :5], ["one/norm"])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))
    assert "call" not in vars(model.blocks[0].norm)
    assert not tf.config.functions_run_eagerly()
    with pytest.raises(UnknownNameError):
        adapter.estimate_statistics(X, ["norm"])


def test_layers_are_seen_inside_nested_and_shared_models() -> None:
    model = trained(functional())
    adapter = ar.adapt(model, example_inputs=X[:1])
    assert list(adapter.layer_shapes(X[:4]).items()) == [
        ("shared", (4, 6)),
        ("inner/dense", (4, 6)),
        ("inner/relu", (4, 6)),
        ("inner", (4, 6)),
        ("add", (4, 6)),
        ("head", (4, 3)),
    ]
    shared, dense = model.get_layer("shared"), model.get_layer("inner").get_layer("dense")
    second = np.maximum(shared(shared(X)), 0)
    hidden = second @ dense.kernel.numpy() + dense.bias.numpy()
    due = model.get_layer("head").kernel.numpy().T[TARGETS] * (hidden > 0)
    for targets in (TARGETS, np.eye(3, dtype=np.float32)[TARGETS]):
        output, gradient = adapter.layer_gradient(X, targets, "inner/dense")
        assert np.allclose(output, hidden, atol=1e-5)
        assert np.allclose(gradient, due, atol=1e-6)
        # A layer that is called twice is seen in its last call.
        output, gradient = adapter.layer_gradient(X, targets, "shared")
        assert np.allclose(output, second, atol=1e-5)
        assert np.allclose(gradient, due @ dense.kernel.numpy().T, atol=1e-5)


def test_the_gradient_inside_is_that_of_finite_differences() -> None:
    model = trained(sequential())
    adapter = ar.adapt(model, example_inputs=IMAGES[:1])
    _, gradient = adapter.layer_gradient(IMAGES, TARGETS, "conv")
    after = keras.Sequential([keras.Input((4, 4, 4)), *model.layers[1:]])
    output = model.get_layer("conv")(IMAGES).numpy()
    direction = normal(1, *output.shape)
    step = 1e-3
    moved = [after(output + sign * step * direction).numpy()[np.arange(9), TARGETS] for sign in (1, -1)]
    numeric = (moved[0].astype(np.float64) - moved[1]) / (2 * step)
    assert np.allclose((gradient * direction).sum(axis=(1, 2, 3)), numeric, atol=2e-3)


def unused() -> Any:
    x = keras.Input((6,))
    idle = keras.layers.Dense(2, name="idle")

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.idle = idle
            self.dense = keras.layers.Dense(3, name="dense")
            self.pair = keras.layers.Lambda(lambda y: (y, y), name="pair")

        def call(self, y: tf.Tensor) -> tf.Tensor:
            self.idle(y)
            return self.dense(self.pair(y)[0])

    model = Net()
    model(x)
    return model


@pytest.mark.parametrize(
    ("layer", "error", "match"),
    [
        ("idle", ModelError, "an output that is not used"),
        ("pair", ModelError, "no such tensor"),
        ("dnse", UnknownNameError, "dense"),
    ],
)
def test_a_layer_without_a_gradient_is_an_error(layer: str, error: type[Exception], match: str) -> None:
    adapter = ar.adapt(unused(), example_inputs=X[:1])
    with pytest.raises(error, match=match):
        adapter.layer_gradient(X, TARGETS, layer)


@pytest.mark.parametrize("build", [functional, sequential, subclassed])
def test_a_cascade_of_legacy_keras_covers_every_parameter(build: Callable[[], Any]) -> None:
    model = trained(build())
    x = IMAGES if build is sequential else X
    metric = ar.ModelRandomizationMetric(
        model, x, TARGETS, randomization_strategy=ar.CascadingRandomization(), batch_size=4, seed=0
    )
    before = [weight.numpy() for weight in model.weights]
    result = metric.run("gradient")
    assert result.settings["parameters"] == sum(int(np.prod(w.shape)) for w in model.weights if w.trainable)
    assert np.isfinite(result.scores["spearman"]).mean() > 0.9
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_channels_are_where_the_first_convolution_or_pooling_has_them(data_format: str) -> None:
    layers = keras.layers
    first = {
        "convolution": lambda: layers.Conv2D(2, 2, data_format=data_format),
        "pooling": lambda: layers.AveragePooling2D(data_format=data_format),
        "padding": lambda: layers.ZeroPadding2D(data_format=data_format),
    }
    for kind, make in first.items():
        model = keras.Sequential([keras.Input((4, 4, 4)), make(), layers.Flatten(), layers.Dense(3)])
        adapter = ar.adapt(model)
        due = -1 if data_format == "channels_last" else 1
        assert (adapter.channel_axis, adapter.clone().channel_axis) == (due, due), kind


def test_a_flatten_layer_that_is_declared_first_says_nothing_of_channels() -> None:
    class Declared(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = keras.layers.Flatten()
            self.convolution = keras.layers.Conv2D(2, 2, data_format="channels_first")
            self.convolution.build((None, 3, 4, 4))

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return self.flatten(self.convolution(x))

    assert ar.adapt(Declared()).channel_axis == 1


def test_without_image_layers_channels_are_where_keras_is_set_to() -> None:
    before = keras.backend.image_data_format()
    try:
        keras.backend.set_image_data_format("channels_first")
        assert ar.adapt(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).channel_axis == 1
    finally:
        keras.backend.set_image_data_format(before)
