"""Copies share nothing, give the same outputs, and are refused where they would not."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import functional, sequential, subclassed, trained
from tf_nets import MLP, Dense

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = np.random.default_rng(3).normal(0.2, 1.0, (9, 6)).astype(np.float32)


class OwnFunction(tf.Module):
    """Holds a traced function as an attribute, which cannot be copied once it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = Dense(1, 6, 3)
        self.run = tf.function(self.forward)

    def forward(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(x)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.run(x)


class BoundToItself(tf.Module):
    """A copy of it goes on using the original's variables."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = dense = Dense(1, 6, 3)
        self.run = lambda x: dense(x)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.run(x)


class Forgetful(keras.Model):
    """Its configuration does not tell all that decides its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.factor = 1.0

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.factor * self.dense(x)


class Demanding(keras.Model):
    """Cannot be made again from its configuration."""

    def __init__(self, width: Any) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(width.value)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(x)


class Width:
    value = 3


def forgetful() -> keras.Model:
    model = Forgetful()
    model.factor = 3.0
    model(X)
    return model


def demanding() -> keras.Model:
    model = Demanding(Width())
    model(X)
    return model


def untied() -> keras.Model:
    """Two layers with one kernel: a copy made from the configuration would have two."""
    first, second = keras.layers.Dense(6, name="first"), keras.layers.Dense(6, name="second")
    x = keras.Input((6,))
    model = keras.Model(x, second(first(x)))
    second.kernel = first.kernel
    return model


REFUSED = {
    "a traced function": OwnFunction,
    "a state that its configuration lacks": forgetful,
    "arguments that its configuration lacks": demanding,
    "tied layers of Keras": untied,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_copied_is_refused_and_runs_in_place(kind: str) -> None:
    model = REFUSED[kind]()
    adapter = ar.adapt(model, example_inputs=X[:1])
    with pytest.raises(ModelError, match="isolation='in_place'"):
        adapter.clone()
    before = [variable.numpy() for variable in model.variables]
    metric = ar.ModelRandomizationMetric(model, X, isolation="in_place", seed=0)
    assert metric.run("saliency").settings["isolation"] == "in_place"
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))


class Holding(tf.Module):
    """A dense layer that is called by a function beside it."""

    def __init__(self, bind: Callable[[Holding], Any]) -> None:
        super().__init__()
        self.dense = Dense(1, 6, 3)
        self.run = bind(self)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.run(x)


class Helper:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.function(x)


SHARED = Dense(1, 6, 3)


def called_by_a_global_name(x: tf.Tensor) -> tf.Tensor:
    return SHARED(x)


def holding_a_global() -> tf.Module:
    model = Holding(lambda _: called_by_a_global_name)
    model.dense = SHARED
    return model


def keras_lambda() -> keras.Model:
    shared = keras.layers.Dense(6)
    inputs = keras.Input((6,))
    called_again = keras.layers.Lambda(lambda x: shared(x))(shared(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(called_again))


BOUND: dict[str, Callable[[], Any]] = {
    "a closure": BoundToItself,
    "a closure over a list": lambda: Holding(lambda m: (lambda held: lambda x: held[0](x))([m.dense])),
    "a closure over a variable": lambda: Holding(lambda m: (lambda v: lambda x: x @ v)(m.dense.kernel)),
    "a default": lambda: Holding(lambda m: lambda x, dense=m.dense: dense(x)),
    "a keyword's default": lambda: Holding(lambda m: lambda x, *, dense=m.dense: dense(x)),
    "a partial function of a function": lambda: Holding(lambda m: partial(lambda f, x: f(x), lambda x: m.dense(x))),
    "an object that holds a function": lambda: Holding(lambda m: Helper(lambda x: m.dense(x))),
    "a traced function": lambda: Holding(lambda m: tf.function(lambda x: m.dense(x))),
    "a global name": holding_a_global,
    "a Lambda layer": keras_lambda,
}


@pytest.mark.parametrize("kind", BOUND)
def test_a_randomized_copy_never_reads_the_original_s_variables(kind: str) -> None:
    for options in ({}, {"example_inputs": X[:1]}):
        with pytest.raises(ModelError, match="isolation='in_place'"):
            ar.FullRandomization().randomize(BOUND[kind](), seed=0, **options)


FREE: dict[str, Callable[[Holding], Any]] = {
    "a method": lambda m: m.dense.__call__,
    "a partial function": lambda m: partial(m.dense),
    "a free function beside it": lambda m: Helper(m.dense),
}


@pytest.mark.parametrize("kind", FREE)
def test_functions_that_are_copied_are_no_reason_to_refuse_a_copy(kind: str) -> None:
    model = Holding(FREE[kind])
    copy = ar.FullRandomization().randomize(model, seed=0)
    assert np.abs(copy(X) - model(X)).max() > 1e-3
    copy.dense.kernel.assign(model.dense.kernel)
    copy.dense.bias.assign(model.dense.bias)
    assert np.allclose(copy(X), model(X))


def test_a_function_that_was_not_called_yet_is_bound_to_the_copy() -> None:
    model = OwnFunction()
    twin = ar.adapt(model).clone()
    twin.write("dense", {"kernel": np.zeros((6, 3), np.float32)})
    assert np.allclose(twin.predict(X), model.dense.bias.numpy())
    assert np.abs(model(X) - model.dense.bias).max() > 0.1


@pytest.mark.parametrize("build", [sequential, functional, subclassed])
def test_a_copy_of_a_keras_model_has_its_weights_and_is_of_its_type(build: Any) -> None:
    model = trained(build())
    shape = (6, 6, 2) if build is sequential else (6,)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    twin = ar.adapt(model, example_inputs=x[:1]).clone()
    assert type(twin.native) is type(model)
    pairs = list(zip(model.weights, twin.native.weights, strict=True))
    assert all(np.array_equal(a, b) and a is not b for a, b in pairs)
    assert np.allclose(twin.native(x), model(x), atol=1e-6)


def test_a_subclassed_keras_model_is_copied_without_an_example_too() -> None:
    model = trained(subclassed())
    twin = ar.adapt(model).clone()
    assert np.allclose(twin.predict(X), model(X), atol=1e-6)


def test_a_layer_of_keras_is_a_model_too() -> None:
    layer = keras.layers.Dense(3)
    layer.build((None, 6))
    adapter = ar.adapt(layer, example_inputs=X[:1])
    twin = adapter.clone()
    twin.write("Dense", {"kernel": np.zeros((6, 3), np.float32)})
    assert not twin.predict(X).any()
    assert adapter.predict(X).any()


def test_a_submodule_that_appears_twice_is_one_layer() -> None:
    class Twice(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.dense = Dense(1, 6, 6)
            self.loop = [self, self.dense]

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.again(tf.nn.relu(self.dense(x)))

    adapter = ar.adapt(Twice(), example_inputs=X[:1])
    (layer,) = adapter.layers()
    assert (layer.name, layer.size, layer.aliases) == ("again", 42, ())
    twin = adapter.clone()
    assert twin.native.again is twin.native.dense


def test_layers_of_one_name_are_told_apart_by_their_attributes() -> None:
    class Twins(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.one = keras.layers.Dense(6, name="dense")
            self.two = keras.layers.Dense(3, name="dense")
            self.module = Dense(1, 3, 3)

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return self.module(self.two(self.one(x)))

    model = Twins()
    model(X)
    names = [layer.name for layer in ar.adapt(model, example_inputs=X[:1]).layers()]
    assert names == ["dense", "two", "module"]


def test_copying_draws_from_no_generator() -> None:
    x = keras.Input((6,))
    model = keras.Model(x, keras.layers.Dense(3)(keras.layers.Dropout(0.5)(x)))
    adapter = ar.adapt(model, example_inputs=X[:1])
    drawn = []
    for copies in (0, 1):
        keras.utils.set_random_seed(2)
        state = random.getstate()
        for _ in range(copies):
            adapter.clone()
        assert random.getstate() == state
        made = keras.initializers.GlorotUniform()((3,))
        drawn.append([*made.numpy(), *tf.random.normal([2]).numpy(), *np.random.random(2)])
    assert drawn[0] == drawn[1]


def test_tied_layers_of_keras_are_listed_once() -> None:
    adapter = ar.adapt(untied(), example_inputs=X[:1])
    assert [(layer.name, layer.size, layer.aliases) for layer in adapter.layers()] == [
        ("first", 42, ("second/kernel",)),
        ("second", 6, ()),
    ]


def test_a_variable_that_only_tensorflow_finds_belongs_to_the_root() -> None:
    class Box:
        """A container that TensorFlow can look into, and that is no list or dict."""

        def __init__(self, variable: tf.Variable) -> None:
            self.variable = variable

        def __tf_flatten__(self) -> Any:
            return (), (self.variable,)

        @classmethod
        def __tf_unflatten__(cls, _: Any, parts: Any) -> Any:
            return cls(*parts)

    class Boxed(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)
            self.box = Box(tf.Variable(tf.ones((3,)), name="boxed"))
            self.mean = Box(tf.Variable(tf.zeros((3,)), trainable=False, name="mean"))

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.nn.batch_normalization(
                self.dense(x), self.mean.variable, tf.ones(3), None, self.box.variable, 0.001
            )

    model = Boxed()
    assert len(model.variables) == 4
    adapter = ar.adapt(model, example_inputs=X[:1])
    assert [layer.name for layer in adapter.layers()] == ["dense", "boxed", "mean"]
    assert [p.role for layer in adapter.layers() for p in layer.statistics] == ["mean"]
    twin = adapter.clone()
    twin.write("boxed", {"boxed": np.zeros(3, np.float32)})
    assert not twin.predict(X).any()
    assert adapter.predict(X).any()


def test_metrics_and_optimizers_are_no_layers() -> None:
    model = trained(functional())
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, np.zeros((9, 3)), verbose=0)
    model.extra = keras.metrics.Mean(name="extra")
    names = [layer.name for layer in ar.adapt(model, example_inputs=X[:1]).layers()]
    assert names == ["shared", "inner/dense", "head"]

    class Metric(tf.Module):
        """A user's module of that name is one."""

        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(1, 6, 3)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.dense(x)

    assert [layer.name for layer in ar.adapt(Metric()).layers()] == ["dense"]


def test_a_clone_of_a_clone_is_a_copy_of_the_present_weights() -> None:
    first = ar.adapt(MLP(), example_inputs=X[:1])
    second = first.clone()
    second.write("head", {"bias": np.full(3, 5.0, np.float32)})
    third = second.clone()
    assert np.array_equal(third.predict(X), second.predict(X))
    second.write("head", {"bias": np.zeros(3, np.float32)})
    assert np.allclose(third.predict(X) - second.predict(X), 5.0, atol=1e-5)
