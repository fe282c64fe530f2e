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
from agnostic_rand.errors import ExplanationError, NonFiniteOutputError, WeightsError

STRATEGY = ar.CascadingRandomization(groups=3)


def metric(model, inputs, **options):
    settings = {"randomization_strategy": STRATEGY, "seed": 4, "batch_size": 4} | options
    return ar.ModelRandomizationMetric(model, inputs, **settings)


def run(model, inputs, explainer, **options):
    return metric(model, inputs, **options).run(explainer)


@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        ("nnx_cnn", "guided_backprop"),
        ("nnx_tied", "saliency"),
        ("linen_mlp", "input_map"),
        ("equinox_normed", "gradient_times_input"),
        ("bare", "guided_backprop"),
    ],
)
def test_scores_do_not_depend_on_the_isolation(name, explainer):
    make, inputs = zoo.MODELS[name]
    metrics = [metric(make(), inputs, isolation=isolation) for isolation in ("clone", "in_place")]
    first, again = (each.run(explainer).scores["spearman"] for each in metrics)
    np.testing.assert_array_equal(first, again)
    if explainer == "input_map":
        np.testing.assert_allclose(first, 1.0, atol=1e-12)
    else:
        assert np.nanmin(first) < 0.9


@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        ("nnx_mlp", "saliency"),
        ("linen_cnn", "guided_backprop"),
        ("equinox_mlp", "gradient_times_input"),
        ("bare", ar.explainers.SmoothGrad(samples=3)),
    ],
)
def test_scores_do_not_depend_on_the_batch_size(name, explainer):
    make, inputs = zoo.MODELS[name]
    rng = np.random.default_rng(9)
    inputs = np.concatenate([inputs, rng.standard_normal((12 - len(inputs), *inputs.shape[1:]))])
    inputs = inputs.astype(np.float32)
    # No ranks: kernels round by the size of the batch, and one may turn.
    alone, seven, whole = (
        run(make(), inputs, explainer, batch_size=size, measures=["pearson"]).scores["pearson"]
        for size in (1, 7, 64)
    )
    for scores in (alone, seven):
        np.testing.assert_allclose(scores, whole, atol=1e-4)
    assert np.nanmin(whole) < 0.9


@pytest.mark.parametrize("name", ["nnx_transformer", "linen_vit", "equinox_mlp", "equinox_cnn", "bare"])
def test_all_parameters_are_random_in_the_end(name):
    make, inputs = zoo.MODELS[name]
    model = make()
    result = run(model, inputs, "input_map")
    assert result.coverage == 1.0
    assert result.steps[-1].coverage == 1.0


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


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("name", ["linen_mlp", "equinox_mlp", "bare"])
def test_an_immutable_model_is_as_it_was_after_an_exception_too(name, isolation):
    make, inputs = zoo.MODELS[name]
    model = make()
    leaves = [leaf for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array | np.ndarray)]
    before = [np.array(leaf) for leaf in leaves]
    seen = []

    def fails_late(model, inputs, targets):
        seen.append(model)
        if len(seen) > 4:
            raise RuntimeError("late")
        return inputs

    with pytest.raises(RuntimeError, match="late"):
        run(model, inputs, fails_late, isolation=isolation)
    after = [leaf for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array | np.ndarray)]
    assert all(a is b and np.array_equal(b, c) for a, b, c in zip(after, leaves, before, strict=True))
    changed = zip(zoo.parameters(seen[-1]), zoo.parameters(model), strict=True)
    assert not all(np.array_equal(a, b) for a, b in changed), "it failed on a random model"


@pytest.mark.parametrize("name", ["linen_mlp", "nnx_cnn", "equinox_mlp"])
def test_no_global_random_state_moves(name):
    make, inputs = zoo.MODELS[name]
    model = make()
    states = random.getstate(), np.random.get_state()[1].tolist()
    run(model, inputs, ar.explainers.SmoothGrad(samples=3))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_an_undefined_score_is_nan_and_counted():
    def flat_for_some(_model, inputs, _targets):
        return inputs.at[:2].set(1.0)

    result = run(zoo.bare_pair(), zoo.VECTORS, flat_for_some)
    scores = result.scores["spearman"]
    undefined = np.arange(8) % 4 < 2
    assert np.isnan(scores[..., undefined]).all()
    assert np.isfinite(scores[..., ~undefined]).all()
    assert (result.undefined["spearman"] == 4).all()


def test_outputs_that_are_not_finite_are_an_error_that_names_the_step():
    strategy = ar.FullRandomization(perturbation=ar.Uniform(1e30, 2e30))
    with pytest.raises(NonFiniteOutputError, match="step 0"):
        run(zoo.bare_pair(), zoo.VECTORS, "saliency", randomization_strategy=strategy)


def test_weights_that_are_not_finite_are_refused_by_name():
    apply, params = zoo.bare_pair()
    params["head"]["b"] = jnp.array([0.0, jnp.nan, 0.0])
    with pytest.raises((WeightsError, NonFiniteOutputError), match=r"head\.b|trained model"):
        run((apply, params), zoo.VECTORS, "saliency")


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

    metric = ar.ModelRandomizationMetric(
        model, inputs[:4], randomization_strategy=ar.FullRandomization(), batch_size=4, seed=4
    )
    ours, theirs = (metric.run(explainer).scores["spearman"] for explainer in ("gradient", mine))
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
