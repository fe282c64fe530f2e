"""Layers and parameters have names of their own, and tied arrays are one parameter."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from flax import linen as nn
from flax import nnx

import agnostic_rand as ar


def square(number):
    return jnp.asarray(np.random.default_rng(number).standard_normal((6, 6)), jnp.float32)


class NnxNet(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        inner = nnx.Dict({"b": nnx.Linear(6, 6, rngs=rngs)})
        self.d = nnx.Dict({"a.b": nnx.Linear(6, 6, rngs=rngs), "a": inner})

    def __call__(self, x):
        return self.d["a"]["b"](nnx.relu(self.d["a.b"](x)))


class EquinoxNet(eqx.Module):
    d: dict

    def __init__(self):
        keys = jax.random.split(zoo.KEY)
        self.d = {"a.b": eqx.nn.Linear(6, 6, key=keys[0]), "a": {"b": eqx.nn.Linear(6, 6, key=keys[1])}}

    def __call__(self, x):
        return self.d["a"]["b"](jax.nn.relu(self.d["a.b"](x)))


class LinenInner(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(6, name="b")(x)


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        return LinenInner(name="a")(nn.relu(nn.Dense(6, name="a/b")(x)))


def haiku_apply(p, x):
    return jax.nn.relu(x @ p["a/b"]["w"]) @ p["a"]["b"]["w"]


COLLIDING = {
    "nnx": NnxNet(),
    "equinox": EquinoxNet(),
    "linen": zoo.linen_pair(LinenNet(), zoo.VECTORS),
    "bare": (haiku_apply, {"a/b": {"w": square(0)}, "a": {"b": {"w": square(1)}}}),
}


@pytest.mark.parametrize("model", COLLIDING.values(), ids=COLLIDING)
def test_layers_whose_paths_read_the_same_are_two(model):
    adapter = ar.adapt(model, example_inputs=zoo.VECTORS[:1])
    names = [layer.name for layer in adapter.layers()]
    assert len(names) == len(set(names)) == 2
    assert sorted(names)[1] == sorted(names)[0] + "_1"
    before = [adapter.read(name) for name in names]
    other = ar.adapt(ar.FullRandomization().randomize(model, seed=0, example_inputs=zoo.VECTORS[:1]))
    for name, old in zip(names, before, strict=True):
        new = other.read(name)
        assert set(new) == set(old)
        assert all((new[key] != old[key]).any() for key in new if np.std(old[key]) > 0)


@pytest.mark.parametrize("name", ["nnx", "equinox", "linen"])
def test_such_layers_are_two_from_inside_as_well(name):
    adapter = ar.adapt(COLLIDING[name], example_inputs=zoo.VECTORS[:1])
    first, last = (layer.name for layer in adapter.layers())
    x = adapter.asarray(zoo.VECTORS)
    targets = adapter.asarray(np.zeros(len(zoo.VECTORS), np.int64))
    outputs = adapter.predict(x)
    np.testing.assert_allclose(adapter.layer_gradient(x, targets, last)[0], outputs, rtol=1e-5, atol=1e-6)
    assert not np.allclose(adapter.layer_gradient(x, targets, first)[0], outputs)
    assert {first, last} <= set(adapter.layer_shapes(x))


def test_parameters_of_one_layer_whose_paths_read_the_same_are_two():
    class Inner(eqx.Module):
        d: dict

        def __call__(self, x):
            return self.d["a"]["b"] @ (self.d["a.b"] @ x)

    model = eqx.nn.Sequential([Inner({"a.b": square(0), "a": {"b": square(1)}}), eqx.nn.Linear(6, 2, key=zoo.KEY)])
    adapter = ar.adapt(model)
    held = adapter.read("layers.0")
    assert set(held) == {"d.a.b", "d.a.b_1"}
    adapter.write("layers.0", {name: value + 1 for name, value in held.items()})
    np.testing.assert_allclose(adapter.native.layers[0].d["a.b"], square(0) + 1, rtol=1e-6)
    np.testing.assert_allclose(adapter.native.layers[0].d["a"]["b"], square(1) + 1, rtol=1e-6)


def test_one_array_in_two_places_of_a_bare_pair_is_one_parameter():
    def apply(p, x):
        return jax.nn.relu(x @ p["e"]["w"]) @ p["o"]["w"].T

    shared = square(0)
    pair = (apply, {"e": {"w": shared}, "o": {"w": shared}})
    (layer,) = ar.adapt(pair, example_inputs=zoo.VECTORS[:1]).layers()
    assert (layer.name, layer.aliases, layer.size) == ("e", ("o/w",), 36)
    other = ar.FullRandomization().randomize(pair, seed=0, example_inputs=zoo.VECTORS[:1])[1]
    np.testing.assert_array_equal(other["e"]["w"], other["o"]["w"])
    assert (np.asarray(other["e"]["w"]) != np.asarray(shared)).all()


def test_equal_arrays_that_are_two_objects_are_two_parameters():
    pair = (haiku_apply, {"a/b": {"w": jnp.ones((6, 6))}, "a": {"b": {"w": jnp.ones((6, 6))}}})
    assert len(ar.adapt(pair).layers()) == 2


def test_an_equinox_module_in_two_places_is_one_layer():
    layer = eqx.nn.Linear(6, 6, key=zoo.KEY)
    model = eqx.nn.Sequential([layer, eqx.nn.Lambda(jax.nn.relu), layer])
    adapter = ar.adapt(model, example_inputs=zoo.VECTORS[:1])
    (found,) = adapter.layers()
    assert (found.name, set(found.aliases)) == ("layers.0", {"layers.2.weight", "layers.2.bias"})
    other = ar.FullRandomization().randomize(model, seed=0, example_inputs=zoo.VECTORS[:1])
    np.testing.assert_array_equal(other.layers[0].weight, other.layers[2].weight)
    assert (np.asarray(other.layers[0].weight) != np.asarray(layer.weight)).all()
    x = adapter.asarray(zoo.VECTORS)
    assert set(adapter.layer_shapes(x)) >= {"layers.0", "layers.2"}
