"""C4: a clone computes the same, shares nothing, and keeps what is shared inside of it."""

from __future__ import annotations

import random
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_cases import Dictionary, Scale, Tied, Transformer, biased, built, host, mlp, residual, tokens

import agnostic_rand as ar
from agnostic_rand.errors import ModelError
from agnostic_rand_keras import cloning


def lambdas() -> keras.Model:
    inputs = keras.Input((6,))
    x = Scale(lambda x: x * 2 + 1)(layers.Lambda(lambda x: ops.abs(x))(inputs))
    return keras.Model(inputs, layers.Dense(2)(x))


def wrapped() -> keras.Model:
    return built(
        keras.Sequential([layers.Bidirectional(layers.GRU(3)), layers.SpectralNormalization(layers.Dense(2))]), 4, 5
    )


MODELS = {
    "sequential": (mlp, (3, 2)),
    "functional": (residual, (7, 6, 2)),
    "subclass": (lambda: built(Tied(), 6), (6,)),
    "transformer": (lambda: built(Transformer(), 4, 6), (4, 6)),
    "recurrent": (tokens, (4,)),
    "lambdas": (lambdas, (6,)),
    "wrappers": (wrapped, (4, 5)),
}


def data(name: str) -> np.ndarray:
    shape = MODELS[name][1]
    rng = np.random.default_rng(2)
    if name == "recurrent":
        return rng.integers(0, 11, (3, *shape)).astype("int32")
    return rng.normal(size=(3, *shape)).astype("float32")


@pytest.mark.parametrize("way", ["structural_copy", "_from_config"])
@pytest.mark.parametrize("name", MODELS)
def test_both_ways_of_copying_give_the_same_outputs_and_share_nothing(name, way, monkeypatch):
    if way == "_from_config":
        if name in ("subclass", "transformer", "lambdas"):
            pytest.skip("the model has no config")
        monkeypatch.setattr(cloning, "structural_copy", cloning._from_config)
    model, x = MODELS[name][0](), data(name)
    adapter = ar.adapt(model, example_inputs=x[:1])
    inputs = adapter.asarray(x)
    outputs = host(adapter.predict(inputs))
    twin = adapter.clone()
    assert twin.layers() == adapter.layers()
    assert twin.order_source == adapter.order_source
    assert type(twin.native) is type(model)
    np.testing.assert_array_equal(host(twin.predict(inputs)), outputs)
    np.testing.assert_allclose(host(twin.native(x, training=False)), outputs, rtol=1e-5, atol=1e-6)
    assert not {id(v) for v in model.variables} & {id(v) for v in twin.native.variables}
    for layer in twin.layers():
        twin.write(layer.name, {k: v * 0 + 3 for k, v in twin.read(layer.name).items()})
    assert np.abs(host(twin.predict(inputs)) - outputs).max() > 1e-3
    assert np.abs(host(twin.native(x, training=False)) - outputs).max() > 1e-3
    np.testing.assert_array_equal(host(adapter.predict(inputs)), outputs)
    np.testing.assert_allclose(host(model(x, training=False)), outputs, rtol=1e-5, atol=1e-6)


def test_what_is_shared_stays_shared():
    twin = ar.adapt(built(Tied(), 6), example_inputs=np.ones((1, 6), np.float32)).clone()
    assert twin.native.encoder.kernel is twin.native.decoder.kernel
    twin.write("encoder", {"kernel": np.full((6, 6), 2.0)})
    assert (host(twin.native.decoder.kernel) == 2).all()


def test_a_clone_can_be_saved_and_cut_as_the_model_can(tmp_path):
    twin = ar.adapt(residual()).clone().native
    cut = keras.Model(twin.input, twin.get_layer("stem").output)
    assert cut(np.ones((1, 7, 6, 2), np.float32)).shape == (1, 7, 6, 6)
    twin.save(tmp_path / "model.keras")
    x = np.ones((2, 7, 6, 2), np.float32)
    np.testing.assert_allclose(
        host(keras.models.load_model(tmp_path / "model.keras")(x)), host(twin(x)), rtol=1e-5, atol=1e-6
    )


def test_flags_and_compilation_come_along():
    model = residual()
    model.get_layer("stem").trainable = False
    model.compile("adam", "mse")
    optimizer, compiled = model.optimizer, dict(vars(model))
    twin = ar.adapt(model).clone().native
    assert not twin.get_layer("stem").trainable
    assert twin.compiled
    assert twin.optimizer is not optimizer
    assert model.optimizer is optimizer
    assert dict(vars(model)) == compiled
    twin.compile("sgd", "mse")
    twin.fit(np.ones((4, 7, 6, 2), np.float32), np.ones((4, 3), np.float32), verbose=0)


def test_layers_that_other_models_use_too_are_copied_alone():
    backbone = residual()
    huge = layers.Dense(50, name="huge")
    other = keras.Model(backbone.input, huge(backbone.get_layer("stem").output))
    twin = ar.adapt(backbone).clone().native
    assert [layer.name for layer in twin.layers] == [layer.name for layer in backbone.layers]
    assert len(other.get_layer("huge")._inbound_nodes) == 1


def test_a_copy_that_calls_the_original_is_refused():
    class Closed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.apply = lambda x: self.dense(x)

        def call(self, x):
            return self.apply(x)

        def get_config(self):
            raise NotImplementedError("no config")

    adapter = ar.adapt(built(Closed(), 3), example_inputs=np.ones((1, 3), np.float32))
    with pytest.raises(ModelError, match="isolation='in_place'"):
        adapter.clone()


def test_what_cannot_be_copied_is_built_from_its_config():
    class Guarded(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.units = units
            self.generator = (i for i in range(3))
            self.dense = layers.Dense(units)

        def get_config(self):
            return {"units": self.units}

        def call(self, x):
            return self.dense(x)

    model = built(Guarded(units=3), 4)
    adapter = ar.adapt(model, example_inputs=np.ones((1, 4), np.float32))
    x = adapter.asarray(np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(host(adapter.clone().predict(x)), host(adapter.predict(x)))


def test_a_model_that_can_only_be_changed_in_place_says_so():
    class Stuck(keras.Model):
        def __init__(self, generator):
            super().__init__()
            self.generator = generator
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    adapter = ar.adapt(built(Stuck(i for i in range(3)), 4))
    with pytest.raises(ModelError, match=r"generator.*isolation='in_place'"):
        adapter.clone()
    metric = ar.ModelRandomizationMetric(
        adapter.native, np.arange(12.0, dtype=np.float32).reshape(3, 4), [0, 1, 0], isolation="in_place", seed=1
    )
    assert metric.run("input_map").mean() == 1


def test_cloning_moves_no_global_generator():
    adapter = ar.adapt(residual())
    keras.random.normal((1,))
    before = (random.getstate(), np.random.get_state()[1].tolist(), adapter.random_state())
    adapter.clone()
    after = (random.getstate(), np.random.get_state()[1].tolist(), adapter.random_state())
    assert before[:2] == after[:2]
    np.testing.assert_array_equal(before[2][0][1], after[2][0][1])


def test_dictionary_models_are_cloned_with_their_forward():
    x = np.ones((2, 5), np.float32)
    adapter = ar.adapt(built(Dictionary(), 5), example_inputs=x[:1], forward=lambda m, x: m(x)["logits"])
    np.testing.assert_array_equal(
        host(adapter.clone().predict(adapter.asarray(x))), host(adapter.predict(adapter.asarray(x)))
    )


def preprocessed() -> keras.Model:
    """A subclassed model that cannot be built from a config, with layers that hold Keras' backend."""

    class Preprocessed(keras.Model):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.steps = [
                layers.Rescaling(1 / 255),
                layers.Normalization(mean=0.5, variance=2.0),
                layers.Resizing(4, 4),
                layers.CenterCrop(3, 3),
                layers.RandomFlip(),
            ]
            self.steps[1].build((None, 5, 5, 2))
            self.head = layers.Dense(width)

        def call(self, x):
            for step in self.steps:
                x = step(x)
            return self.head(layers.Flatten()(x))

    return built(Preprocessed(3), 5, 5, 2)


def test_preprocessing_layers_are_copied():
    model = preprocessed()
    x = np.random.default_rng(2).uniform(0, 255, (3, 5, 5, 2)).astype("float32")
    adapter = ar.adapt(model, example_inputs=x[:1])
    twin = adapter.clone()
    inputs = adapter.asarray(x)
    np.testing.assert_array_equal(host(twin.predict(inputs)), host(adapter.predict(inputs)))
    assert twin.native.steps[0].backend is not model.steps[0].backend
    assert twin.native.steps[0].backend.name == model.steps[0].backend.name
    assert ar.ModelRandomizationMetric(model, x, [0, 1, 2], seed=0).run("saliency").coverage == 1


def test_weights_without_a_name_are_no_reason_to_refuse_a_copy(monkeypatch):
    class Unnamed(layers.Layer):
        def build(self, shape):
            self.slope = self.add_weight(shape=(shape[-1],), initializer="ones")
            self.shift = self.add_weight(shape=(shape[-1],), initializer="zeros")

        def call(self, x):
            return x * self.slope + self.shift

    monkeypatch.setattr(cloning, "structural_copy", cloning._from_config)
    inputs = keras.Input((4,))
    functional = keras.Model(inputs, layers.Dense(3)(Unnamed()(inputs)))
    sequential = keras.Sequential([keras.Input((4,)), Unnamed(), layers.Dense(3)])
    for model in (functional, sequential):
        adapter = ar.adapt(biased(model))
        twin = adapter.clone()
        assert twin.layers() == adapter.layers()
        x = adapter.asarray(np.ones((2, 4), np.float32))
        np.testing.assert_array_equal(host(twin.predict(x)), host(adapter.predict(x)))


class Holding(keras.Model):
    """A model with a layer that it calls by something else than its attribute."""

    def __init__(self, bind) -> None:
        super().__init__()
        self.dense = layers.Dense(4)
        self.head = layers.Dense(3)
        self.dense.build((None, 4))
        self.function = bind(self)

    def call(self, x):
        return self.head(self.function(x))

    def build(self, shape):
        self.head.build((None, 4))

    def get_config(self):
        raise NotImplementedError("no config")


SHARED = layers.Dense(4, name="shared")


def called_by_a_global_name(x):
    return SHARED(x)


class Helper:
    def __init__(self, function) -> None:
        self.function = function

    def __call__(self, x):
        return self.function(x)


def graph_with_a_lambda(call=lambda layer, x: layers.Lambda(layer, output_shape=(4,))(x)) -> keras.Model:
    shared = layers.Dense(4)
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(3)(call(lambda x: shared(x), shared(inputs))))


def holding_a_global() -> keras.Model:
    model = Holding(lambda model: called_by_a_global_name)
    model.dense = SHARED
    return model


BOUND = {
    "a closure": lambda: Holding(lambda model: lambda x: model.dense(x)),
    "a closure over a list": lambda: Holding(lambda model: (lambda held: lambda x: held[0](x))([model.dense])),
    "a closure over a weight": lambda: Holding(lambda model: lambda x: model.dense(x) + model.dense.bias),
    "a default": lambda: Holding(lambda model: lambda x, dense=model.dense: dense(x)),
    "a keyword's default": lambda: Holding(lambda model: lambda x, *, dense=model.dense: dense(x)),
    "a partial function of a function": lambda: Holding(
        lambda model: partial(lambda f, x: f(x), lambda x: model.dense(x))
    ),
    "an object that holds a function": lambda: Holding(lambda model: Helper(lambda x: model.dense(x))),
    "a list of functions": lambda: Holding(lambda model: Helper([lambda x: model.dense(x)].__getitem__(0))),
    "a global name": holding_a_global,
    "a Lambda layer": graph_with_a_lambda,
    "an operation of a graph": lambda: graph_with_a_lambda(
        lambda layer, x: ops.vectorized_map(lambda row: layer(row[None])[0], x)
    ),
}


@pytest.mark.parametrize("kind", BOUND)
def test_a_randomized_copy_never_reads_the_original_s_weights(kind):
    model = BOUND[kind]()
    x = np.ones((2, 4), np.float32)
    model(x)
    for options in ({}, {"example_inputs": x}):
        with pytest.raises(ModelError, match=r"isolation='in_place'"):
            ar.FullRandomization().randomize(model, seed=0, **options)


FREE = {
    "a free function": lambda: Holding(lambda model: lambda x: ops.relu(x)),
    "a method": lambda: Holding(lambda model: model.dense.call),
    "a partial function of a method": lambda: Holding(lambda model: partial(model.dense)),
    "another layer": lambda: Holding(lambda model: (lambda other: lambda x: other * x)(2.0)),
}


@pytest.mark.parametrize("kind", FREE)
def test_functions_of_nothing_in_the_model_are_no_reason_to_refuse_a_copy(kind):
    model = FREE[kind]()
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    biased(built(model, 4))
    copy = ar.FullRandomization().randomize(model, seed=0)
    assert np.abs(host(copy(x)) - host(model(x))).max() > 1e-3
    for own, other in zip(copy.weights, model.weights, strict=True):
        own.assign(other)
    np.testing.assert_allclose(host(copy(x)), host(model(x)), atol=1e-6)


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_randomized_copy_of_a_compiled_model_can_be_evaluated_and_leaves_the_models_counts():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(3, activation="softmax")])
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
    )
    x, y = np.random.default_rng(0).normal(size=(8, 6)).astype("float32"), np.arange(8) % 3
    model.fit(x, y, verbose=0)
    counted = [host(v).tolist() for metric in model.metrics for v in metric.variables]
    copy = ar.FullRandomization().randomize(model, seed=0)
    loss = copy.evaluate(x, y, verbose=0)[0]
    outputs = host(copy(x))
    assert loss == pytest.approx(-np.log(outputs[np.arange(8), y]).mean(), rel=1e-4)
    assert [host(v).tolist() for metric in model.metrics for v in metric.variables] == counted
    assert int(host(model.optimizer.iterations)) == 1
