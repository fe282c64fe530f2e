"""C1: every parameter is in exactly one layer, in all kinds of models."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_cases import Dictionary, Tied, Transformer, built, host, residual

import agnostic_rand as ar
from agnostic_rand.errors import ModelError, WeightsError


def learned(model: keras.Model) -> dict[int, keras.Variable]:
    """What Keras itself would train if nothing were frozen."""
    flags = {id(layer): layer.trainable for layer in model._flatten_layers()}
    own = {id(v): v.trainable for v in model.weights}
    # Keras on TensorFlow passes nothing on where the value is the same as before.
    model.trainable = False
    model.trainable = True
    found = {id(v): v for v in model.trainable_weights}
    for layer in reversed(model._flatten_layers()):
        layer._trainable = flags[id(layer)]
    for v in model.weights:
        v.trainable = own[id(v)]
    return found


def expect_all_covered(model: keras.Model) -> None:
    adapter = ar.adapt(model)
    expected = learned(model)
    held = [(layer, p, adapter._held[layer.name][p.name]) for layer in adapter.layers() for p in layer.parameters]
    assert sorted(id(v) for _, _, v in held) == sorted(expected)
    assert len({layer.name for layer in adapter.layers()}) == len(adapter.layers())
    for layer, p, v in held:
        assert p.shape == tuple(v.shape), layer.name
    assert sum(layer.size for layer in adapter.layers()) == sum(int(np.prod(v.shape)) for v in expected.values())


APPLICATIONS = {
    "ResNet50": (32, 106),
    "MobileNetV2": (32, 104),
    "EfficientNetB0": (32, 131),
    "ConvNeXtTiny": (32, 100),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_are_covered_completely(name, monkeypatch):
    # Weights that need no drawing: what they hold does not matter here.
    for kind in ("VarianceScaling", "TruncatedNormal"):
        monkeypatch.setattr(getattr(keras.initializers, kind), "__call__", zeros)
    side, _ = APPLICATIONS[name]
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=10)
    expect_all_covered(model)
    adapter = ar.adapt(model)
    assert adapter.order_source == "traced"
    roles = {p.role for layer in adapter.layers() for p in layer.parameters if len(p.shape) == 4}
    assert roles == {"kernel"}
    statistics = [layer for layer in adapter.layers() if layer.statistics]
    assert [layer.kind for layer in statistics] == ["BatchNormalization"] * len(statistics)


@pytest.mark.parametrize(("name", "options"), [("MobileNetV2", {"alpha": 0.35}), ("ConvNeXtTiny", {})])
def test_a_full_randomization_leaves_no_parameter_of_an_application_trained(name, options):
    """The smallest one with depthwise kernels, and one with preprocessing layers and weights without a name."""
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(32, 32, 3), classes=10, **options)
    rng = np.random.default_rng(0)
    for v in model.weights:
        v.assign(rng.uniform(0.5, 1.5, tuple(v.shape)).astype("float32"))
    adapter = ar.adapt(model)
    strategy = ar.FullRandomization()
    plan = strategy.plan(adapter.layers())
    assert plan.steps[-1].coverage == 1.0
    held = {id(v): host(v) for v in model.weights}
    copy = strategy.randomize(model, seed=0)
    for old, new in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(host(old), held[id(old)])
        assert np.mean(host(new) == host(old)) < 0.01, new.path


def zeros(self, shape, dtype=None):
    return ops.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    "model",
    [
        lambda: residual(),
        lambda: built(Tied(), 6),
        lambda: built(Transformer(), 4, 6),
        lambda: built(Dictionary(), 5),
    ],
    ids=["functional", "tied", "transformer", "dictionary"],
)
def test_other_models_are_covered_completely(model):
    expect_all_covered(model())


def test_frozen_layers_are_parameters_and_running_means_are_statistics():
    model = residual()
    model.get_layer("stem").trainable = False
    model.get_layer("inner").trainable = False
    expect_all_covered(model)
    norm = next(layer for layer in ar.adapt(model).layers() if layer.name == "inner/norm")
    assert [p.name for p in norm.parameters] == ["gamma", "beta"]
    assert [(p.name, p.role) for p in norm.statistics] == [("moving_mean", "mean"), ("moving_variance", "variance")]


def test_data_statistics_and_seeds_are_not_listed():
    normalization = layers.Normalization(axis=-1)
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32"))
    model = keras.Sequential([keras.Input((4,)), normalization, layers.Dropout(0.5), layers.Dense(2, name="head")])
    assert [layer.name for layer in ar.adapt(model).layers()] == ["head"]


def test_a_shared_layer_is_listed_once_with_its_other_place():
    shared = layers.Dense(4, name="shared")
    one, two = keras.Input((4,)), keras.Input((4,))
    first = keras.Model(one, shared(one), name="first")
    second = keras.Model(two, layers.Dense(4, name="own")(shared(two)), name="second")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, second(first(inputs)))
    (listed,) = (layer for layer in ar.adapt(model).layers() if "shared" in layer.name)
    assert listed.name == "first/shared"
    assert set(listed.aliases) == {"second/shared/kernel", "second/shared/bias"}
    expect_all_covered(model)


def test_the_maker_of_a_shared_variable_owns_it():
    listed = {layer.name: layer for layer in ar.adapt(built(Tied(), 6)).layers()}
    assert [p.name for p in listed["encoder"].parameters] == ["kernel", "bias"]
    assert listed["encoder"].aliases == ("decoder/kernel",)
    assert [p.name for p in listed["decoder"].parameters] == ["bias"]


def test_inner_layers_with_one_name_stay_apart():
    class Twins(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="twins")
            self.pair = [layers.Dense(3, name="same"), layers.Dense(3, name="same")]

        def call(self, x):
            return self.pair[1](self.pair[0](x))

    model = keras.Sequential([keras.Input((3,)), Twins()])
    assert [layer.name for layer in ar.adapt(model).layers()] == ["twins/same", "twins/same_1"]
    expect_all_covered(model)


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ModelError, match="not built"):
        ar.adapt(keras.Sequential([layers.Dense(2)]))


def test_quantized_weights_are_parameters_that_are_refused_in_a_step_alone():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="packed"), layers.Dense(3, name="head")])
    model.layers[0].quantize("int8")
    packed, _ = ar.adapt(model).layers()
    assert {p.name: p.dtype for p in packed.parameters} == {
        "bias": "float32",
        "kernel": "int8",
        "kernel_scale": "float32",
    }
    kernel = np.array(keras.ops.convert_to_numpy(model.layers[0].kernel))
    with pytest.raises(WeightsError, match=r"packed\.kernel.*int8 \(quantized.*Use Permute"):
        ar.FullRandomization().randomize(model, seed=0)
    excluded = ar.FullRandomization(exclude=["packed"]).randomize(model, seed=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(excluded.layers[0].kernel), kernel)
    assert not np.array_equal(*(keras.ops.convert_to_numpy(m.layers[1].kernel) for m in (excluded, model)))
    permuted = keras.ops.convert_to_numpy(
        ar.FullRandomization(perturbation="permute").randomize(model, seed=0).layers[0].kernel
    )
    assert permuted.dtype == np.int8
    assert not np.array_equal(permuted, kernel)
    np.testing.assert_array_equal(np.sort(permuted.ravel()), np.sort(kernel.ravel()))


def test_a_parameter_that_keras_does_not_count_is_refused():
    stranger = layers.Dense(3, name="stranger")
    stranger.build((None, 4))

    class Hiding(keras.Model):
        def call(self, x):
            return stranger(x)

    model = Hiding()
    model(np.ones((1, 4), np.float32))
    with pytest.raises(ModelError, match="stranger/kernel"):
        ar.adapt(model, example_inputs=np.ones((1, 4), np.float32))
