"""A model whose functions are bound to its trained arrays would stay trained: it is refused."""

from __future__ import annotations

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
