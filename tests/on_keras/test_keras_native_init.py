"""NativeInit: each initializer is made anew with a seed of its own, which alone decides the values."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from keras_cases import Tied, Transformer, biased, built, host, mlp, residual

import agnostic_rand as ar

MODELS = {
    "sequential": mlp,
    "functional": residual,
    "subclass": lambda: built(Tied(), 6),
    "transformer": lambda: built(Transformer(), 4, 6),
}


def one_layer(layer: Any, *shape: int) -> Any:
    return ar.adapt(keras.Sequential([keras.Input(shape), layer]))


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_and_the_model_stays(name):
    adapter = ar.adapt(MODELS[name]())
    for layer in adapter.layers():
        before = adapter.read(layer.name)
        first, again, other = (adapter.native_init(layer.name, seed) for seed in (5, 5, 2**62 + 5))
        assert first.keys() == again.keys() == other.keys() <= {p.name for p in layer.parameters}
        for key, value in first.items():
            np.testing.assert_array_equal(value, again[key])
            # Zeros and ones are the same for every seed.
            assert np.ptp(value) == 0 or not np.array_equal(value, other[key])
            assert not np.array_equal(value, before[key])
        for key, value in before.items():
            np.testing.assert_array_equal(adapter.read(layer.name)[key], value)


SPREADS: dict[str, tuple[Any, float]] = {
    "glorot_uniform": ("glorot_uniform", (2 / (200 + 100)) ** 0.5),
    "he_normal": ("he_normal", (2 / 200) ** 0.5),
    "an object": (lambda: keras.initializers.RandomNormal(stddev=0.3), 0.3),
    "an object with a seed": (lambda: keras.initializers.RandomUniform(-1, 1, seed=3), (1 / 3) ** 0.5),
}


@pytest.mark.parametrize("name", SPREADS)
def test_values_come_from_the_layer_s_own_initializer(name):
    initializer, spread = SPREADS[name]
    made = initializer if isinstance(initializer, str) else initializer()
    layer = layers.Dense(100, kernel_initializer=made, bias_initializer="ones", name="dense")
    adapter = one_layer(layer, 200)
    first, other = (adapter.native_init("dense", seed) for seed in (5, 6))
    assert abs(first["kernel"].std() / spread - 1) < 0.02
    # The initializer that the layer keeps gives the values that the layer was made with again and again.
    for drawn in (first, other):
        assert np.abs(drawn["kernel"] - adapter.read("dense")["kernel"]).max() > 0.01
    assert np.abs(first["kernel"] - other["kernel"]).max() > 0.01
    assert (first["bias"] == 1).all()


def test_two_draws_of_a_strategy_differ_and_one_seed_repeats():
    model = mlp()
    strategy = ar.FullRandomization(perturbation="native_init")
    one, same, other = (ar.adapt(strategy.randomize(model, seed=seed)) for seed in (1, 1, 2))
    for name in ("first", "second", "third"):
        kernel = one.read(name)["kernel"]
        np.testing.assert_array_equal(kernel, same.read(name)["kernel"])
        assert np.abs(kernel - other.read(name)["kernel"]).max() > 1e-2
    assert not np.array_equal(one.read("first")["kernel"][:6, :6], one.read("second")["kernel"][:6, :6])


def test_two_weights_of_one_layer_do_not_share_a_draw():
    layer = layers.SimpleRNN(4, recurrent_initializer="glorot_uniform", name="rnn")
    values = one_layer(layer, 3, 4).native_init("rnn/simple_rnn_cell", 1)
    assert not np.array_equal(values["kernel"], values["recurrent_kernel"])


def test_the_forget_gate_of_an_lstm_starts_open():
    values = one_layer(layers.LSTM(2, name="lstm"), 3, 4).native_init("lstm/lstm_cell", 1)
    assert values["bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    closed = one_layer(layers.LSTM(2, unit_forget_bias=False, name="lstm"), 3, 4)
    assert not closed.native_init("lstm/lstm_cell", 1)["bias"].any()


def test_depthwise_and_separable_kernels_have_their_own():
    ones = {"depthwise_initializer": "ones"}
    depthwise = one_layer(layers.DepthwiseConv2D(3, **ones, name="it"), 6, 6, 2).native_init("it", 1)
    assert (depthwise["kernel"] == 1).all()
    separable = one_layer(layers.SeparableConv2D(4, 3, **ones, name="it"), 6, 6, 2).native_init("it", 1)
    assert (separable["depthwise_kernel"] == 1).all()
    assert separable["pointwise_kernel"].std() > 0.1


def test_a_weight_without_an_initializer_is_left_to_the_core():
    model = built(Tied(), 6)
    adapter = ar.adapt(model, example_inputs=np.ones((1, 6), np.float32))
    assert adapter.native_init("scale", 1) == {}
    strategy = ar.FullRandomization(perturbation=ar.NativeInit())
    copy = ar.adapt(strategy.randomize(model, seed=3, example_inputs=np.ones((1, 6), np.float32)))
    # Without a known role it is drawn from a normal that matches it.
    assert np.abs(copy.read("scale")["factor"] - adapter.read("scale")["factor"]).min() > 0


def test_an_initializer_that_no_seed_decides_is_left_to_the_core():
    class Random(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.ops.convert_to_tensor(np.random.default_rng().normal(size=shape).astype("float32"))

        def get_config(self):
            return {}

    adapter = one_layer(layers.Dense(3, kernel_initializer=Random(), name="dense"), 4)
    assert adapter.native_init("dense", 1).keys() == {"bias"}


def test_no_generator_moves():
    adapter = ar.adapt(biased(mlp()))
    keras.utils.set_random_seed(2)
    state = random.getstate(), np.random.get_state()[1].tolist()
    due = host(keras.initializers.GlorotUniform()((3,))), host(keras.random.normal((2,)))
    keras.utils.set_random_seed(2)
    adapter.native_init("first", 1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state
    now = host(keras.initializers.GlorotUniform()((3,))), host(keras.random.normal((2,)))
    for one, other in zip(due, now, strict=True):
        np.testing.assert_array_equal(one, other)
