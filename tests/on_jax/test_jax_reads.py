"""What the outputs depend on: the parameters in use, arrays that are none, and never the trained model's."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
import zoo_linen
from flax import linen as nn
from flax import nnx
from zoo_heads import HEADS, KEYS, NnxHeads

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = zoo.VECTORS
FULL = ar.FullRandomization()
TABLE = np.linspace(0.5, 1.5, 6, dtype=np.float32)


def metric(model, strategy=FULL, **options):
    return ar.ModelRandomizationMetric(model, X, randomization_strategy=strategy, seed=0, **options)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_forward_leaves_out_is_in_no_step_and_is_named(kind):
    build, call, _ = HEADS[kind]
    result = metric(build(), ar.CascadingRandomization(), forward=lambda m, x: call(m, x)["cls"]).run("gradient")
    assert [step.name for step in result.steps] == ["cls", "second", "first"]
    assert result.steps[-1].coverage == 1
    assert result.steps[-1].total == 6 * 5 + 5 + 5 * 5 + 5 + 5 * 3 + 3
    assert result.settings["unused_parameters"] == ["aux"]
    assert any("do not depend on aux" in finding for finding in result.findings)
    assert result.mean()[-1] < 0.9


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("kind", HEADS)
def test_forward_that_calls_the_outer_model_is_refused(kind, isolation):
    build, call, _ = HEADS[kind]
    model = build()
    with pytest.raises(ModelError, match=r"bound to the array itself.*forward= call the model that it is given"):
        metric(model, forward=lambda _, x: call(model, x)["cls"], isolation=isolation)


OUTER = NnxHeads()


def in_a_generator(h):
    return sum(OUTER.cls(part) for part in (h,))


def in_a_nested_function(h):
    return (lambda part: OUTER.cls(part))(h)


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("read", [in_a_generator, in_a_nested_function])
def test_functions_that_use_a_layer_by_a_global_name_are_refused(monkeypatch, read, isolation):
    monkeypatch.setattr(OUTER, "read", read)
    with pytest.raises(ModelError, match=r"'cls'.*bound to the array itself"):
        metric(OUTER, forward=lambda m, x: m(x)["cls"], isolation=isolation)


def test_without_an_example_a_function_that_uses_a_layer_by_a_global_name_is_not_copied(monkeypatch):
    monkeypatch.setattr(OUTER, "read", in_a_generator)
    with pytest.raises(ModelError, match=r"in_a_generator.*bound to a NnxHeads of its own.*example_inputs"):
        FULL.randomize(OUTER, seed=0)


class NnxFixed(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.body, self.head = nnx.Linear(6, 6, rngs=rngs), nnx.Linear(6, 3, rngs=rngs)
        self.table, self.idle = jnp.asarray(TABLE), jnp.asarray(TABLE)
        self.kept = nnx.Cache(jnp.asarray(TABLE[::-1]))

    def __call__(self, x):
        return self.head(nnx.relu(self.body(x) * self.table) + self.kept[...])


class LinenFixed(nn.Module):
    @nn.compact
    def __call__(self, x):
        kept = self.variable("constants", "table", lambda: jnp.asarray(TABLE))
        return nn.Dense(3)(nn.relu(nn.Dense(6)(x) * kept.value))


class EquinoxFixed(eqx.Module):
    body: eqx.nn.Linear
    head: eqx.nn.Linear
    function: object

    def __init__(self):
        self.body, self.head = eqx.nn.Linear(6, 6, key=KEYS[0]), eqx.nn.Linear(6, 3, key=KEYS[1])
        self.function = lambda x: x * TABLE

    def __call__(self, x):
        return self.head(jax.nn.relu(self.function(self.body(x))))


def bare_fixed():
    params = {"head": jax.random.normal(KEYS[0], (6, 3))}
    return lambda p, x: (x * TABLE + np.zeros((1, 6), np.float32)) @ p["head"], params


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (NnxFixed, ["table", "kept"]),
        (lambda: zoo.linen_pair(LinenFixed(), X), ["constants.table"]),
        (EquinoxFixed, ["a constant array of shape (6,)"]),
        (bare_fixed, ["a constant array of shape (6,)"]),
    ],
    ids=["nnx", "linen", "equinox", "bare"],
)
def test_arrays_that_the_outputs_depend_on_and_that_are_no_parameters_are_told(build, names):
    result = metric(build()).run("gradient")
    assert sorted(result.settings["other_arrays"]) == sorted(names)
    assert any(names[0] in finding for finding in result.findings)


def test_a_weight_that_was_computed_once_and_kept_leaves_its_parameters_unused_and_is_told():
    class Kept(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.body, self.head = nnx.Linear(6, 6, rngs=rngs), nnx.Linear(6, 3, rngs=rngs)
            self.weight = nnx.Cache(2 * self.body.kernel[...])

        def __call__(self, x):
            return self.head(nnx.relu(x @ self.weight[...]))

    result = metric(Kept()).run("gradient")
    assert result.settings["unused_parameters"] == ["body"]
    assert result.settings["other_arrays"] == ["weight"]
    assert sum("weight" in finding or "body" in finding for finding in result.findings) == 2


def unused(apply, params):
    adapter = ar.adapt((apply, params), example_inputs=X[:2])
    return {layer.name for layer in adapter.layers() if not layer.used}


@pytest.mark.parametrize("around", [lambda f: f, jax.jit, jax.checkpoint], ids=["plain", "jit", "remat"])
def test_what_a_loop_carries_beside_the_outputs_is_unused(around):
    def apply(p, x):
        def body(carried, _):
            h, beside, late = carried
            return (jnp.tanh(h @ p["used"]) + late, beside @ p["beside"], late * p["late"]), h @ p["stacked"]

        (h, beside, _), _ = jax.lax.scan(body, (x, x, jnp.ones(())), None, length=3)
        steps = jax.lax.while_loop(
            lambda c: c[0] < p["limit"],
            lambda c: (c[0] + 1, c[1] @ p["round"], c[2] @ p["spare"]),
            (0.0, h, beside),
        )
        return jax.lax.cond(x.sum() > 0, lambda h: h @ p["yes"], lambda h: h @ p["no"], steps[1])

    names = ("used", "beside", "stacked", "round", "spare", "yes", "no")
    params = {name: jnp.eye(6) + i for i, name in enumerate(names)} | {
        "late": jnp.ones(6)[0] + 1,
        "limit": jnp.float32(2),
    }
    assert unused(around(apply), params) == {"beside", "stacked", "spare"}


def test_the_way_back_of_a_custom_derivative_is_no_use():
    @jax.custom_vjp
    def through(x, kernel, back):
        return x @ kernel

    through.defvjp(lambda x, k, b: (x @ k, (k, b)), lambda r, g: (g @ r[0].T, r[0] * 0, r[1]))
    params = {"kernel": jnp.eye(6) + 0.1, "back": jnp.ones(6), "head": jnp.ones((6, 3))}
    assert unused(lambda p, x: through(x, p["kernel"], p["back"]) @ p["head"], params) == {"back"}


@pytest.mark.parametrize("wrap", [jax.jit, lambda apply: lambda v, x: apply(v, x)], ids=["jit", "function"])
def test_running_statistics_belong_to_their_layer_when_apply_is_wrapped(wrap):
    module, variables = zoo.linen_pair(zoo_linen.Cnn(), zoo.IMAGES)
    wrapped = (wrap(module.apply), variables)
    layers = ar.adapt(wrapped, example_inputs=zoo.IMAGES[:1]).layers()
    (norm,) = [layer for layer in layers if layer.statistics]
    assert norm.name == "params/BatchNorm_0"
    assert {p.name: p.role for p in norm.parameters} == {"scale": "scale", "bias": "shift"}
    assert {p.name: p.role for p in norm.statistics} == {"mean": "mean", "var": "variance"}
    # So the same weights are drawn as for the module itself, and the same statistics reset.
    expected, given = (
        FULL.randomize(model, seed=0, example_inputs=zoo.IMAGES[:1])[1] for model in ((module, variables), wrapped)
    )
    jax.tree.map(np.testing.assert_array_equal, given, expected)


def test_the_statistics_of_each_written_out_normalization_go_to_its_own_layer():
    def apply(p, x):
        for name in ("a", "b"):
            inverse = p[name]["gamma"] / jnp.sqrt(p["state"][f"v_{name}"] + 1e-3)
            x = (x * inverse + (p[name]["beta"] - p["state"][f"m_{name}"] * inverse)) @ p[name]["w"]
        return (x - p["state"]["m"]) / jnp.sqrt(p["state"]["v"] + 1e-3)

    row = jnp.linspace(0.5, 1.5, 6)
    layer = {"gamma": row, "beta": row, "w": jnp.eye(6)}
    state = dict.fromkeys(("m_a", "v_a", "m_b", "v_b", "m", "v"), row)
    # Of equal values, and not one array.
    params = jax.tree.map(lambda leaf: leaf + 0, {"a": layer, "b": layer, "state": state})
    held = {
        layer.name: {p.name for p in layer.statistics}
        for layer in ar.adapt((apply, params), example_inputs=X[:2]).layers()
    }
    assert held["a"] == {"m_a", "v_a"}
    assert held["b"] == {"m_b", "v_b"}
    # One that has neither scale nor shift stays where it is kept.
    assert held["state"] == {"m", "v"}
