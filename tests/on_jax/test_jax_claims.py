"""What the backend claims, and what it leaves to others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import zoo
import zoo_equinox
import zoo_linen
from flax import nnx
from flax.training.train_state import TrainState

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, BackendError, ModelError
from agnostic_rand_jax import agnostic_rand_claim, jax_model


@pytest.mark.parametrize("name", zoo.MODELS)
def test_each_kind_of_model_is_claimed(name):
    model = zoo.MODELS[name][0]()
    claim = agnostic_rand_claim(model)
    assert claim is not None
    assert claim.backend == "jax"
    assert isinstance(model, claim.model_type)


def apply(params, x):
    return x @ params


@pytest.mark.parametrize(
    "model",
    [
        (apply,),
        (apply, jnp.ones((2, 2)), 3),
        [apply, jnp.ones((2, 2))],
        (apply, {"w": 1.0}),
        (apply, {}),
        (apply, apply),
        (np.ones((2, 2)), jnp.ones((2, 2))),
        (zoo_linen.Mlp(), jnp.ones((2, 2))),
        zoo_linen.Mlp(),
        apply,
        jnp.ones((2, 2)),
        None,
    ],
    ids=str,
)
def test_other_objects_are_left_to_others(model):
    assert agnostic_rand_claim(model) is None


def test_a_linen_module_without_its_variables_is_claimed_by_nobody():
    with pytest.raises(BackendError, match=r"a module without its variables.*Pass the pair \(module, variables\)"):
        ar.adapt(zoo_linen.Mlp())
    module, variables = zoo.MODELS["linen_cnn"][0]()
    with pytest.raises(BackendError, match=r"the function second.*\(apply, params\)"):
        ar.adapt((variables, module.apply))


class State(TrainState):
    """With statistics, as users add them."""

    batch_stats: Any


def states_of_training():
    module, variables = zoo.MODELS["linen_cnn"][0]()
    state = State.create(
        apply_fn=module.apply,
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        tx=optax.identity(),
    )
    return module, variables, state


@pytest.mark.parametrize("form", ["state", "bound", "state, forward", "bound, forward"])
def test_states_of_training_and_bound_modules_are_opened_as_their_pair(form):
    module, variables, state = states_of_training()
    held = state if "state" in form else module.bind(variables)
    forward = None
    if form == "state, forward":
        forward = lambda s, x: s.apply_fn({"params": s.params, "batch_stats": s.batch_stats}, x)  # noqa: E731
    elif form == "bound, forward":
        forward = lambda m, x: m(x)  # noqa: E731
    inputs = zoo.IMAGES
    pair = ar.adapt((module, variables), example_inputs=inputs[:1])
    adapter = ar.adapt(held, example_inputs=inputs[:1], forward=forward)
    assert adapter.native is held
    assert adapter.layers() == pair.layers()
    x = adapter.asarray(inputs)
    np.testing.assert_allclose(adapter.predict(x), pair.predict(x), rtol=1e-5)
    other = ar.FullRandomization().randomize(held, seed=0, example_inputs=inputs[:1], forward=forward)
    expected = ar.FullRandomization().randomize((module, variables), seed=0, example_inputs=inputs[:1])
    assert type(other) is type(held)
    made = other.params if "state" in form else other.variables["params"]
    assert jax.tree.all(jax.tree.map(np.array_equal, dict(made), dict(expected[1]["params"])))
    metric = ar.ModelRandomizationMetric(held, inputs, None, ar.FullRandomization(), forward=forward)
    assert np.isfinite(metric.evaluate("gradient"))


def test_the_bound_apply_of_a_linen_module_is_opened_as_linen():
    module, variables = zoo.MODELS["linen_cnn"][0]()
    pair, inputs = (module.apply, variables), zoo.IMAGES
    adapter = ar.adapt(pair, example_inputs=inputs[:1])
    assert adapter.layers() == ar.adapt((module, variables), example_inputs=inputs[:1]).layers()
    told = ar.adapt(pair, forward=lambda model, x: 2 * model[0](model[1], x), example_inputs=inputs[:1])
    x = adapter.asarray(inputs)
    np.testing.assert_allclose(told.predict(x), 2 * adapter.predict(x), rtol=1e-5)
    other = ar.FullRandomization().randomize(pair, seed=0, example_inputs=inputs[:1])
    assert other[0] == module.apply
    assert other[0](other[1], inputs).shape == (6, 4)


def test_a_stateful_equinox_module_without_its_state_is_refused_with_what_to_pass():
    model, _ = eqx.nn.make_with_state(zoo_equinox.NormedCnn)(zoo.KEY)
    with pytest.raises(ModelError, match=r"Pass \(model, state\)"):
        ar.adapt(model, example_inputs=zoo.CHANNELS_FIRST[:1])


def test_linen_variables_without_the_collection_params_are_refused_with_the_fix():
    module, variables = zoo.linen_pair(zoo_linen.Mlp(), zoo.VECTORS)
    with pytest.raises(ModelError, match=r"the collections 'aa_head', 'zz_hidden'.*\{'params': params\}"):
        ar.adapt((module, variables["params"]))


def test_models_without_parameters_are_refused():
    with pytest.raises(ModelError, match=r"nnx\.Param"):
        ar.adapt(nnx.Sequential(nnx.relu))
    with pytest.raises(ModelError, match="array of numbers"):
        ar.adapt((apply, np.array(["a"])))


def test_jax_model_refuses_what_is_not_callable():
    with pytest.raises(ArgumentError, match="apply"):
        jax_model(jnp.ones(3), apply)


def test_a_model_that_cannot_be_called_on_the_inputs_says_so():
    with pytest.raises(ModelError, match=r"shape \(1, 7\)"):
        ar.adapt(zoo.bare_pair(), example_inputs=np.ones((1, 7), np.float32))
    with pytest.raises(ModelError, match="forward=lambda"):
        ar.adapt((lambda p, x: (x @ p, p), jnp.ones((6, 2))), example_inputs=zoo.VECTORS[:1])


def test_the_plugin_imports_no_framework():
    code = (
        "import sys, agnostic_rand_jax as plugin\n"
        "assert plugin.agnostic_rand_claim((lambda p, x: x, [1.0])) is None\n"
        "loaded = {'jax', 'flax', 'equinox'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
