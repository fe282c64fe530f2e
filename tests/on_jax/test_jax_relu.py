"""Guided backpropagation and deconvolution, however a ReLU is written and wherever it stands."""

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

X = zoo.VECTORS
W1, W2, W3 = (np.asarray(jax.random.normal(key, (6, 6))) for key in jax.random.split(zoo.KEY, 3))
TARGETS = np.arange(8) % 6


def reference(rule: str) -> np.ndarray:
    """x -> relu -> relu -> outputs, backwards by hand."""
    first = X @ W1
    second = np.maximum(first, 0) @ W2
    gradient = W3.T[TARGETS]
    for before, kernel in ((second, W2), (first, W1)):
        passed = {
            "standard": gradient * (before > 0),
            "guided": np.maximum(gradient, 0) * (before > 0),
            "deconv": np.maximum(gradient, 0),
        }[rule]
        gradient = passed @ kernel.T
    return gradient


def maps(apply, rule: str) -> np.ndarray:
    adapter = ar.adapt((apply, {"w1": jnp.asarray(W1), "w2": jnp.asarray(W2), "w3": jnp.asarray(W3)}))
    outputs, gradient = adapter.output_and_gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu=rule)
    np.testing.assert_allclose(outputs, np.maximum(np.maximum(X @ W1, 0) @ W2, 0) @ W3, rtol=1e-4, atol=1e-4)
    return np.asarray(gradient)


def net(relu):
    return lambda p, x: relu(relu(x @ p["w1"]) @ p["w2"]) @ p["w3"]


@jax.custom_jvp
def own_relu(x):
    return jnp.maximum(x, 0)


own_relu.defjvp(lambda x, t: (own_relu(x[0]), jnp.where(x[0] > 0, t[0], 0)))


@jax.custom_vjp
def own_vjp_relu(x):
    return jnp.maximum(x, 0)


own_vjp_relu.defvjp(lambda x: (own_vjp_relu(x), x > 0), lambda positive, g: (jnp.where(positive, g, 0),))


def through_scan(x):
    return jax.lax.scan(lambda _, row: (None, jnp.maximum(row, 0)), None, x)[1]


def through_carry(x):
    return jax.lax.scan(lambda carry, _: (jax.nn.relu(carry), None), x, None, length=1)[0]


def through_condition(x):
    return jax.lax.cond(x.sum() > -1e9, jax.nn.relu, lambda x: 2 * x, x)


RELUS = {
    "jax.nn.relu": jax.nn.relu,
    "max": lambda x: jnp.maximum(x, 0),
    "max_reversed": lambda x: jnp.maximum(0.0, x),
    "max_zeros": lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    "max_array": lambda x: jnp.maximum(x, np.zeros((8, 6), np.float32)),
    "lax.max": lambda x: jax.lax.max(x, jnp.zeros((), x.dtype)),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "where_at_least": lambda x: jnp.where(x >= 0, x, 0.0),
    "where_reversed": lambda x: jnp.where(x < 0, 0.0, x),
    "where_zero_first": lambda x: jnp.where(jnp.less(0, x), x, jnp.zeros_like(x)),
    "clip": lambda x: jnp.clip(x, min=0),
    "lax.clamp": lambda x: jax.lax.clamp(0.0, x, np.inf),
    "product": lambda x: x * (x > 0),
    "custom_jvp": own_relu,
    "custom_vjp": own_vjp_relu,
    "jit": jax.jit(lambda x: jnp.maximum(x, 0)),
    "remat": jax.checkpoint(jax.nn.relu),
    "vmap": jax.vmap(lambda row: jnp.maximum(row, 0)),
    "scan": through_scan,
    "scan_carry": through_carry,
    "cond": through_condition,
    "nested": jax.jit(jax.checkpoint(jax.vmap(jax.jit(jax.nn.relu)))),
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_the_rules_reach_every_form_of_relu(relu):
    np.testing.assert_allclose(maps(net(relu), "guided"), reference("guided"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["jax.nn.relu", "max", "lax.clamp", "remat", "scan"])
def test_deconvolution_passes_positive_gradients_wherever_the_input_was(form):
    np.testing.assert_allclose(maps(net(RELUS[form]), "deconv"), reference("deconv"), rtol=1e-4, atol=1e-4)


def test_the_plain_gradient_is_another_map():
    np.testing.assert_allclose(maps(net(jax.nn.relu), "standard"), reference("standard"), rtol=1e-4, atol=1e-4)
    for rule in ("guided", "deconv"):
        assert np.abs(reference(rule) - reference("standard")).max() > 1


def test_a_while_loop_that_the_data_do_not_enter_stays():
    def apply(p, x):
        steps = jax.lax.while_loop(lambda i: i < 3, lambda i: i + 1, 0)
        return jax.nn.relu(jax.nn.relu(x @ p["w1"]) @ p["w2"]) @ p["w3"] * (steps // 3)

    np.testing.assert_allclose(maps(apply, "guided"), reference("guided"), rtol=1e-4, atol=1e-4)


RELU6 = {
    "jax.nn.relu6": jax.nn.relu6,
    "clip": lambda x: jnp.clip(x, 0, 6),
    "lax.clamp": lambda x: jax.lax.clamp(0.0, x, 6.0),
    "min_of_max": lambda x: jnp.minimum(6, jnp.maximum(x, 0)),
}


@pytest.mark.parametrize("relu6", RELU6.values(), ids=RELU6)
def test_relu6_is_a_relu_with_a_top(relu6):
    kernel = 3 * W1
    adapter = ar.adapt(
        (lambda w, x: relu6(x @ w).sum(1, keepdims=True) * jnp.array([1.0, -1.0]), jnp.asarray(kernel))
    )
    x = adapter.asarray(X)
    before = X @ kernel
    inside = ((before > 0) & (before < 6)).astype(np.float32)
    assert (before > 6).any()
    for rule, passed in (("guided", inside), ("deconv", np.ones_like(inside))):
        up = adapter.gradient(x, adapter.asarray(np.zeros(8, np.int64)), relu=rule)
        np.testing.assert_allclose(up, passed @ kernel.T, rtol=1e-4, atol=1e-4)
        down = adapter.gradient(x, adapter.asarray(np.ones(8, np.int64)), relu=rule)
        assert not np.asarray(down).any()


NOT_RELU = {
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "mish": jax.nn.mish,
    "tanh": jnp.tanh,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "softmax": jax.nn.softmax,
    "above_one": lambda x: jnp.maximum(x, 1.0),
    "range_of_an_image": lambda x: jnp.clip(x, 0, 1),
    "clamped_to_one": lambda x: jax.lax.clamp(0.0, x, 1.0),
    "below_zero": lambda x: jnp.minimum(x, 0),
    "other_mask": lambda x: jnp.where(x[::-1] > 0, x, 0),
    "layer_norm": nn.LayerNorm(use_bias=False, use_scale=False).bind({}),
    "slow_norm": lambda x: (
        (x - x.mean(-1, keepdims=True)) / jnp.sqrt(jnp.maximum(0.0, x.var(-1, keepdims=True)) + 1e-5)
    ),
}


@pytest.mark.parametrize("function", NOT_RELU.values(), ids=NOT_RELU)
def test_without_a_relu_the_plain_gradient_is_refused(function):
    adapter = ar.adapt((lambda w, x: function(x @ w), jnp.asarray(W1)))
    with pytest.raises(ModelError, match="at least one ReLU"):
        adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu="guided")


@pytest.mark.parametrize("name", ["nnx_transformer", "linen_vit"])
def test_the_floor_under_a_variance_is_no_relu(name):
    adapter, inputs = zoo.opened(name)
    with pytest.raises(ModelError, match="at least one ReLU"):
        adapter.gradient(adapter.asarray(inputs), adapter.asarray(np.zeros(len(inputs), int)), relu="guided")


def test_the_metric_says_that_there_is_no_relu():
    metric = ar.ModelRandomizationMetric((lambda w, x: jnp.tanh(x @ w), jnp.asarray(W1)), X, seed=0)
    with pytest.raises(ModelError, match="at least one ReLU"):
        metric.run("guided_backprop")


def test_a_relu_of_parameters_alone_is_none():
    adapter = ar.adapt((lambda w, x: x @ jnp.maximum(w, 0), jnp.asarray(W1)))
    with pytest.raises(ModelError, match="at least one ReLU"):
        adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu="deconv")


def test_a_relu_that_cannot_be_reached_is_refused():
    @jax.custom_jvp
    def block(x):
        return jax.nn.relu(x) * 2 + jnp.sin(x)

    block.defjvp(lambda x, t: (block(x[0]), t[0]))
    adapter = ar.adapt((lambda w, x: jax.nn.relu(block(x @ w)), jnp.asarray(W1)))
    with pytest.raises(ModelError, match=r"inside 'custom_jvp_call'"):
        adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu="guided")


def test_rules_reach_relus_in_modules_of_each_framework():
    class Net(nnx.Module):
        def __init__(self):
            self.w = nnx.List([nnx.Param(jnp.asarray(w)) for w in (W1, W2, W3)])

        def __call__(self, x):
            x = nnx.relu(x @ self.w[0][...])
            return nnx.remat(lambda x: nnx.relu(x @ self.w[1][...]))(x) @ self.w[2][...]

    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Dense(6, use_bias=False, name="a")(x))
            x = nn.relu(nn.remat(nn.Dense)(6, use_bias=False, name="b")(x))
            return nn.Dense(6, use_bias=False, name="c")(x)

    params = {name: {"kernel": w} for name, w in zip("abc", (W1, W2, W3), strict=True)}
    for model in (Net(), (Linen(), {"params": params})):
        adapter = ar.adapt(model, example_inputs=X[:1])
        found = adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu="guided")
        np.testing.assert_allclose(found, reference("guided"), rtol=1e-4, atol=1e-4)
