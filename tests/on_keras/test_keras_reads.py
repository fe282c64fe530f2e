"""What a forward pass computes with: the copy's own weights, all of them, and nothing else that was learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_cases import biased, built, host

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = np.random.default_rng(0).standard_normal((12, 8)).astype("f")
FULL = ar.FullRandomization()
ON_TENSORFLOW, ON_TORCH, ON_JAX = (keras.backend.backend() == name for name in ("tensorflow", "torch", "jax"))


class Net(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = layers.Dense(16, name="body"), layers.Dense(3, name="head")
        self.read: Callable[[Any], Any] | None = None

    def call(self, x):
        read = self.head if self.read is None else self.read
        return read(ops.relu(self.body(x)))


OUTER: list[Net] = []


def in_a_generator(x):
    return sum(OUTER[0].head(part) for part in (x,))


def in_a_nested_function(x):
    def inner(part):
        return OUTER[0].head(part)

    return inner(x)


def metric(net: keras.Model, strategy: Any = FULL, **options: Any) -> ar.ModelRandomizationMetric:
    return ar.ModelRandomizationMetric(net, X, randomization_strategy=strategy, seed=0, **options)


@pytest.mark.parametrize("read", [in_a_generator, in_a_nested_function])
def test_a_copy_that_reads_the_original_is_refused_and_works_in_place(monkeypatch, read):
    monkeypatch.setattr("test_keras_reads.OUTER", [built(Net(), 8)])
    OUTER[0].read = read
    with pytest.raises(ModelError, match=r"reads head\.bias, head\.kernel of the original"):
        metric(OUTER[0]).run("gradient")
    with pytest.raises(ModelError, match=r"reads head\.bias, head\.kernel of the original"):
        FULL.randomize(OUTER[0], seed=0, example_inputs=X[:1])
    assert metric(OUTER[0], isolation="in_place").run("gradient").mean()[-1] < 0.9


def test_forward_that_calls_the_outer_model_is_refused_and_works_in_place():
    net = built(Net(), 8)

    def forward(_, inputs):
        return net(inputs)

    with pytest.raises(ModelError, match=r"reads body\.bias.*Let forward= "):
        metric(net, forward=forward).run("gradient")
    assert metric(net, forward=forward, isolation="in_place").run("gradient").mean()[-1] < 0.9


def test_a_copy_that_its_config_gives_is_taken_where_the_other_would_read_the_original():
    class Closed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)
            self.apply = lambda x: sum(self.dense(part) for part in (x,))

        def call(self, x):
            return self.apply(x)

        def get_config(self):
            return {}

    model = built(Closed(), 8)
    result = metric(model).run("gradient")
    assert result.coverage == 1
    assert result.mean()[-1] < 0.9


class TwoHeads(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layers.Dense(6, name="first"), layers.Dense(6, name="second")
        self.cls, self.aux = layers.Dense(3, name="cls"), layers.Dense(2, name="aux")

    def call(self, x):
        h = ops.relu(self.second(ops.relu(self.first(x))))
        return {"cls": self.cls(h), "aux": self.aux(h)}


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_a_head_that_forward_leaves_out_is_in_no_step_and_is_named(isolation):
    net = built(TwoHeads(), 8)
    cascade = ar.CascadingRandomization()
    result = metric(net, cascade, forward=lambda m, x: m(x)["cls"], isolation=isolation).run("gradient")
    assert [step.name for step in result.steps] == ["cls", "second", "first"]
    assert result.steps[-1].coverage == 1
    assert result.steps[-1].total == 8 * 6 + 6 + 6 * 6 + 6 + 6 * 3 + 3
    assert result.settings["unused_parameters"] == ["aux"]
    assert any("do not depend on aux" in finding for finding in result.findings)
    assert result.mean()[-1] < 0.9


def test_a_recurrent_net_whose_second_output_is_left_out():
    inputs = keras.Input((4, 2))
    shared = layers.LSTM(3, return_sequences=True, name="shared")(inputs)
    heads = [layers.Dense(3)(layers.GRU(4, name=name)(shared)) for name in ("used", "unused")]
    model = biased(keras.Model(inputs, heads))
    adapter = ar.adapt(model, example_inputs=np.ones((1, 4, 2), "f"), forward=lambda m, x: m(x)[0])
    unused = {layer.name.split("/")[0] for layer in adapter.layers() if not layer.used}
    assert unused == {"unused", model.layers[-1].name}


def array(values):
    return keras.ops.convert_to_tensor(np.asarray(values, "float32"))


class Fixed(layers.Layer):
    """Scales by an array and a variable that are no weights; two more do not matter."""

    def __init__(self) -> None:
        super().__init__(name="fixed")
        self.table = [array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])]
        self.idle = array([1.0, 2.0])

    def build(self, shape):
        self.scale = self.add_weight(shape=(6,), initializer="ones", trainable=False, name="scale")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x):
        return x * self.table[0] * self.scale + 0 * ops.cast(ops.shape(self.idle)[0], "float32")


def test_arrays_that_the_outputs_depend_on_are_told():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6), Fixed(), layers.Dense(3)])
    result = metric(model).run("gradient")
    assert sorted(result.settings["other_arrays"]) == ["fixed/scale", "fixed/table/0"]
    assert any("fixed/scale" in finding for finding in result.findings)


class Kept(layers.Layer):
    """A linear layer whose weight was computed once, outside of the forward pass."""

    def build(self, shape):
        self.v = self.add_weight(shape=(shape[-1], 6), name="v")
        self.made = self.v.value * 2

    def call(self, x):
        return x @ self.made


def test_a_weight_that_was_kept_from_before_is_told_or_refused():
    model = keras.Sequential([keras.Input((8,)), Kept(name="kept"), layers.ReLU(), layers.Dense(3)])
    model.get_layer("kept").made = model.get_layer("kept").v.value * 2
    if ON_TORCH:
        with pytest.raises(ModelError, match="others that are learned: kept/made"):
            metric(model)
        return
    result = metric(model).run("gradient")
    assert result.settings["unused_parameters"] == ["kept"]
    assert result.settings["other_arrays"] == ["kept/made"]


def test_a_model_that_computes_with_none_of_its_parameters_is_refused():
    with pytest.raises(ModelError, match="depend on none"):
        metric(built(Net(), 8), forward=lambda _, x: ops.relu(x)[:, :3])


@pytest.mark.skipif(ON_JAX, reason="JAX has no variables of its own")
@pytest.mark.parametrize("place", ["attribute", "list", *(["module"] if ON_TENSORFLOW else [])])
@pytest.mark.parametrize("options", [{}, {"example_inputs": X[:1]}])
def test_variables_of_the_framework_in_a_layer_are_refused_with_and_without_an_example(place, options):
    class Raw(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="raw")
            self.held = hold(variable(np.eye(8, dtype="f")), place)

        def call(self, x):
            return x @ unhold(self.held, place)

    model = keras.Sequential([keras.Input((8,)), Raw(), layers.Dense(3)])
    with pytest.raises(ModelError, match=r"others that are learned: .*Variable"):
        FULL.randomize(model, seed=0, **options)


def variable(value):
    if ON_TORCH:
        import torch

        return torch.nn.Parameter(torch.from_numpy(value))
    import tensorflow as tf

    return tf.Variable(value, name="plain")


def hold(value, place):
    if place == "list":
        return {"all": [value]}
    if place == "module":
        import tensorflow as tf

        module = tf.Module()
        module.weight = value
        return module
    return value


def unhold(held, place):
    return held["all"][0] if place == "list" else held.weight if place == "module" else held


@pytest.mark.skipif(not ON_TENSORFLOW, reason="a variable of TensorFlow")
def test_a_variable_that_a_function_closes_over_is_refused_where_an_example_shows_it():
    outside = variable(np.ones(3, "f"))
    model = built(Net(), 8)
    with pytest.raises(ModelError, match="others that are learned: plain"):
        metric(model, forward=lambda m, x: m(x) * outside)


@pytest.mark.skipif(not ON_TORCH, reason="a context of PyTorch")
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_autocast_and_cached_parametrizations_around_a_run_use_the_new_weights(isolation):
    import torch
    from torch.nn.utils import parametrizations, parametrize

    inner = parametrizations.weight_norm(torch.nn.Linear(8, 16))
    wrapper = layers.TorchModuleWrapper(inner, output_shape=(None, 16))
    model = keras.Sequential([keras.Input((8,)), wrapper, layers.ReLU(), layers.Dense(4)])
    plain = metric(model).run("gradient").mean()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(X)
        cast = metric(model, isolation=isolation).run("gradient").mean()
        assert torch.is_autocast_cache_enabled()
    assert cast == pytest.approx(plain, abs=0.1)
    with parametrize.cached():
        model(X)
        kept = dict(parametrize._cache)
        assert metric(model, isolation=isolation).run("gradient").mean() == pytest.approx(plain)
        assert parametrize._cache == kept


@pytest.mark.skipif(not ON_TORCH, reason="a cache in a module of PyTorch")
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_weights_that_are_read_no_more_because_of_a_cache_are_refused(isolation):
    import torch

    class Caching(torch.nn.Linear):
        def forward(self, x):
            if not hasattr(self, "kept"):
                self.kept = self.weight.detach() * 2
            return torch.nn.functional.linear(x, self.kept, self.bias)

    wrapper = layers.TorchModuleWrapper(Caching(8, 6), output_shape=(None, 6))
    model = keras.Sequential([keras.Input((8,)), wrapper, layers.ReLU(), layers.Dense(3)])
    before = [host(v) for v in model.weights]
    with pytest.raises(ModelError, match="no longer reads torch_module_wrapper"):
        metric(model, isolation=isolation).run("gradient")
    assert all(np.array_equal(old, host(v)) for old, v in zip(before, model.weights, strict=True))


@pytest.mark.skipif(ON_TORCH, reason="nothing is compiled")
def test_a_look_compiles_nothing_and_a_run_as_much_as_before():
    adapter = ar.adapt(built(Net(), 8), example_inputs=X[:1])
    copy = adapter.clone()
    copy.reads(adapter.asarray(X[:1]), adapter)
    assert copy.reads(adapter.asarray(X), copy).parameters
    assert not copy.traces
