"""The forms of a ReLU that JAX can write."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from agnostic_rand.testing import Rectified

Function = Callable[[jax.Array], jax.Array]
INFINITY = float("inf")


@jax.custom_jvp
def own_relu(x):
    return jnp.maximum(x, 0)


own_relu.defjvp(lambda x, t: (own_relu(x[0]), jnp.where(x[0] > 0, t[0], 0)))


@jax.custom_vjp
def own_vjp_relu(x):
    return jnp.maximum(x, 0)


own_vjp_relu.defvjp(lambda x: (own_vjp_relu(x), x > 0), lambda positive, g: (jnp.where(positive, g, 0),))


def same(x):
    return jnp.flip(jnp.flip(x))


def with_a_constant_of_the_loop(x):
    zeros = jnp.zeros(x.shape[1:])
    return jax.lax.scan(lambda _, row: (None, jnp.maximum(row, zeros)), None, x)[1]


def times_a_mask_of_each_element(x):
    return jax.vmap(jax.vmap(jnp.dot))(x, (x > 0).astype(x.dtype))


FORMS: dict[tuple[str, str], Function] = {
    ("relu", "jax.nn"): jax.nn.relu,
    ("relu", "equinox layer"): eqx.nn.Lambda(jax.nn.relu),
    ("relu", "leaky without a slope"): lambda x: jax.nn.leaky_relu(x, 0.0),
    ("relu", "with a derivative of its own"): own_relu,
    ("relu", "with a backward pass of its own"): own_vjp_relu,
    ("relu", "carried by scan"): lambda x: jax.lax.scan(lambda x, _: (jax.nn.relu(x), None), x, None, length=1)[0],
    ("relu", "fori_loop"): lambda x: jax.lax.fori_loop(0, 1, lambda _, x: jax.nn.relu(x), x),
    ("relu", "of a difference of sums"): lambda x: jax.nn.relu(1 - (1 - jnp.diff(jnp.cumsum(x, 1), prepend=0))),
    ("relu", "cond"): lambda x: jax.lax.cond(x.sum() > -1e9, jax.nn.relu, lambda x: 2 * x, x),
    ("relu", "nested"): jax.jit(jax.checkpoint(jax.vmap(jax.jit(jax.nn.relu)))),
    ("maximum with a number", "on the right"): lambda x: jnp.maximum(x, 0),
    ("maximum with a number", "on the left"): lambda x: jnp.maximum(0.0, x),
    ("maximum with a number", "fmax"): lambda x: jnp.fmax(x, 0),
    ("maximum with a number", "at least"): lambda x: x[..., None].max(-1, initial=0.0),
    ("maximum with a number", "scan"): lambda x: jax.lax.scan(lambda _, r: (None, jnp.maximum(r, 0)), None, x)[1],
    ("maximum with an array of zeros", "zeros_like"): lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    ("maximum with an array of zeros", "NumPy's"): lambda x: jnp.maximum(x, np.zeros(x.shape, np.float32)),
    ("maximum with an array of zeros", "lax"): lambda x: jax.lax.max(x, jnp.zeros((), x.dtype)),
    ("maximum with an array of zeros", "scan"): with_a_constant_of_the_loop,
    ("maximum with an array of zeros", "stacked"): lambda x: jnp.stack([x, jnp.zeros_like(x)]).max(0),
    ("maximum with an array of zeros", "concatenated"): lambda x: jnp.concatenate([x[None], 0 * x[None]]).max(0),
    ("clip from below", "function"): lambda x: jnp.clip(x, min=0),
    ("clip from below", "method"): lambda x: x.clip(0.0),
    ("clip from 0 to infinity", "jnp"): lambda x: jnp.clip(x, 0, INFINITY),
    ("clip from 0 to infinity", "lax"): lambda x: jax.lax.clamp(0.0, x, INFINITY),
    ("where with a number", "greater"): lambda x: jnp.where(x > 0, x, 0),
    ("where with a number", "at least"): lambda x: jnp.where(x >= 0, x, 0.0),
    ("where with a number", "computed twice"): lambda x: jnp.where(same(x) > 0, same(x), 0),
    ("where with a number", "select"): lambda x: jnp.select([x > 0], [x], 0.0),
    ("where with a number", "piecewise"): lambda x: jnp.piecewise(x, [x > 0], [lambda x: x, 0.0]),
    ("where with an array of zeros", "zeros_like"): lambda x: jnp.where(jnp.less(0, x), x, jnp.zeros_like(x)),
    ("where with an array of zeros", "lax"): lambda x: jax.lax.select(x > 0, x, jnp.zeros_like(x)),
    ("where not, with zeros first", "a number"): lambda x: jnp.where(x < 0, 0.0, x),
    ("where not, with zeros first", "not"): lambda x: jnp.where(~(x > 0), jnp.zeros_like(x), x),
    ("where not, with zeros first", "signbit"): lambda x: jnp.where(jnp.signbit(x), 0, x),
    ("times its mask", "operator"): lambda x: x * (x > 0),
    ("times its mask", "cast"): lambda x: jnp.greater(x, 0).astype(x.dtype) * x,
    ("times its mask", "heaviside"): lambda x: x * jnp.heaviside(x, 0.0),
    ("times its mask", "stopped"): lambda x: x * jax.lax.stop_gradient((x > 0).astype(x.dtype)),
    ("times its mask", "einsum"): lambda x: jnp.einsum("ij,ij->ij", x, (x > 0).astype(x.dtype)),
    ("times its mask", "dot"): times_a_mask_of_each_element,
    ("threshold", "cond"): jax.vmap(jax.vmap(lambda v: jax.lax.cond(v > 0, lambda v: v, lambda v: 0.0 * v, v))),
    ("half of the sum with its magnitude", "quotient"): lambda x: (x + jnp.abs(x)) / 2,
    ("half of the sum with its magnitude", "product"): lambda x: 0.5 * (abs(x) + x),
    ("half of the sum with its magnitude", "root"): lambda x: (x + jnp.sqrt(x**2)) / 2,
    ("half of the sum with its magnitude", "difference"): lambda x: x - jnp.minimum(x, 0),
    ("relu6", "jax.nn"): jax.nn.relu6,
    ("clip from 0 to 6", "jnp"): lambda x: jnp.clip(x, 0, 6),
    ("clip from 0 to 6", "lax"): lambda x: jax.lax.clamp(0.0, x, 6.0),
    ("minimum of a relu with 6", "jax.nn"): lambda x: jnp.minimum(jax.nn.relu(x), 6),
    ("minimum of a relu with 6", "maximum"): lambda x: jnp.minimum(6, jnp.maximum(x, 0)),
    ("minimum of a relu with 6", "where"): lambda x: jnp.where(x > 6, 6.0, jnp.where(x > 0, x, 0.0)),
    ("relu of a minimum with 6", "jax.nn"): lambda x: jax.nn.relu(jnp.minimum(x, 6)),
    ("relu of a minimum with 6", "maximum"): lambda x: jnp.maximum(jnp.minimum(6, x), 0),
    ("minimum of a relu with 4", "jax.nn"): lambda x: jnp.clip(jax.nn.relu(x), max=4),
}


def rectified_forms() -> tuple[Rectified, ...]:
    """Each form as the first or as the second ReLU of `network`."""
    return tuple(
        Rectified(form, spelling, partial(network, function, i % 2), i % 2)
        for i, ((form, spelling), function) in enumerate(FORMS.items())
    )


def network(function: Function, at: int) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """Three dense layers on inputs `(6,)`; after the one numbered `at` the function stands, else a ReLU.

    Its weights are so large that some of what is rectified is above 6.
    """

    def apply(params: Any, x: jax.Array) -> jax.Array:
        for i, layer in enumerate(params[:-1]):
            x = (function if i == at else jax.nn.relu)(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    rng = np.random.default_rng(2)
    shapes = ((6, 7), (7, 6), (6, 3))
    return apply, [
        {"w": jnp.asarray(rng.normal(0, 2, s), jnp.float32), "b": jnp.asarray(rng.normal(0, 2, s[1]), jnp.float32)}
        for s in shapes
    ]
