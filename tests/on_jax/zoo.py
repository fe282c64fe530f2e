"""One small model of every kind, with a batch that it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import zoo_equinox
import zoo_linen
import zoo_nnx
from flax import nnx

import agnostic_rand as ar

RNG = np.random.default_rng(5)
VECTORS = RNG.standard_normal((8, 6)).astype(np.float32)
IMAGES = RNG.standard_normal((6, 8, 8, 3)).astype(np.float32)
CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(IMAGES, -1, 1))
SEQUENCES = RNG.standard_normal((5, 4, 5)).astype(np.float32)
KEY = jax.random.key(0)


def linen_pair(module: Any, inputs: np.ndarray) -> tuple[Any, dict]:
    """The module with variables of moderate size, drawn without compiling its initializers."""
    rng = np.random.default_rng(1)

    def drawn(path: Any, leaf: Any) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if any(word in name for word in ("scale", "var", "sigma")):
            return jnp.asarray(0.5 + rng.random(leaf.shape), leaf.dtype)
        spread = np.sqrt(leaf.shape[-1] / leaf.size) if leaf.ndim > 1 else 0.1
        return jnp.asarray(spread * rng.standard_normal(leaf.shape), leaf.dtype)

    return module, jax.tree_util.tree_map_with_path(drawn, jax.eval_shape(module.init, KEY, inputs))


@cache
def _made(build: Callable[[], Any]) -> Any:
    return build()


def once(build: Callable[[], Any]) -> Callable[[], Any]:
    """A function that builds a model once, and gives a copy at each call: initializing is slow."""
    return lambda: copy.deepcopy(_made(build))


def bare_apply(params: dict, x: jax.Array) -> jax.Array:
    hidden = jnp.maximum(x @ params["body"]["w"] + params["body"]["b"], 0)
    return hidden @ params["head"]["w"] + params["head"]["b"]


def bare_pair() -> tuple[Callable, dict]:
    keys = jax.random.split(KEY)
    # Declared from output to input.
    return bare_apply, {
        "head": {"w": jax.random.normal(keys[1], (5, 3)), "b": jnp.ones(3)},
        "body": {"w": jax.random.normal(keys[0], (6, 5)), "b": jnp.full(5, 0.1)},
    }


MODELS: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "nnx_mlp": (once(lambda: zoo_nnx.Mlp(nnx.Rngs(0))), VECTORS),
    "nnx_cnn": (once(lambda: zoo_nnx.Cnn(nnx.Rngs(0))), IMAGES),
    "nnx_transformer": (once(lambda: zoo_nnx.Transformer(nnx.Rngs(0))), SEQUENCES),
    "nnx_tied": (once(lambda: zoo_nnx.Tied(nnx.Rngs(0))), VECTORS),
    "linen_mlp": (once(lambda: linen_pair(zoo_linen.Mlp(), VECTORS)), VECTORS),
    "linen_cnn": (once(lambda: linen_pair(zoo_linen.Cnn(), IMAGES)), IMAGES),
    "linen_vit": (once(lambda: linen_pair(zoo_linen.Vit(), IMAGES)), IMAGES),
    "equinox_mlp": (once(lambda: eqx.nn.MLP(6, 3, 5, 1, key=KEY)), VECTORS),
    "equinox_cnn": (once(lambda: zoo_equinox.Cnn(KEY)), CHANNELS_FIRST),
    "equinox_normed": (once(lambda: eqx.nn.make_with_state(zoo_equinox.NormedCnn)(KEY)), CHANNELS_FIRST),
    "equinox_tied": (once(lambda: zoo_equinox.Tied(KEY)), VECTORS),
    "bare": (once(bare_pair), VECTORS),
}


@cache
def _opened(name: str) -> Any:
    make, inputs = MODELS[name]
    return ar.adapt(make(), example_inputs=inputs[:1])


def opened(name: str) -> tuple[Any, np.ndarray]:
    """An adapter of a copy of the model, which shares what is compiled with all others, and its inputs."""
    return _opened(name).clone(), MODELS[name][1]


def parameters(model: Any) -> list[np.ndarray]:
    """What the framework itself says is learned, tied parameters once."""
    if isinstance(model, nnx.Module):
        tree = nnx.state(model, nnx.Param)
    elif isinstance(model, eqx.Module):
        tree = eqx.filter(model, eqx.is_inexact_array)
    elif isinstance(model[0], eqx.Module):
        tree = eqx.filter(model[0], eqx.is_inexact_array)
    elif callable(model[0]) and not hasattr(model[0], "init"):
        tree = model[1]
    else:
        tree = model[1]["params"]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
