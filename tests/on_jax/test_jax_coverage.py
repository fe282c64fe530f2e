"""Every parameter is in exactly one layer, with its role and the meaning of its dimensions."""

from __future__ import annotations

from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
import zoo_nnx
from flax import linen as nn
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.errors import ModelError, WeightsError
from agnostic_rand_jax import jax_model


def entries(adapter):
    return {f"{layer.name}/{p.name}": p for layer in adapter.layers() for p in layer.parameters}


@pytest.mark.parametrize("traced", [True, False], ids=["traced", "declared"])
@pytest.mark.parametrize("name", zoo.MODELS)
def test_all_parameters_are_covered_once(name, traced):
    make, inputs = zoo.MODELS[name]
    model = make()
    adapter = ar.adapt(model, example_inputs=inputs[:1] if traced else None)
    held = [
        value
        for layer in adapter.layers()
        for p in layer.parameters
        for value in [adapter.read(layer.name)[p.name]]
    ]
    expected = zoo.parameters(model)
    assert Counter(a.tobytes() for a in held) == Counter(a.tobytes() for a in expected)
    assert sum(layer.size for layer in adapter.layers()) == sum(a.size for a in expected)
    assert len({layer.name for layer in adapter.layers()}) == len(adapter.layers())


def test_tied_parameters_are_listed_where_they_stand_too():
    aliases = {layer.name: layer.aliases for layer in ar.adapt(zoo_nnx.Tied(nnx.Rngs(0))).layers()}
    assert aliases["first"] == ("second.kernel",)
    assert set(aliases["shared"]) == {"again.kernel", "again.bias"}
    aliases = {layer.name: layer.aliases for layer in ar.adapt(zoo.MODELS["equinox_tied"][0]()).layers()}
    assert aliases["shared.pytree.0"] == ("shared.pytree.1.weight",)


def test_tied_parameters_stay_tied():
    make, inputs = zoo.MODELS["nnx_tied"]
    model = make()
    adapter = ar.adapt(model, example_inputs=inputs[:1])
    adapter.write("first", {"kernel": np.full((6, 6), 0.5, np.float32)})
    assert model.second.kernel is model.first.kernel
    twin = adapter.clone().native
    assert twin.second.kernel is twin.first.kernel
    assert (np.asarray(twin.second.kernel.get_value()) == 0.5).all()


@pytest.mark.parametrize("name", ["nnx_transformer", "linen_vit"])
def test_attention_projections_have_their_true_fan_in(name):
    make, inputs = zoo.MODELS[name]
    found = entries(ar.adapt(make(), example_inputs=inputs[:1]))
    query = next(p for path, p in found.items() if path.endswith("query/kernel"))
    out = next(p for path, p in found.items() if path.endswith("out/kernel"))
    assert (query.shape, query.axes, query.fan_in) == ((8, 2, 4), ("in", "out", "out2"), 8)
    assert (out.shape, out.axes, out.fan_in) == ((2, 4, 8), ("in", "in2", "out"), 8)
    loose = {path.rpartition("/")[2]: p for path, p in found.items() if p.role == "other"}
    assert set(loose) == {"token", "positions", "scale" if name == "nnx_transformer" else "layer_scale"}


class Kinds(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.ConvTranspose(4, (3, 3), name="transposed")(x)
        x = nn.ConvTranspose(4, (3, 3), transpose_kernel=True, name="turned")(x)
        x = nn.GroupNorm(2, name="group")(x)
        x = nn.ConvTranspose(4, (3, 3), (2, 1), name="up")(x)
        x = nn.Conv(4, (3, 3), 2, padding=1, input_dilation=(1, 2), name="spread")(x)
        x = nn.ConvLocal(2, (3, 3), name="local")(x).mean((1, 2))
        x = nn.DenseGeneral((3, 2), name="general")(x)
        x = nn.DenseGeneral(4, axis=(-2, -1), name="back")(x)
        return nn.Einsum((4, 3), "bi,io->bo", name="einsum")(x)


def test_axes_of_linen_layers():
    found = entries(ar.adapt(zoo.linen_pair(Kinds(), zoo.IMAGES), example_inputs=zoo.IMAGES[:1]))
    assert found["transposed/kernel"].axes == ("h", "w", "in", "out")
    assert found["turned/kernel"].axes == ("h", "w", "out", "in")
    assert (found["up/kernel"].axes, found["up/kernel"].fan_in) == (("h/2", "w", "in", "out"), 18)
    assert found["spread/kernel"].axes == ("h", "w/2", "in", "out")
    assert found["local/kernel"].axes == ("groups", "groups2", "in", "out")
    assert found["local/kernel"].fan_in == 3 * 3 * 4
    assert found["general/kernel"].axes == ("in", "out", "out2")
    assert found["back/kernel"].fan_in == 6
    assert found["einsum/kernel"].axes == ("in", "out")
    assert (found["group/scale"].role, found["group/bias"].role) == ("scale", "shift")


def test_a_stack_of_kernels_made_by_vmap_has_the_fan_in_of_one():
    @nnx.vmap(in_axes=0, out_axes=0)
    def make(rngs):
        return nnx.Linear(6, 6, rngs=rngs)

    class Stacked(nnx.Module):
        def __init__(self):
            self.layers = make(nnx.Rngs(0).split(3))

        def __call__(self, x):
            return nnx.scan(lambda x, layer: jnp.tanh(layer(x)), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(
                x, self.layers
            )

    kernel = entries(ar.adapt(Stacked(), example_inputs=zoo.VECTORS[:1]))["layers/kernel"]
    assert (kernel.shape, kernel.axes, kernel.fan_in) == ((3, 6, 6), ("groups", "in", "out"), 6)


def test_axes_of_equinox_layers():
    class Kinds(eqx.Module):
        transposed: eqx.nn.ConvTranspose2d
        up: eqx.nn.ConvTranspose1d
        cell: eqx.nn.GRUCell
        normed: eqx.nn.WeightNorm
        embed: eqx.nn.Embedding

    def build(key):
        return Kinds(
            eqx.nn.ConvTranspose2d(3, 4, 3, key=key),
            eqx.nn.ConvTranspose1d(4, 6, 3, 2, groups=2, key=key),
            eqx.nn.GRUCell(4, 5, key=key),
            eqx.nn.WeightNorm(eqx.nn.Linear(4, 2, key=key)),
            eqx.nn.Embedding(7, 4, key=key),
        )

    def zeros(leaf):
        return jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf

    shapes = eqx.filter_eval_shape(build, zoo.KEY)
    found = entries(ar.adapt(jax.tree.map(zeros, shapes)))
    assert found["transposed/weight"].axes == ("out", "in", "h", "w")
    assert (found["up/weight"].axes, found["up/weight"].fan_in) == (("out", "in", "w/2"), 3)
    assert found["cell/weight_ih"].axes == ("out", "in")
    assert found["normed/g"].role == "magnitude"
    assert found["normed/layer.weight"].axes == ("out", "in")
    assert found["embed/weight"].role == "other"


def test_linen_roles_without_a_traced_call_come_from_linens_names():
    found = entries(ar.adapt(zoo.MODELS["linen_cnn"][0]()))
    assert found["Conv_0/kernel"].axes == ("h", "w", "in", "out")
    assert found["Dense_0/kernel"].axes == ("in", "out")
    assert found["BatchNorm_0/scale"].role == "scale"


def test_a_linen_model_whose_names_tell_no_roles_is_not_copied_without_an_example():
    model = zoo.MODELS["linen_mlp"][0]()
    unknown = entries(ar.adapt(model))["zz_hidden/kernel"]
    assert (unknown.role, unknown.axes) == ("other", None)
    with pytest.raises(ModelError, match=r"'aa_head', 'zz_hidden' of Mlp.*example_inputs=x"):
        ar.FullRandomization().randomize(model, seed=0)
    assert ar.FullRandomization().randomize(zoo.MODELS["linen_cnn"][0](), seed=0)


def test_linen_spectral_normalization_is_known_by_its_names():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.SpectralNorm(nn.Dense(5), name="normed")(x, update_stats=False)
            return nn.Dense(3)(x)

    model = zoo.linen_pair(Normed(), zoo.VECTORS)
    found = [ar.adapt(model), ar.adapt(model, example_inputs=zoo.VECTORS[:1])]
    assert [[s.name for s in adapter.layers()[0].statistics] for adapter in found] == [
        ["kernel/sigma", "kernel/u"]
    ] * 2
    kernel = np.asarray(zoo.RNG.standard_normal((6, 5)), np.float32)
    for adapter in found:
        adapter.write("Dense_0", {"kernel": kernel})
        largest = np.linalg.svd(kernel)[1][0]
        np.testing.assert_allclose(adapter.read("Dense_0")["kernel/sigma"], largest, rtol=1e-3)


def test_boxes_of_metadata_are_looked_through():
    class Boxed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), ("a", "b")))(x)

    model = zoo.linen_pair(Boxed(), zoo.VECTORS)
    adapter = ar.adapt(model, example_inputs=zoo.VECTORS[:1])
    assert entries(adapter)["Dense_0/kernel"].axes == ("in", "out")
    adapter.write("Dense_0", {"kernel": np.ones((6, 3), np.float32)})
    assert isinstance(adapter.native[1]["params"]["Dense_0"]["kernel"], nn.Partitioned)


def test_bare_parameters_are_grouped_by_the_container_that_holds_them():
    params = [{"w": jnp.ones((6, 5)), "b": jnp.zeros(5)}, (jnp.ones((5, 2)), jnp.zeros(2))]
    found = ar.adapt((lambda p, x: (x @ p[0]["w"] + p[0]["b"]) @ p[1][0] + p[1][1], params)).layers()
    assert [(layer.name, [p.name for p in layer.parameters]) for layer in found] == [
        ("0", ["w", "b"]),
        ("1", ["0", "1"]),
    ]
    flat = ar.adapt((lambda p, x: x @ p["w"] + p["b"], {"w": jnp.ones((6, 2)), "b": jnp.zeros(2)})).layers()
    assert [layer.name for layer in flat] == ["w", "b"]
    alone = ar.adapt((lambda w, x: x @ w, jnp.ones((6, 2)))).layers()
    assert [layer.name for layer in alone] == ["params"]


def test_bare_roles_are_those_that_were_given():
    apply, params = zoo.bare_pair()
    model = jax_model(apply, params, roles={"*/w": ("kernel", ("in", "out")), "head/b": ("bias", ("out",))})
    found = entries(ar.adapt(model))
    assert found["body/w"].fan_in == 6
    assert found["head/b"].role == "bias"
    assert found["body/b"].role == "other"


def test_equinox_numpy_weights_are_parameters_and_initial_states_are_none():
    class Model(eqx.Module):
        table: np.ndarray
        count: np.ndarray
        linear: eqx.nn.Linear
        norm: eqx.nn.BatchNorm

    linear = eqx.nn.Linear(6, 2, key=zoo.KEY)
    # As weights are ported from another framework.
    linear = eqx.tree_at(lambda part: part.weight, linear, np.asarray(linear.weight))
    whole = Model(np.ones(3), np.arange(3), linear, eqx.nn.BatchNorm(2, "batch", mode="batch"))
    adapter = ar.adapt(whole)
    layers = {layer.name: layer for layer in adapter.layers()}
    assert set(layers) == {"table", "linear", "norm"}
    assert not layers["norm"].statistics
    assert [(p.name, p.role) for p in layers["linear"].parameters] == [("weight", "kernel"), ("bias", "bias")]
    adapter.write("linear", {"weight": np.full((2, 6), 3, np.float32)})
    assert (np.asarray(adapter.native.linear.weight) == 3).all()
    assert isinstance(whole.linear.weight, np.ndarray)


def test_nnx_variables_of_a_users_own_type_are_parameters():
    class Own(nnx.Variable):
        pass

    class Model(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.w = Own(jnp.ones((6, 6)))
            self.steps = Own(jnp.array(3))
            self.kept = nnx.Cache(jnp.ones(3))
            self.seen = nnx.Intermediate(jnp.ones(3))
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.head = nnx.Linear(6, 3, rngs=rngs)

        def __call__(self, x):
            return self.head(nnx.relu(x @ self.w[...]))

    layers = ar.adapt(Model(), example_inputs=zoo.VECTORS[:1]).layers()
    assert [(layer.name, layer.kind, layer.size) for layer in layers] == [("w", "Own", 36), ("head", "Linear", 21)]


def test_integers_beside_floating_arrays_are_no_parameters_unless_they_are_quantized_weights():
    def apply(p, x):
        return x @ p["a"]["w"] + p["a"]["n"]

    counted = {"a": {"w": jnp.ones((6, 3)), "n": jnp.array(3, jnp.int32)}}
    assert [p.name for p in ar.adapt((apply, counted)).layers()[0].parameters] == ["w"]
    other = ar.FullRandomization().randomize((apply, counted), seed=0)[1]
    assert int(other["a"]["n"]) == 3
    quantized = {"a": {"w": jnp.ones((6, 3), jnp.int8), "n": jnp.ones(3)}}
    for params in (quantized, {"a": {"w": jnp.ones((6, 3), jnp.int32), "n": jnp.array(1)}}):
        assert {p.name for p in ar.adapt((apply, params)).layers()[0].parameters} == {"w", "n"}
        with pytest.raises(WeightsError, match="quantized"):
            ar.FullRandomization().randomize((apply, params), seed=0)
