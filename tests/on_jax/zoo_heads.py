"""A small model of two heads in each kind: it returns both, and `forward=` takes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import zoo
from flax import linen as nn
from flax import nnx

X = zoo.VECTORS
SIZES = {"first": (6, 5), "second": (5, 5), "cls": (5, 3), "aux": (5, 2)}
KEYS = jax.random.split(zoo.KEY, len(SIZES))


class Heads(NamedTuple):
    """A kind of model.

    Args:
        build: `build(read=None) -> model`; with `read`, a function that stands for the first head.
        call: `call(model, inputs) -> {"cls": ..., "aux": ...}`.
        head: `head(model, h)`: the first head of a model.
    """

    build: Callable[..., Any]
    call: Callable[[Any, Any], dict[str, Any]]
    head: Callable[[Any, Any], Any]

    def bound(self) -> Any:
        """A model with a function that is bound to a model of the same weights: the same arrays but for NNX."""
        if self is HEADS["nnx"]:
            model = self.build()
            model.read = lambda h: model.cls(h)
            return model
        other = self.build()
        return self.build(lambda h: self.head(other, h))


class NnxHeads(nnx.Module):
    def __init__(self, read=None):
        rngs = nnx.Rngs(0)
        self.first, self.second = nnx.Linear(6, 5, rngs=rngs), nnx.Linear(5, 5, rngs=rngs)
        self.cls, self.aux = nnx.Linear(5, 3, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)
        self.read = read

    def __call__(self, x):
        h = nnx.relu(self.second(nnx.relu(self.first(x))))
        return {"cls": (self.read or self.cls)(h), "aux": self.aux(h)}


class LinenHeads(nn.Module):
    read: Any = None

    @nn.compact
    def __call__(self, x):
        h = nn.relu(nn.Dense(5, name="second")(nn.relu(nn.Dense(5, name="first")(x))))
        return {"cls": (self.read or nn.Dense(3, name="cls"))(h), "aux": nn.Dense(2, name="aux")(h)}


class EquinoxHeads(eqx.Module):
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    cls: eqx.nn.Linear
    aux: eqx.nn.Linear
    read: Any

    def __init__(self, read=None):
        layers = [eqx.nn.Linear(*size, key=key) for size, key in zip(SIZES.values(), KEYS, strict=True)]
        self.first, self.second, self.cls, self.aux = layers
        self.read = read

    def __call__(self, x):
        h = jax.nn.relu(self.second(jax.nn.relu(self.first(x))))
        return {"cls": (self.read or self.cls)(h), "aux": self.aux(h)}


def bare_heads(read=None):
    params = {
        name: {"w": jax.random.normal(key, size), "b": jnp.linspace(0.1, 0.2, size[1])}
        for (name, size), key in zip(SIZES.items(), KEYS, strict=True)
    }

    def apply(p, x):
        for name in ("first", "second"):
            x = jax.nn.relu(_dense(p[name], x))
        return {"cls": read(x) if read else _dense(p["cls"], x), "aux": _dense(p["aux"], x)}

    return apply, params


def _dense(layer, x):
    return x @ layer["w"] + layer["b"]


def _linen(read=None):
    return LinenHeads(read), zoo.linen_pair(LinenHeads(), X)[1]


HEADS = {
    "nnx": Heads(NnxHeads, lambda model, x: model(x), lambda model, h: model.cls(h)),
    "linen": Heads(
        _linen,
        lambda model, x: model[0].apply(model[1], x),
        lambda model, h: h @ model[1]["params"]["cls"]["kernel"] + model[1]["params"]["cls"]["bias"],
    ),
    "equinox": Heads(EquinoxHeads, lambda model, x: jax.vmap(model)(x), lambda model, h: model.cls(h)),
    "bare": Heads(bare_heads, lambda model, x: model[0](model[1], x), lambda model, h: _dense(model[1]["cls"], h)),
}
