"""Guided backpropagation and deconvolution, however a ReLU is written and wherever it stands."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from flax import linen as nn
from flax import nnx
from jax_relu_forms import FORMS, network

import agnostic_rand as ar
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.relu import with_rule

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


@pytest.mark.parametrize("rule", ["guided", "deconv"])
def test_no_form_of_a_relu_is_refused(rule):
    for function in FORMS.values():
        apply, params = network(function, 1)
        assert jax.eval_shape(with_rule(apply, rule), params, X).shape == (8, 3)


@pytest.mark.parametrize("rule", ["guided", "deconv"])
def test_every_relu_of_a_net_follows_the_rule(rule):
    np.testing.assert_allclose(maps(net(jax.nn.relu), rule), reference(rule), rtol=1e-4, atol=1e-4)


def test_the_plain_gradient_is_another_map():
    np.testing.assert_allclose(maps(net(jax.nn.relu), "standard"), reference("standard"), rtol=1e-4, atol=1e-4)
    for rule in ("guided", "deconv"):
        assert np.abs(reference(rule) - reference("standard")).max() > 1


def test_a_while_loop_that_the_data_do_not_enter_stays():
    def apply(p, x):
        steps = jax.lax.while_loop(lambda i: i < 3, lambda i: i + 1, 0)
        return jax.nn.relu(jax.nn.relu(x @ p["w1"]) @ p["w2"]) @ p["w3"] * (steps // 3)

    np.testing.assert_allclose(maps(apply, "guided"), reference("guided"), rtol=1e-4, atol=1e-4)


def sparsemax(x):
    ordered = -jnp.sort(-x)
    counts = jnp.arange(1, x.shape[1] + 1)
    support = (1 + counts * ordered > ordered.cumsum(1)).sum(1, keepdims=True)
    sums = jnp.take_along_axis(ordered.cumsum(1), support - 1, 1)
    return jnp.maximum(x - (sums - 1) / support, 0)


NOT_RELU = {
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "logaddexp": lambda x: jnp.logaddexp(x, 0.0),
    "sparse_plus": jax.nn.sparse_plus,
    "hard_tanh": jax.nn.hard_tanh,
    "prelu": lambda x: jnp.where(x >= 0, x, 0.25 * x),
    "mish": jax.nn.mish,
    "tanh": jnp.tanh,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "softmax": jax.nn.softmax,
    "above_one": lambda x: jnp.maximum(x, 1.0),
    "range_of_an_image": lambda x: jnp.clip(x, 0, 1),
    "clipped_from_above_first": lambda x: jnp.maximum(jnp.minimum(x, 1), 0),
    "clamped_to_one": lambda x: jax.lax.clamp(0.0, x, 1.0),
    "below_zero": lambda x: jnp.minimum(x, 0),
    "other_mask": lambda x: jnp.where(x[::-1] > 0, x, 0),
    "largest_three": lambda x: jnp.where(x >= jnp.sort(x)[:, 3:4], x, 0),
    "softmax_beside_zero": lambda x: jax.nn.softmax(jnp.stack([x, jnp.zeros_like(x)]), 0)[0],
    "unused": lambda x: (jnp.tanh(x), jax.nn.relu(x))[0],
    "without_a_gradient": lambda x: jnp.tanh(x) * jax.lax.stop_gradient(jax.nn.relu(x)),
    "compared": lambda x: jnp.tanh(x) * (jax.nn.relu(x) > 1),
    "sparsemax": sparsemax,
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


@jax.custom_jvp
def with_a_call(x):
    return jax.nn.relu(x) * 2 + jnp.sin(x)


with_a_call.defjvp(lambda x, t: (with_a_call(x[0]), t[0]))


@jax.custom_vjp
def with_a_maximum(x):
    return 2 * jax.lax.map(lambda row: jnp.maximum(row, 0), x)


with_a_maximum.defvjp(lambda x: (with_a_maximum(x), x > 0), lambda positive, g: (2 * g * positive,))

HIDDEN = {
    "a call": (with_a_call, "inside 'custom_jvp_call' of 'with_a_call'"),
    "a maximum": (with_a_maximum, "inside 'custom_vjp_call' of 'with_a_maximum'"),
    "straight through": (lambda x: x + jax.lax.stop_gradient(jax.nn.relu(x) - x), "'stop_gradient'"),
    "reduction": (lambda x: jax.lax.reduce(x[None], np.float32(0), jax.lax.max, (0,)), "inside 'reduce'"),
}


@pytest.mark.parametrize("rule", ["guided", "deconv"])
@pytest.mark.parametrize(("function", "name"), HIDDEN.values(), ids=HIDDEN)
def test_a_relu_that_cannot_be_reached_is_refused_beside_one_that_can(function, name, rule):
    adapter = ar.adapt((lambda w, x: jax.nn.relu(function(jax.nn.relu(x @ w) @ w)), jnp.asarray(W1)))
    with pytest.raises(ModelError, match=name):
        adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu=rule)


@pytest.mark.parametrize("choose", [jnp.maximum, lambda x, zero: jnp.where(x > 0, x, zero)])
def test_a_relu_whose_zero_is_a_value_of_the_model_is_refused(choose):
    params = {"w": jnp.asarray(W1), "zero": jnp.zeros(6)}
    adapter = ar.adapt((lambda p, x: choose(jax.nn.relu(x @ p["w"]) @ p["w"], p["zero"]), params))
    with pytest.raises(ModelError, match="with a value of the model"):
        adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu="guided")


def test_a_relu_of_parameters_in_a_custom_function_hides_none():
    adapter = ar.adapt((lambda w, x: jax.nn.relu(x @ with_a_call(w)), jnp.asarray(W1)))
    kernel = np.asarray(with_a_call(W1))
    due = (np.eye(6)[TARGETS] * (X @ kernel > 0)) @ kernel.T
    found = adapter.gradient(adapter.asarray(X), adapter.asarray(TARGETS), relu="guided")
    np.testing.assert_allclose(found, due, rtol=1e-4, atol=1e-4)


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
