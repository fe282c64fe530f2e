"""Torch modules inside Keras layers, where Keras runs on torch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from keras_cases import host

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

if keras.backend.backend() != "torch":
    pytest.skip("torch modules need Keras on torch", allow_module_level=True)

import torch

X = np.random.default_rng(4).normal(size=(6, 8)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2])


class Nested(keras.Model):
    def __init__(self, inner: keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def module() -> torch.nn.Module:
    made = torch.nn.Sequential(
        torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Dropout(0.5)
    )
    with torch.no_grad():
        made[1].running_mean.copy_(torch.arange(8.0) / 8)
        made[1].running_var.fill_(2.0)
    return made


def sequential(inner: torch.nn.Module) -> keras.Model:
    model = keras.Sequential([keras.Input((8,)), layers.TorchModuleWrapper(inner), layers.Dense(3)])
    # Keras knows no shape of what a torch module puts out before.
    model(X, training=False)
    return model


def functional(inner: torch.nn.Module) -> keras.Model:
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(3)(layers.TorchModuleWrapper(inner, output_shape=(None, 8))(inputs)))


def subclassed(inner: torch.nn.Module) -> keras.Model:
    model = Nested(sequential(inner))
    model(X, training=False)
    return model


BUILDS = [sequential, functional, subclassed]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("build", BUILDS)
def test_modes_and_statistics_of_torch_modules_stay(build, training):
    inner = module()
    model = build(inner)
    inner.train(training)
    inner[3].train(not training)
    modes = [part.training for part in inner.modules()]
    state = {name: value.clone() for name, value in inner.state_dict().items()}
    adapter = ar.adapt(model, example_inputs=X[:2])
    inputs, labels = adapter.asarray(X), adapter.asarray(LABELS)
    uses = (
        lambda: adapter.predict(inputs),
        lambda: adapter.gradient(inputs, labels),
        lambda: adapter.gradient(inputs, labels, relu="guided"),
        lambda: adapter.layer_shapes(inputs),
        adapter.clone,
        lambda: ar.ModelRandomizationMetric(model, X, LABELS, seed=0, isolation="in_place").run("saliency"),
    )
    for use in uses:
        use()
        assert [part.training for part in inner.modules()] == modes
        assert all(torch.equal(value, state[name]) for name, value in inner.state_dict().items())
    assert all(parameter.requires_grad for parameter in inner.parameters())


@pytest.mark.parametrize("build", BUILDS)
def test_running_statistics_of_torch_modules_are_listed_and_reset(build):
    inner = module()
    model = build(inner)
    adapter = ar.adapt(model, example_inputs=X[:2])
    wrapped = next(layer for layer in adapter.layers() if layer.kind == "TorchModuleWrapper")
    assert [(p.name, p.role) for p in wrapped.statistics] == [
        ("1.running_mean", "mean"),
        ("1.running_var", "variance"),
    ]
    assert wrapped.size == sum(parameter.numel() for parameter in inner.parameters())
    np.testing.assert_array_equal(adapter.read(wrapped.name)["1.running_mean"], host(inner[1].running_mean))
    outputs = host(adapter.predict(adapter.asarray(X)))
    copy = ar.FullRandomization(statistics="reset").randomize(model, seed=0)
    random = ar.adapt(copy, example_inputs=X[:2])
    np.testing.assert_array_equal(random.read(wrapped.name)["1.running_mean"], np.zeros(8))
    np.testing.assert_array_equal(random.read(wrapped.name)["1.running_var"], np.ones(8))
    np.testing.assert_array_equal(host(adapter.predict(adapter.asarray(X))), outputs)
    assert inner[1].running_var[0] == 2
    with pytest.raises(ModelError, match="statistics='reset' or 'keep'"):
        adapter.estimate_statistics(adapter.asarray(X), [wrapped.name])


def test_a_plain_parameter_inside_a_layer_of_a_sequential_model_is_refused():
    class Raw(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.raw = torch.nn.Parameter(torch.ones(8))

        def call(self, x):
            return x * self.raw

    model = keras.Sequential([keras.Input((8,)), Raw(), layers.Dense(3)])
    with pytest.raises(ModelError, match=r"others that are learned: raw\w*/raw.*torch\.nn\.Parameter"):
        ar.adapt(model).clone()
    with pytest.raises(ModelError, match=r"others that are learned: raw\w*/raw"):
        ar.adapt(model, example_inputs=X[:1])


class Noisy(torch.nn.Module):
    """Draws in evaluation mode, too."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(X.shape[1], 3)

    def forward(self, x):
        return torch.nn.functional.dropout(self.body(x), 0.5)


def test_a_torch_module_that_draws_draws_the_same_and_leaves_no_trace():
    model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.TorchModuleWrapper(Noisy())])
    before = torch.get_rng_state()
    adapter = ar.adapt(model, example_inputs=X[:2])
    inputs = adapter.asarray(X)
    first = adapter.predict(inputs)
    assert torch.equal(adapter.predict(inputs), first)
    ar.ModelRandomizationMetric(model, X, seed=0).run("gradient")
    assert torch.equal(torch.get_rng_state(), before)
