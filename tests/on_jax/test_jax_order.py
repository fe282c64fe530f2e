"""Layers come in the order in which the data meet them, wherever in the jaxpr that is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
import zoo
from flax import linen as nn

import agnostic_rand as ar

X = zoo.VECTORS


def params(*names):
    keys = jax.random.split(zoo.KEY, len(names))
    return {name: jax.random.normal(key, (6, 6)) for name, key in zip(names, keys, strict=True)}


def order(apply, tree, example=X[:1]):
    adapter = ar.adapt((apply, tree), example_inputs=example)
    assert adapter.order_source == "traced"
    return [layer.name for layer in adapter.layers()]


def test_declared_order_without_an_example():
    adapter = ar.adapt((lambda p, x: x @ p["b"] @ p["a"], {"b": jnp.ones((6, 6)), "a": jnp.ones((6, 6))}))
    assert adapter.order_source == "declared"
    assert [layer.name for layer in adapter.layers()] == ["b", "a"]


def test_order_is_that_of_use():
    assert order(lambda p, x: x @ p["c"] @ p["a"] @ p["b"], params("a", "b", "c")) == ["c", "a", "b"]


@pytest.mark.parametrize(
    "around",
    [jax.jit, jax.checkpoint, jax.vmap, lambda f: jax.jit(jax.checkpoint(jax.jit(f)))],
    ids=["jit", "remat", "vmap", "nested"],
)
def test_order_inside_calls(around):
    def apply(p, x):
        return around(lambda x: jnp.tanh(x @ p["c"]) @ p["a"])(x) @ p["b"]

    assert order(apply, params("a", "b", "c")) == ["c", "a", "b"]


def test_order_inside_a_scan():
    def apply(p, x):
        def body(x, kernel):
            return jnp.tanh(x @ kernel @ p["inner"]), None

        return jax.lax.scan(body, x @ p["z"], p["stack"])[0] @ p["a"]

    tree = params("a", "inner", "z") | {"stack": jnp.ones((3, 6, 6))}
    assert order(apply, tree) == ["z", "stack", "inner", "a"]


def test_order_inside_conditions_and_loops():
    def apply(p, x):
        x = jax.lax.cond(x.sum() > 0, lambda x: x @ p["d"], lambda x: x @ p["b"], x)
        x = jax.lax.while_loop(lambda x: x.sum() < p["limit"].sum(), lambda x: jnp.abs(x @ p["a"]) + 1, x)
        return x @ p["c"]

    found = order(apply, params("a", "b", "c", "d", "limit"))
    assert set(found[:2]) == {"b", "d"}
    assert found[2:] == ["limit", "a", "c"]


def test_order_inside_custom_derivatives():
    @jax.custom_jvp
    def double(x, kernel):
        return 2 * x @ kernel

    double.defjvps(lambda t, _, x, k: 2 * t @ k, None)
    assert order(lambda p, x: double(x @ p["b"], p["a"]), params("a", "b")) == ["b", "a"]


def test_preparing_parameters_is_not_using_them():
    def apply(p, x):
        half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), p)
        normed = half["a"] / jnp.linalg.norm(half["a"])
        return (x.astype(jnp.bfloat16) @ half["c"] @ normed @ half["b"]).astype(jnp.float32)

    assert order(apply, params("a", "b", "c")) == ["c", "a", "b"]


def test_a_first_state_is_used_where_the_loop_begins():
    def apply(p, x):
        def body(state, column):
            return jnp.tanh(state + column @ p["b"]), None

        start = jnp.broadcast_to(p["z"][0], x.shape)
        return jax.lax.scan(body, start, jnp.stack([x, x]))[0] @ p["a"]

    assert order(apply, params("a", "b", "z")) == ["z", "b", "a"]


def test_a_layer_that_is_not_used_follows_the_one_declared_before_it():
    tree = params("unused_first", "b", "unused", "a")
    assert order(lambda p, x: x @ p["a"] @ p["b"], tree) == ["unused_first", "a", "b", "unused"]


def test_linen_scan_over_layers_keeps_its_place():
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.relu(nn.Dense(6)(x)), None

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(6, name="z_first")(x)
            x, _ = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)(name="m")(
                x, None
            )
            return nn.Dense(2, name="a_last")(x)

    adapter = ar.adapt(zoo.linen_pair(Stack(), X), example_inputs=X[:1])
    assert [layer.name for layer in adapter.layers()] == ["z_first", "m/Dense_0", "a_last"]
    kernel = adapter.layers()[1].parameters
    assert {p.name: p.axes for p in kernel} == {"kernel": ("groups", "in", "out"), "bias": ("groups", "out")}


def test_a_vision_transformer_in_linen_and_a_transformer_in_nnx_stand_in_the_order_of_their_forward_pass():
    attention = ("query", "key", "value", "out")
    linen_block = (
        "LayerNorm_0",
        *(f"MultiHeadDotProductAttention_0/{part}" for part in attention),
        "LayerNorm_1",
        "Dense_0",
        "Dense_1",
    )
    # The scale that a block holds itself is the last that is used in Linen's, and before the second half in NNX's.
    nnx_block = ("norm1", *(f"attention.{part}" for part in attention), None, "norm2", "up", "down")
    expected = {
        "linen_vit": [
            *("patches", "token", "positions"),
            *(name for i in range(2) for name in (*(f"Block_{i}/{part}" for part in linen_block), f"Block_{i}")),
            *("norm", "head"),
        ],
        "nnx_transformer": [
            *("embed", "token", "positions"),
            *(f"blocks.{i}.{part}" if part else f"blocks.{i}" for i in range(2) for part in nnx_block),
            *("norm", "head"),
        ],
    }
    for name, order in expected.items():
        adapter, _ = zoo.opened(name)
        assert adapter.order_source == "traced"
        assert [layer.name for layer in adapter.layers()] == order
