"""Outputs and gradients are the framework's own, at every batch size."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
import zoo_nnx
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.errors import InputError, ModelError


def in_float64(model):
    """The same model with parameters in float64."""

    def wide(leaf):
        return leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf

    if isinstance(model, nnx.Module):
        graph, state = nnx.split(model)
        return nnx.merge(graph, jax.tree.map(wide, state))
    return jax.tree.map(wide, model)


@pytest.mark.parametrize(
    ("name", "step", "tolerance"),
    [
        ("nnx_cnn", 1e-6, 1e-5),
        ("linen_cnn", 1e-6, 1e-5),
        ("equinox_normed", 1e-6, 1e-5),
        ("bare", 1e-6, 1e-5),
    ],
)
def test_gradients_are_those_of_finite_differences(name, step, tolerance):
    make, inputs = zoo.MODELS[name]
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        model = in_float64(make())
        adapter = ar.adapt(model)
        x = inputs[:2].astype(np.float64)
        classes = adapter.predict(adapter.asarray(x)).shape[1]
        weights = rng.standard_normal((2, classes))
        gradient = adapter.to_numpy(adapter.gradient(adapter.asarray(x), adapter.asarray(weights)))
        assert gradient.dtype == np.float64

        def score(moved):
            return float((adapter.to_numpy(adapter.predict(adapter.asarray(moved))) * weights).sum())

        for _ in range(3):
            direction = rng.standard_normal(x.shape)
            difference = (score(x + step * direction) - score(x - step * direction)) / (2 * step)
            assert difference == pytest.approx(float((gradient * direction).sum()), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", ["nnx_transformer", "linen_cnn", "equinox_normed", "bare"])
def test_a_batch_that_is_filled_up_gives_the_same_numbers(name):
    adapter, inputs = zoo.opened(name)
    targets = adapter.asarray(np.arange(len(inputs)) % 2)
    x = adapter.asarray(inputs)
    whole = adapter.output_and_gradient(x, targets)
    for count in (1, 3):
        part = adapter.output_and_gradient(x[:count], targets[:count])
        for few, all_ in zip(part, whole, strict=True):
            assert few.shape[0] == count
            np.testing.assert_allclose(few, all_[:count], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(adapter.predict(x[:count]), whole[0][:count], rtol=1e-4, atol=1e-5)


def test_targets_select_outputs_or_weigh_them():
    apply, params = zoo.bare_pair()
    adapter = ar.adapt((apply, params))
    x = adapter.asarray(zoo.VECTORS)
    jacobian = jax.vmap(jax.jacrev(lambda row: apply(params, row[None])[0]))(x)
    labels = np.arange(8) % 3
    np.testing.assert_allclose(
        adapter.gradient(x, adapter.asarray(labels)), jacobian[jnp.arange(8), labels], atol=1e-5
    )
    weights = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    expected = jnp.einsum("nc,ncd->nd", weights, jacobian)
    np.testing.assert_allclose(adapter.gradient(x, adapter.asarray(weights)), expected, atol=1e-5)


def test_models_are_evaluated_not_trained():
    model = zoo.MODELS["nnx_cnn"][0]()
    adapter = ar.adapt(model)
    x = adapter.asarray(zoo.IMAGES)
    copy = nnx.clone(model)
    copy.eval()
    np.testing.assert_allclose(adapter.predict(x), copy(x), atol=1e-6)
    np.testing.assert_array_equal(adapter.predict(x), adapter.predict(x))


def test_forward_is_how_the_model_is_called():
    def forward(model, inputs):
        assert isinstance(model, zoo_nnx.Mlp)
        return 2 * model(inputs)[:, :2]

    model = zoo.MODELS["nnx_mlp"][0]()
    plain, other = ar.adapt(model), ar.adapt(model, forward=forward)
    x = plain.asarray(zoo.VECTORS)
    np.testing.assert_allclose(other.predict(x), 2 * plain.predict(x)[:, :2], rtol=1e-6)
    module, variables = zoo.MODELS["linen_cnn"][0]()
    told = ar.adapt((module, variables), forward=lambda model, x: model[0].apply(model[1], x, train=False))
    np.testing.assert_allclose(
        told.predict(told.asarray(zoo.IMAGES)), module.apply(variables, zoo.IMAGES), rtol=1e-5, atol=1e-6
    )
    mlp = zoo.MODELS["equinox_mlp"][0]()
    mapped = ar.adapt(mlp, forward=lambda model, x: jax.vmap(model)(x)[:, 0])
    assert mapped.predict(x).shape == (8, 1)


def test_integer_inputs_have_no_gradient():
    adapter = ar.adapt((lambda w, x: w[x].sum(1), jnp.ones((9, 3))), example_inputs=np.ones((1, 4), np.int64))
    tokens = adapter.asarray(np.ones((2, 4), np.int64))
    assert adapter.predict(tokens).shape == (2, 3)
    with pytest.raises(InputError, match="floating-point"):
        adapter.gradient(tokens, adapter.asarray(np.zeros(2, np.int64)))


def test_outputs_that_are_no_array_are_refused():
    adapter = ar.adapt((lambda p, x: {"logits": x @ p}, jnp.ones((6, 3))))
    with pytest.raises(ModelError, match="one tensor"):
        adapter.predict(adapter.asarray(zoo.VECTORS))


def test_single_outputs_become_a_column():
    adapter = ar.adapt((lambda p, x: x @ p, jnp.ones(6)))
    assert adapter.predict(adapter.asarray(zoo.VECTORS)).shape == (8, 1)


def test_inputs_have_the_widest_type_among_the_parameters():
    half, full = jnp.ones(3, jnp.bfloat16), jnp.ones((6, 3))
    for params, dtype in (
        ({"a": half, "w": full}, "float32"),
        ({"a": half, "w": full.astype(jnp.bfloat16)}, "bfloat16"),
        ({"a": half, "w": full.astype(jnp.float16)}, "float32"),
        ({"a": half.astype(jnp.float8_e4m3fn), "w": full.astype(jnp.bfloat16)}, "bfloat16"),
        ({"w": full.astype(jnp.float8_e4m3fn)}, "float32"),
    ):
        adapter = ar.adapt((lambda p, x: x.astype(jnp.float32) @ p["w"].astype(jnp.float32), params))
        assert adapter.asarray(zoo.VECTORS).dtype.name == dtype
