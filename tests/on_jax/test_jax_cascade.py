"""The metric on every kind of JAX model: it runs, repeats, and leaves everything as it was."""

from __future__ import annotations

import random

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.errors import ExplanationError

STRATEGY = ar.CascadingRandomization(groups=3)


def run(model, inputs, explainer, **options):
    settings = {"randomization_strategy": STRATEGY, "seed": 4, "batch_size": 5} | options
    return ar.ModelRandomizationMetric(model, inputs, **settings).run(explainer)


@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        ("nnx_cnn", "guided_backprop"),
        ("nnx_tied", "saliency"),
        ("nnx_transformer", "gradient_times_input"),
        ("linen_mlp", "input_map"),
        ("linen_cnn", "guided_backprop"),
        ("linen_vit", "saliency"),
        ("equinox_mlp", "guided_backprop"),
        ("equinox_normed", "gradient_times_input"),
        ("equinox_tied", "saliency"),
        ("bare", "guided_backprop"),
    ],
)
def test_scores_do_not_depend_on_the_batch_size_or_the_isolation(name, explainer):
    make, inputs = zoo.MODELS[name]
    first = run(make(), inputs, explainer).scores["spearman"]
    again = run(make(), inputs, explainer, batch_size=64, isolation="in_place").scores["spearman"]
    np.testing.assert_allclose(first, again, atol=1e-4)
    if explainer == "input_map":
        np.testing.assert_allclose(first, 1.0, atol=1e-12)
    else:
        assert np.nanmin(first) < 0.9


def numbers(state):
    """All arrays, counters of random streams too, but for the keys of generators."""
    return [np.array(leaf) for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.number)]


@pytest.mark.parametrize("name", ["nnx_cnn", "nnx_tied"])
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_an_nnx_module_is_as_it_was(name, isolation):
    make, inputs = zoo.MODELS[name]
    model = make()
    graph, state = nnx.split(model)
    before = numbers(state)
    variables = [id(node) for _, node in nnx.iter_graph(model) if isinstance(node, nnx.Variable)]
    run(model, inputs, "saliency", isolation=isolation)
    after_graph, after = nnx.split(model)
    assert after_graph == graph
    assert [id(node) for _, node in nnx.iter_graph(model) if isinstance(node, nnx.Variable)] == variables
    assert all(np.array_equal(a, b) for a, b in zip(before, numbers(after), strict=True))


def test_an_nnx_module_is_restored_after_an_exception():
    model = zoo.MODELS["nnx_mlp"][0]()
    before = np.array(model.head.kernel.get_value())
    calls = []

    def fails_late(model, inputs, targets):
        calls.append(np.array(model.head.kernel.get_value()))
        if not np.array_equal(calls[-1], before):
            raise RuntimeError("late")
        return inputs

    with pytest.raises(RuntimeError, match="late"):
        run(model, zoo.VECTORS, fails_late, isolation="in_place")
    np.testing.assert_array_equal(model.head.kernel.get_value(), before)


def test_no_global_random_state_moves():
    model = zoo.MODELS["linen_cnn"][0]()
    states = random.getstate(), np.random.get_state()[1].tolist()
    run(model, zoo.IMAGES, ar.explainers.SmoothGrad(samples=3))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


@pytest.mark.parametrize("name", ["nnx_cnn", "linen_cnn", "equinox_normed"])
def test_a_users_function_gets_the_current_model_in_evaluation_mode(name):
    make, inputs = zoo.MODELS[name]
    model = make()
    seen = []

    def mine(model, x, targets):
        seen.append(type(model))
        if isinstance(model, nnx.Module):
            call = model
        elif isinstance(model[0], eqx.Module):
            call = lambda x: jax.vmap(model[0], in_axes=(0, None), out_axes=(0, None))(x, model[1])[0]  # noqa: E731
        else:
            call = lambda x: model[0].apply(model[1], x)  # noqa: E731
        return jax.grad(lambda x: call(x)[np.arange(len(x)), targets].sum())(x)

    ours = run(model, inputs, "gradient").scores["spearman"]
    theirs = run(model, inputs, mine).scores["spearman"]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert set(seen) == {type(model)}


def test_an_explainer_that_is_bound_to_an_immutable_model_is_refused():
    class Bound:
        def __init__(self, model):
            self.model = model

        def explain(self, inputs, targets):
            return inputs

    model = zoo.MODELS["linen_mlp"][0]()
    with pytest.raises(ExplanationError, match="model under test"):
        run(model, zoo.VECTORS, Bound(model))


def test_randomize_returns_a_model_of_the_same_type():
    for name in ("nnx_mlp", "linen_mlp", "equinox_mlp", "equinox_normed", "bare"):
        make, inputs = zoo.MODELS[name]
        model = make()
        other = ar.FullRandomization().randomize(model, seed=0, example_inputs=inputs[:1])
        assert type(other) is type(model)
        assert other is not model
        pairs = zip(zoo.parameters(model), zoo.parameters(other), strict=True)
        assert not all(np.array_equal(a, b) for a, b in pairs)
