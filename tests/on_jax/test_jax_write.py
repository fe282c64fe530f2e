"""What is written is read back; who holds the model sees it, or sees nothing, as the framework has it."""

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
from flax.core import FrozenDict

import agnostic_rand as ar
from agnostic_rand.errors import UnknownNameError, WeightsError
from agnostic_rand_jax import jax_model

X = zoo.VECTORS


def fresh(values, seed=0):
    rng = np.random.default_rng(seed)
    return {name: np.asarray(rng.random(v.shape) + 0.5, v.dtype) for name, v in values.items()}


@pytest.mark.parametrize("name", zoo.MODELS)
def test_write_is_exact_and_touches_one_layer(name):
    make, inputs = zoo.MODELS[name]
    adapter = ar.adapt(make(), example_inputs=inputs[:1])
    before = {layer.name: adapter.read(layer.name) for layer in adapter.layers()}
    for number, layer in enumerate(adapter.layers()):
        new = fresh(before[layer.name], number)
        adapter.write(layer.name, new)
        after = {other: adapter.read(other) for other in before}
        for other, values in after.items():
            expected = new if other == layer.name else before[other]
            assert all(np.array_equal(values[key], expected[key]) for key in expected), (layer.name, other)
        before[layer.name] = new


@pytest.mark.parametrize("name", zoo.MODELS)
def test_native_holds_the_weights_that_were_written(name):
    make, inputs = zoo.MODELS[name]
    model = make()
    adapter = ar.adapt(model, example_inputs=inputs[:1])
    assert adapter.native is model
    for layer in adapter.layers():
        adapter.write(layer.name, fresh(adapter.read(layer.name)))
    native = adapter.native
    assert type(native) is type(model)
    seen = ar.adapt(native)
    if name in ("nnx_cnn", "linen_mlp", "equinox_normed", "bare"):
        outputs = (each.to_numpy(each.predict(each.asarray(inputs))) for each in (adapter, seen))
        np.testing.assert_array_equal(*outputs)
    for layer in adapter.layers():
        for key, value in adapter.read(layer.name).items():
            np.testing.assert_array_equal(seen.read(layer.name)[key], value)


def test_an_nnx_module_is_changed_in_place():
    model = zoo.MODELS["nnx_mlp"][0]()
    variable = model.head.kernel
    adapter = ar.adapt(model)
    adapter.write("head", {"kernel": np.full((5, 3), 2, np.float32)})
    assert model.head.kernel is variable
    assert (np.asarray(variable.get_value()) == 2).all()
    assert adapter.native is model


@pytest.mark.parametrize("name", [name for name in zoo.MODELS if not name.startswith("nnx")])
def test_immutable_models_of_the_caller_stay_as_they_are(name):
    make, inputs = zoo.MODELS[name]
    model = make()
    before = [np.array(leaf) for leaf in zoo.parameters(model)]
    metric = ar.ModelRandomizationMetric(
        model, inputs, randomization_strategy=ar.FullRandomization(), isolation="in_place", seed=0
    )
    metric.run("input_map")
    assert all(np.array_equal(a, b) for a, b in zip(before, zoo.parameters(model), strict=True))


def test_a_frozen_dictionary_stays_one():
    module, variables = zoo.MODELS["linen_mlp"][0]()
    adapter = ar.adapt((module, FrozenDict(variables)))
    adapter.write("aa_head", {"bias": np.ones(3, np.float32)})
    assert isinstance(adapter.native[1], FrozenDict)


def test_jax_model_keeps_what_it_was_told():
    apply, params = zoo.bare_pair()
    model = jax_model(apply, params, channel_axis=2, roles={"*": ("other", None)})
    adapter = ar.adapt(model)
    adapter.write("head", {"b": np.zeros(3, np.float32)})
    assert adapter.channel_axis == 2
    assert adapter.native.roles == model.roles
    assert not np.asarray(adapter.native.params["head"]["b"]).any()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_types_stay_and_bfloat16_is_read_as_float32(dtype):
    adapter = ar.adapt((lambda p, x: x @ p["w"], {"w": jnp.ones((6, 3), dtype)}), example_inputs=X[:1])
    value = np.linspace(-1, 1, 18).reshape(6, 3)
    adapter.write("w", {"w": value.astype(np.float32)})
    held = adapter.read("w")["w"]
    assert held.dtype == (np.float16 if dtype == jnp.float16 else np.float32)
    np.testing.assert_array_equal(held, np.asarray(jnp.asarray(value, dtype)).astype(held.dtype))
    assert adapter.native[1]["w"].dtype == dtype
    inputs = adapter.asarray(X)
    assert inputs.dtype == dtype
    outputs, gradient = adapter.output_and_gradient(inputs, adapter.asarray(np.zeros(len(X), np.int64)))
    assert outputs.dtype == gradient.dtype == jnp.float32
    assert adapter.to_numpy(inputs).dtype == np.float32


def test_parameters_stay_on_the_device_that_they_were_put_on():
    device = jax.devices()[0]
    params = {"w": jax.device_put(jnp.ones((6, 3)), device), "b": jnp.ones(3)}
    adapter = ar.adapt((lambda p, x: x @ p["w"] + p["b"], params))
    adapter.write("w", {"w": np.zeros((6, 3), np.float32)})
    adapter.write("b", {"b": np.zeros(3, np.float32)})
    assert adapter.native[1]["w"].committed
    assert not adapter.native[1]["b"].committed


def test_what_was_written_does_not_share_memory_with_the_callers_array():
    adapter = ar.adapt((lambda p, x: x @ p["w"], {"w": jnp.ones((6, 3))}))
    value = np.zeros((6, 3), np.float32)
    adapter.write("w", {"w": value})
    value[:] = 7
    held = adapter.read("w")["w"]
    assert not held.any()
    held[:] = 5
    assert not adapter.read("w")["w"].any()


def test_wrong_shapes_and_names_are_refused():
    adapter = ar.adapt(zoo.bare_pair())
    with pytest.raises(WeightsError, match=r"head\.b.*shape \(3,\).*shape \(4,\)"):
        adapter.write("head", {"b": np.ones(4, np.float32)})
    with pytest.raises(UnknownNameError, match="'bias'"):
        adapter.write("head", {"bias": np.ones(3, np.float32)})
    with pytest.raises(UnknownNameError, match="'heat'"):
        adapter.read("heat")


class Spectral(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.SpectralNorm(nn.Dense(4))(x, update_stats=False)


class SpectralNnx(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.part = nnx.SpectralNorm(nnx.Linear(6, 4, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.part(x)


class SpectralEquinox(eqx.Module):
    part: eqx.nn.SpectralNorm

    def __init__(self):
        self.part = eqx.nn.SpectralNorm(eqx.nn.Linear(6, 4, key=zoo.KEY), "weight", key=zoo.KEY)

    def __call__(self, x, state):
        return self.part(x, state)


@pytest.mark.parametrize(
    "make",
    [lambda: zoo.linen_pair(Spectral(), X), SpectralNnx, lambda: eqx.nn.make_with_state(SpectralEquinox)()],
    ids=["linen", "nnx", "equinox"],
)
def test_spectral_normalization_follows_its_kernel(make):
    adapter = ar.adapt(make(), example_inputs=X[:1])
    (layer,) = adapter.layers()
    before = adapter.read(layer.name)
    kernel = next(p for p in layer.parameters if p.role == "kernel")
    bias = next(p for p in layer.parameters if p.role == "bias")
    value = np.random.default_rng(2).standard_normal(kernel.shape).astype(np.float32)
    adapter.write(layer.name, {kernel.name: value, bias.name: np.zeros(4, np.float32)})
    outputs = adapter.to_numpy(adapter.predict(adapter.asarray(X)))
    matrix = value if kernel.axes == ("in", "out") else value.T
    np.testing.assert_allclose(outputs, X @ (matrix / np.linalg.svd(matrix)[1][0]), atol=1e-4)
    adapter.write(layer.name, before)
    assert all(np.array_equal(adapter.read(layer.name)[key], value) for key, value in before.items())


@pytest.mark.parametrize("mode", ["batch", "ema"])
def test_equinox_statistics_are_the_ones_that_normalize(mode):
    model, state = eqx.nn.make_with_state(zoo_equinox.NormedCnn)(zoo.KEY, mode=mode)
    x = jnp.asarray(zoo.CHANNELS_FIRST)
    for _ in range(3):
        _, state = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    inference = eqx.nn.inference_mode(model)
    expected = jnp.stack([inference(sample, state)[0] for sample in x])
    adapter = ar.adapt((model, state), example_inputs=zoo.CHANNELS_FIRST[:1])
    np.testing.assert_allclose(adapter.predict(x), expected, atol=1e-6)
    adapter.write("norm", {"mean": np.zeros(6, np.float32), "var": np.ones(6, np.float32)})
    convolved = jax.vmap(model.conv)(x) / np.sqrt(1 + 1e-5)
    hidden = jax.nn.relu(convolved).mean((2, 3))
    np.testing.assert_allclose(adapter.predict(x), jax.vmap(model.head)(hidden), atol=1e-5)
    # The caller's state is still usable: setting a value makes an Equinox state invalid.
    state.get(model.norm.ema_state_index or model.norm.batch_state_index)
