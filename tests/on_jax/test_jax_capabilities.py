"""Native initializers, statistics of the data, layers seen from inside, and training."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
import zoo_equinox
from flax import linen as nn
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.adapters import (
    SupportsLayerGradient,
    SupportsNativeInit,
    SupportsOutputAndGradient,
    SupportsRandomState,
    SupportsReluRules,
    SupportsStatistics,
    SupportsTraining,
)
from agnostic_rand.errors import ModelError, UnknownNameError
from agnostic_rand_jax import jax_model

CNNS = ("nnx_cnn", "linen_cnn", "equinox_normed")


@pytest.mark.parametrize("name", ["nnx_mlp", "linen_mlp", "equinox_mlp", "bare"])
def test_capabilities(name):
    adapter, _ = zoo.opened(name)
    for capability in (SupportsOutputAndGradient, SupportsReluRules, SupportsNativeInit, SupportsTraining):
        assert isinstance(adapter, capability)
    assert isinstance(adapter, SupportsLayerGradient) == (name != "bare")
    assert isinstance(adapter, SupportsStatistics) == (name != "bare")
    assert not isinstance(adapter, SupportsRandomState)


@pytest.mark.parametrize("name", ["nnx_cnn", "nnx_transformer", "linen_cnn", "equinox_cnn"])
def test_native_initializers_draw_at_their_own_scale(name):
    adapter, _ = zoo.opened(name)
    for layer in adapter.layers():
        before = adapter.read(layer.name)
        drawn, again = adapter.native_init(layer.name, 2**62 + 3), adapter.native_init(layer.name, 2**62 + 3)
        other = adapter.native_init(layer.name, 3)
        for parameter in layer.parameters:
            if parameter.role != "kernel":
                continue
            value = drawn[parameter.name]
            assert value.shape == parameter.shape
            np.testing.assert_array_equal(value, again[parameter.name])
            assert not np.array_equal(value, other[parameter.name])
            assert not np.array_equal(value, before[parameter.name])
            # Flax: variance 1 / fan-in. Equinox: uniform up to 1 / sqrt(fan-in), a third of it.
            expected = np.sqrt(1 / parameter.fan_in / (3 if name.startswith("equinox") else 1))
            assert value.std() == pytest.approx(expected, rel=0.45)
        assert all(np.array_equal(adapter.read(layer.name)[key], value) for key, value in before.items())


def test_native_initializers_of_linen_cover_parameters_of_the_users_own():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            token = self.param("token", nn.initializers.normal(1.0), (8, 6))
            return Scaled(name="scaled")(x + token[0])

    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x * self.param("layer_scale", nn.initializers.constant(0.5), (6,))

    adapter = ar.adapt(zoo.linen_pair(Own(), zoo.VECTORS), example_inputs=zoo.VECTORS[:1])
    assert np.array_equal(adapter.native_init("scaled", 0)["layer_scale"], np.full(6, 0.5, np.float32))
    assert adapter.native_init("token", 0)["token"].std() > 0.3


def test_native_initializers_of_a_bare_model_are_what_it_was_told():
    apply, params = zoo.bare_pair()

    def init(key):
        return jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), params)

    adapter = ar.adapt(jax_model(apply, params, init=init))
    drawn = adapter.native_init("head", 5)
    assert set(drawn) == {"w", "b"}
    assert not np.array_equal(drawn["b"], np.asarray(params["head"]["b"]))
    assert ar.adapt((apply, params)).native_init("head", 5) == {}


def test_a_layer_without_an_initializer_has_none():
    adapter, _ = zoo.opened("nnx_transformer")
    assert adapter.native_init("token", 0) == {}
    assert adapter.native_init("blocks.0", 0) == {}


def convolved(model, inputs):
    """What reaches the normalization, channels last."""
    if isinstance(model, nnx.Module):
        return np.asarray(model.conv(jnp.asarray(inputs)))
    if isinstance(model[0], eqx.Module):
        return np.moveaxis(np.asarray(jax.vmap(model[0].conv)(jnp.asarray(inputs))), 1, -1)
    return np.asarray(nn.Conv(6, (3, 3)).apply({"params": model[1]["params"]["Conv_0"]}, inputs))


@pytest.mark.parametrize("name", CNNS)
def test_statistics_are_those_of_the_data(name):
    adapter, inputs = zoo.opened(name)
    (layer,) = [layer for layer in adapter.layers() if layer.statistics]
    before = adapter.read(layer.name)
    found = adapter.estimate_statistics(adapter.asarray(inputs), [layer.name])[layer.name]
    data = convolved(adapter.native, inputs)
    np.testing.assert_allclose(found["mean"], data.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found["var"], data.var((0, 1, 2)), rtol=1e-3, atol=1e-5)
    assert all(np.array_equal(adapter.read(layer.name)[key], value) for key, value in before.items())


def test_statistics_of_several_layers_follow_each_other():
    class Two(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.first = nnx.BatchNorm(6, rngs=rngs)
            self.second = nnx.BatchNorm(6, rngs=rngs)

        def __call__(self, x):
            return self.second(3 * self.first(x))

    class LinenTwo(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = nn.BatchNorm(use_running_average=not train, name="first")(x)
            return nn.BatchNorm(use_running_average=not train, name="second")(3 * x)

    x = 5 + 2 * zoo.VECTORS
    for model in (Two(), (LinenTwo(), LinenTwo().init(zoo.KEY, x))):
        adapter = ar.adapt(model, example_inputs=x[:1])
        both = adapter.estimate_statistics(adapter.asarray(x), ["first", "second"])
        np.testing.assert_allclose(both["second"]["var"], 9.0, rtol=1e-3)
        alone = adapter.estimate_statistics(adapter.asarray(x), ["second"])
        np.testing.assert_allclose(alone["second"]["var"], 9 * x.var(0), rtol=1e-3)
        assert set(alone) == {"second"}


def test_equinox_statistics_behind_a_forward_function_are_refused():
    model, state = eqx.nn.make_with_state(zoo_equinox.NormedCnn)(zoo.KEY)

    def forward(pair, x):
        return jax.vmap(pair[0], axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, pair[1])[0]

    adapter = ar.adapt((model, state), forward=forward)
    with pytest.raises(ModelError, match="Leave forward out"):
        adapter.estimate_statistics(adapter.asarray(zoo.CHANNELS_FIRST), ["norm"])


def test_linen_statistics_inside_a_checkpoint_are_refused():
    class Inside(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.remat(nn.BatchNorm)(use_running_average=True, name="norm")(x)

    adapter = ar.adapt(zoo.linen_pair(Inside(), zoo.VECTORS), example_inputs=zoo.VECTORS[:1])
    with pytest.raises(ModelError, match=r"outside of nn\.scan"):
        adapter.estimate_statistics(adapter.asarray(zoo.VECTORS), ["norm"])
    with pytest.raises(ModelError, match=r"outside of nn\.scan"):
        adapter.trainer(learning_rate=0.1, seed=0)(zoo.VECTORS, np.zeros(8, np.int64))


@pytest.mark.parametrize("name", CNNS)
def test_statistics_of_an_unknown_layer_are_refused_with_the_nearest_names(name):
    adapter, inputs = zoo.opened(name)
    (layer,) = [layer.name for layer in adapter.layers() if layer.statistics]
    with pytest.raises(UnknownNameError, match=rf"'{layer[:-1]}x'.*{layer}"):
        adapter.estimate_statistics(adapter.asarray(inputs), [layer, layer[:-1] + "x"])


def test_recalibration_runs_through_the_metric():
    make, inputs = zoo.MODELS["nnx_cnn"]
    model = make()
    scores = {}
    for statistics in ("recalibrate", "reset"):
        seen = []
        strategy = ar.FullRandomization(statistics=statistics)
        metric = ar.ModelRandomizationMetric(model, inputs, randomization_strategy=strategy, seed=0)
        metric.run(lambda native, x, _targets: seen.append(np.array(native.norm.mean.get_value())) or x)  # noqa: B023
        scores[statistics] = seen[-1]
    assert not scores["reset"].any()
    assert scores["recalibrate"].all()


@pytest.mark.parametrize(
    ("name", "layer"),
    [("nnx_mlp", "hidden"), ("linen_mlp", "zz_hidden"), ("equinox_mlp", "layers.0")],
)
def test_layer_gradients_are_the_chain_rule(name, layer):
    adapter, inputs = zoo.opened(name)
    targets = np.arange(8) % 3
    x = adapter.asarray(inputs)
    hidden, gradient = adapter.layer_gradient(x, adapter.asarray(targets), layer)
    first, head = (adapter.read(entry.name) for entry in adapter.layers())
    turned = name.startswith("equinox")
    kernels = [part["weight"].T if turned else part["kernel"] for part in (first, head)]
    np.testing.assert_allclose(hidden, inputs @ kernels[0] + first["bias"], atol=1e-5)
    np.testing.assert_allclose(gradient, kernels[1].T[targets] * (np.asarray(hidden) > 0), atol=1e-5)
    few = adapter.layer_gradient(x[:3], adapter.asarray(targets[:3]), layer)
    np.testing.assert_allclose(few[1], gradient[:3], atol=1e-6)


@pytest.mark.parametrize("name", ["nnx_cnn", "linen_cnn", "equinox_normed"])
def test_layers_are_named_with_the_shape_of_their_output(name):
    adapter, inputs = zoo.opened(name)
    x = adapter.asarray(inputs)
    shapes = adapter.layer_shapes(x)
    assert {layer.name for layer in adapter.layers() if layer.kind not in ("array", "param")} <= set(shapes)
    targets = adapter.asarray(np.zeros(len(inputs), np.int64))
    for layer, shape in shapes.items():
        assert shape[0] == len(inputs)
        output, gradient = adapter.layer_gradient(x, targets, layer)
        assert output.shape == gradient.shape == shape
    last = list(shapes)[-1]
    np.testing.assert_allclose(adapter.layer_gradient(x, targets, last)[0], adapter.predict(x), atol=1e-5)


def test_a_layer_that_is_called_twice_is_seen_at_its_last_call():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(6, name="twice", use_bias=False)
            return nn.Dense(2, name="head", use_bias=False)(layer(nn.relu(layer(x))))

    model = zoo.linen_pair(Twice(), zoo.VECTORS)
    adapter = ar.adapt(model, example_inputs=zoo.VECTORS[:1])
    targets = np.zeros(8, np.int64)
    output, gradient = adapter.layer_gradient(adapter.asarray(zoo.VECTORS), adapter.asarray(targets), "twice")
    kernel, head = (np.asarray(model[1]["params"][name]["kernel"]) for name in ("twice", "head"))
    np.testing.assert_allclose(output, np.maximum(zoo.VECTORS @ kernel, 0) @ kernel, atol=1e-5)
    np.testing.assert_allclose(gradient, np.tile(head[:, 0], (8, 1)), atol=1e-6)


def test_layers_inside_jit_and_checkpoints_are_seen_and_others_are_refused():
    class Inside(nn.Module):
        @nn.compact
        def __call__(self, x):
            nn.Dense(3, name="unused")(x)
            return nn.Dense(2, name="head")(nn.remat(nn.Dense)(4, name="inside")(x))

    adapter = ar.adapt(zoo.linen_pair(Inside(), zoo.VECTORS), example_inputs=zoo.VECTORS[:1])
    x, targets = adapter.asarray(zoo.VECTORS), adapter.asarray(np.zeros(8, np.int64))
    assert adapter.layer_gradient(x, targets, "inside")[0].shape == (8, 4)
    with pytest.raises(UnknownNameError, match="'insight'"):
        adapter.layer_gradient(x, targets, "insight")
    with pytest.raises(ModelError, match="not used"):
        adapter.layer_gradient(x, targets, "unused")


@pytest.mark.parametrize("name", ["nnx_cnn", "linen_cnn", "equinox_normed", "equinox_cnn", "bare"])
def test_training_lowers_the_loss_and_repeats(name):
    def trained():
        adapter, inputs = zoo.opened(name)
        labels = np.arange(len(inputs)) % 3
        step = adapter.trainer(learning_rate=0.02, seed=7)
        return adapter, [step(inputs, labels)[0] for _ in range(30)]

    adapter, losses = trained()
    assert np.mean(losses[-5:]) < 0.92 * np.mean(losses[:5])
    again, repeated = trained()
    assert losses == repeated
    for layer in adapter.layers():
        for key, value in adapter.read(layer.name).items():
            np.testing.assert_array_equal(again.read(layer.name)[key], value)


@pytest.mark.parametrize(("name", "momentum"), [("nnx_cnn", 0.99), ("linen_cnn", 0.99), ("equinox_normed", 0.99)])
def test_training_moves_the_running_statistics(name, momentum):
    adapter, inputs = zoo.opened(name)
    (layer,) = [layer for layer in adapter.layers() if layer.statistics]
    before = adapter.read(layer.name)
    batch = adapter.estimate_statistics(adapter.asarray(inputs), [layer.name])[layer.name]
    adapter.trainer(learning_rate=0.0, seed=0)(inputs, np.zeros(len(inputs), np.int64))
    after = adapter.read(layer.name)
    for key in ("mean", "var"):
        np.testing.assert_allclose(after[key], momentum * before[key] + (1 - momentum) * batch[key], atol=1e-5)


def test_the_first_step_of_training_is_adams():
    apply, params = zoo.bare_pair()
    adapter = ar.adapt((apply, params))
    labels = np.arange(8) % 3

    def loss(params):
        return -jnp.take_along_axis(jax.nn.log_softmax(apply(params, zoo.VECTORS)), labels[:, None], 1).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    reported, correct = adapter.trainer(learning_rate=0.01, seed=0)(zoo.VECTORS, labels)
    assert reported == pytest.approx(float(value), rel=1e-5)
    assert correct == int((apply(params, zoo.VECTORS).argmax(1) == labels).sum())
    moved = np.asarray(adapter.native[1]["head"]["w"]) - np.asarray(params["head"]["w"])
    slope = np.asarray(gradient["head"]["w"])
    np.testing.assert_allclose(moved, -0.01 * slope / (np.abs(slope) + 1e-8), atol=1e-6)


@pytest.mark.parametrize("name", ["nnx_cnn", "linen_cnn", "equinox_cnn"])
def test_dropout_is_on_in_training_only_and_follows_the_seed(name):
    def first_loss(seed):
        adapter, inputs = zoo.opened(name)
        labels = np.zeros(len(inputs), np.int64)
        return adapter.trainer(learning_rate=0.0, seed=seed)(inputs, labels)[0]

    assert first_loss(1) == first_loss(1)
    assert first_loss(1) != first_loss(2)
