"""A model whose functions are bound to its trained arrays would stay trained: it is refused."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

W = jnp.asarray(zoo.RNG.standard_normal((6, 6)), jnp.float32)
HOST = np.asarray(W)
HEAD = jnp.asarray(zoo.RNG.standard_normal((6, 3)), jnp.float32)


class NnxClosure(nnx.Module):
    def __init__(self, twice=False):
        rngs = nnx.Rngs(0)
        self.body = nnx.Linear(6, 6, rngs=rngs)
        self.head = nnx.Linear(6, 3, rngs=rngs)
        self.function = lambda x: self.body(x)
        self.twice = twice

    def __call__(self, x):
        x = self.body(x) if self.twice else x
        return self.head(nnx.relu(self.function(x)))


class EquinoxClosure(eqx.Module):
    body: eqx.nn.Linear
    head: eqx.nn.Linear
    function: object

    def __init__(self):
        self.body = eqx.nn.Linear(6, 6, key=zoo.KEY)
        self.head = eqx.nn.Linear(6, 3, key=zoo.KEY)
        self.function = lambda x: self.body(x)

    def __call__(self, x):
        return self.head(jax.nn.relu(self.function(x)))


def looped(p, x):
    x, _ = jax.lax.scan(lambda x, _: (jax.nn.relu(x @ W), None), x, None, length=2)
    return x @ p["head"]["w"]


PARAMS = {"body": {"w": W}, "head": {"w": HEAD}}
BOUND = {
    "nnx": NnxClosure(),
    "nnx_that_uses_it_as_well": NnxClosure(twice=True),
    "equinox": EquinoxClosure(),
    "bare": (lambda p, x: jax.nn.relu(x @ W) @ p["head"]["w"], PARAMS),
    "bare_numpy": (lambda p, x: jax.nn.relu(x @ HOST) @ p["head"]["w"], PARAMS),
    "bare_jit": (jax.jit(lambda p, x: jax.nn.relu(x @ W) @ p["head"]["w"]), PARAMS),
    "bare_scan": (looped, PARAMS),
}


@pytest.mark.parametrize("model", BOUND.values(), ids=BOUND)
def test_a_function_that_is_bound_to_a_parameter_is_refused(model):
    with pytest.raises(ModelError, match=r"body.*bound to the array itself.*apply\(params, inputs\)"):
        ar.adapt(model, example_inputs=zoo.VECTORS[:2])


def test_fixed_arrays_that_are_no_parameters_are_kept():
    fixed = jnp.asarray(zoo.RNG.standard_normal((6, 6)), jnp.float32)
    # The unused bias equals the array of zeros in the function by chance.
    params = {"head": {"w": HEAD}, "spare": {"b": jnp.zeros(6)}}
    adapter = ar.adapt(
        (lambda p, x: jax.nn.relu(x @ fixed + np.zeros(6, np.float32)) @ p["head"]["w"], params),
        example_inputs=zoo.VECTORS[:2],
    )
    assert [layer.name for layer in adapter.layers()] == ["head", "spare"]


@pytest.mark.parametrize("name", ["nnx", "equinox"])
def test_without_an_example_such_a_model_is_not_copied(name):
    with pytest.raises(ModelError, match=r"<lambda>' in the model .*example_inputs"):
        ar.FullRandomization().randomize(BOUND[name], seed=0)


class NnxMethod(NnxClosure):
    def __init__(self):
        super().__init__()
        self.function = self.through_body

    def through_body(self, x):
        return self.body(x)


def test_a_bound_method_among_the_attributes_of_an_nnx_module_is_bound_to_it_as_well():
    with pytest.raises(ModelError, match="bound to the array itself"):
        ar.adapt(NnxMethod(), example_inputs=zoo.VECTORS[:2])
    with pytest.raises(ModelError, match=r"through_body.*example_inputs"):
        ar.FullRandomization().randomize(NnxMethod(), seed=0)


@pytest.mark.parametrize("function", [jax.nn.relu, lambda x: 2 * x, partial(jnp.clip, min=0)])
def test_functions_that_are_bound_to_nothing_are_copied(function):
    model = NnxClosure()
    model.function = function
    assert ar.FullRandomization().randomize(model, seed=0).function is not None
    other = eqx.nn.MLP(6, 3, 5, 1, activation=function, key=zoo.KEY)
    assert ar.FullRandomization().randomize(other, seed=0)


def test_a_bound_method_among_the_attributes_of_an_equinox_module_is_part_of_it():
    class Body(eqx.nn.Linear):
        def through(self, x):
            return self(x)

    class Net(eqx.Module):
        body: Body
        function: object

        def __init__(self):
            self.body = Body(6, 3, key=zoo.KEY)
            self.function = self.body.through

        def __call__(self, x):
            return self.function(x)

    model = Net()
    (layer,) = ar.adapt(model, example_inputs=zoo.VECTORS[:2]).layers()
    other = ar.FullRandomization().randomize(model, seed=0, example_inputs=zoo.VECTORS[:2])
    assert layer.aliases
    assert not np.allclose(other(zoo.VECTORS[0]), model(zoo.VECTORS[0]))
    np.testing.assert_allclose(other(zoo.VECTORS[0]), other.body(zoo.VECTORS[0]), rtol=1e-5, atol=1e-6)
