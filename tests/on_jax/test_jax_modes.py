"""A model that could train is evaluated, or refused with what to pass."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from flax import linen as nn
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.errors import ModelError


class Net(nnx.Module):
    def __init__(self, drop=True):
        rngs = nnx.Rngs(0)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs) if drop else lambda x, **_: x
        self.head = nnx.Linear(6, 3, rngs=rngs)

    def parts(self, x, train):
        return self.head(self.drop(self.norm(x, use_running_average=not train), deterministic=not train))


class ByTrain(Net):
    def __call__(self, x, train=True):
        return self.parts(x, train)


class ByRequired(Net):
    def __call__(self, x, *, is_training):
        return self.parts(x, is_training)


class ByDeterministic(Net):
    def __call__(self, x, deterministic: bool = False):
        return self.parts(x, not deterministic)


class ByAttribute(Net):
    def __init__(self, drop=True):
        super().__init__(drop)
        self.training = True

    def __call__(self, x):
        return self.parts(x, self.training)


class DropByAttribute(ByAttribute):
    def __call__(self, x):
        return self.head(self.drop(self.norm(x), deterministic=not self.training))


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = True):
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


class LinenByDeterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic=False):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=deterministic)(x))


class LinenByField(nn.Module):
    training: bool = True

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not self.training)(x))


class LinenStatisticsByField(nn.Module):
    training: bool = True

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not self.training)(x))


@pytest.mark.parametrize("kind", [ByTrain, ByRequired, ByDeterministic])
def test_an_nnx_call_with_a_flag_is_told_to_evaluate(kind):
    model = kind()
    model.norm.mean.set_value(jnp.arange(6.0))
    adapter = ar.adapt(model, example_inputs=zoo.VECTORS[:2])
    expected = model.parts(zoo.VECTORS, False)
    np.testing.assert_allclose(adapter.predict(adapter.asarray(zoo.VECTORS)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "sign"), [(ByAttribute(drop=False), "running statistics"), (DropByAttribute(), "random draws")]
)
def test_an_nnx_module_that_keeps_training_is_refused_until_its_flag_is_set(model, sign):
    with pytest.raises(ModelError, match=rf"training mode: .*{sign}.*forward=lambda.*train=False"):
        ar.adapt(model, example_inputs=zoo.VECTORS[:2])
    untraced = ar.adapt(model)
    with pytest.raises(ModelError, match=sign):
        untraced.predict(untraced.asarray(zoo.VECTORS))
    model.training = False
    adapter = ar.adapt(model, example_inputs=zoo.VECTORS[:2])
    expected = model.parts(zoo.VECTORS, False)
    np.testing.assert_allclose(adapter.predict(adapter.asarray(zoo.VECTORS)), expected, rtol=1e-5, atol=1e-5)


def test_a_forward_that_trains_is_refused_too():
    with pytest.raises(ModelError, match="running statistics"):
        ar.adapt(ByTrain(drop=False), forward=lambda model, x: model(x), example_inputs=zoo.VECTORS[:2])


def test_counters_and_statistics_that_a_loop_puts_back_do_not_mean_training():
    class Looped(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            # A cell takes a key for its first state, which is zero.
            self.cells = nnx.RNN(nnx.GRUCell(5, 4, rngs=rngs), rngs=rngs)
            self.norms = nnx.vmap(lambda rngs: nnx.BatchNorm(4, rngs=rngs), in_axes=0, out_axes=0)(rngs.split(2))
            self.head = nnx.Linear(4, 3, rngs=rngs)

        def __call__(self, x):
            x = self.cells(x)[:, -1]
            step = nnx.scan(lambda x, norm: norm(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
            return self.head(step(x, self.norms))

    adapter = ar.adapt(Looped(), example_inputs=zoo.SEQUENCES[:2])
    assert adapter.predict(adapter.asarray(zoo.SEQUENCES)).shape == (5, 3)


def test_inputs_that_are_named_like_a_flag_stay_inputs():
    class Gated(nnx.Module):
        def __init__(self):
            self.head = nnx.Linear(6, 3, rngs=nnx.Rngs(0))

        def __call__(self, x, train):
            return self.head(x * train)

    model, gate = Gated(), np.full((8, 6), 2, np.float32)
    adapter = ar.adapt(model)
    for side in ((None, jnp.asarray(gate)), {"x": None, "train": jnp.asarray(gate)}):
        told = adapter.beside(side)
        expected = model(zoo.VECTORS, gate)
        np.testing.assert_allclose(told.predict(told.asarray(zoo.VECTORS)), expected, rtol=1e-5, atol=1e-6)


def test_statistics_are_estimated_whatever_the_call_tells_the_layer():
    adapter = ar.adapt(ByTrain(), example_inputs=zoo.VECTORS[:2])
    found = adapter.estimate_statistics(adapter.asarray(zoo.VECTORS), ["norm"])["norm"]
    np.testing.assert_allclose(found["mean"], zoo.VECTORS.mean(0), rtol=1e-4, atol=1e-5)


def test_a_flag_turns_dropout_on_in_training():
    labels = np.zeros(8, np.int64)

    def loss(seed):
        return ar.adapt(ByRequired()).trainer(learning_rate=0.0, seed=seed)(zoo.VECTORS, labels)[0]

    assert loss(0) != loss(1)


@pytest.mark.parametrize(
    ("module", "evaluated"),
    [(LinenNet(), {"train": False}), (LinenByDeterministic(), {"deterministic": True})],
    ids=["train", "deterministic"],
)
def test_a_linen_call_with_a_flag_is_told_to_evaluate(module, evaluated):
    variables = module.init({"params": zoo.KEY, "dropout": zoo.KEY}, zoo.VECTORS)
    adapter = ar.adapt((module, variables), example_inputs=zoo.VECTORS[:2])
    expected = module.apply(variables, zoo.VECTORS, **evaluated)
    np.testing.assert_allclose(adapter.predict(adapter.asarray(zoo.VECTORS)), expected, rtol=1e-5, atol=1e-6)
    fresh = adapter.native_init("Dense_0", 0)
    assert set(fresh) == {"kernel", "bias"}


def test_a_flag_that_a_linen_module_was_made_with_is_not_passed_again():
    class Merged(nn.Module):
        deterministic: bool | None = None

        @nn.compact
        def __call__(self, x, deterministic=None):
            drops = nn.merge_param("deterministic", self.deterministic, deterministic)
            return nn.Dense(3)(nn.Dropout(0.5, deterministic=drops)(x))

    for module in (Merged(True), Merged()):
        variables = Merged(True).init(zoo.KEY, zoo.VECTORS)
        adapter = ar.adapt((module, variables), example_inputs=zoo.VECTORS[:2])
        expected = Merged(True).apply(variables, zoo.VECTORS)
        np.testing.assert_allclose(adapter.predict(adapter.asarray(zoo.VECTORS)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", [LinenByField(), LinenStatisticsByField()], ids=["dropout", "statistics"])
def test_a_linen_module_that_keeps_training_is_refused_with_what_to_pass(module):
    variables = jax.tree.map(jnp.asarray, module.init({"params": zoo.KEY, "dropout": zoo.KEY}, zoo.VECTORS))
    with pytest.raises(ModelError, match=r"training mode.*model\[0\]\.apply\(model\[1\], x, train=False\)"):
        ar.adapt((module, variables), example_inputs=zoo.VECTORS[:2])
