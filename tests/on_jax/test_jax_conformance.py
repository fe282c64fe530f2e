"""The JAX backend under the kit, one class for each kind of model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import zoo
import zoo_equinox
import zoo_heads
import zoo_linen
import zoo_nnx
from flax import nnx
from jax_relu_forms import rectified_forms

from agnostic_rand.testing import AdapterConformance, Case, Facts, Native
from agnostic_rand_jax import jax_model

RNG = np.random.default_rng(3)
VECTORS = RNG.standard_normal((8, 6)).astype(np.float32)
IMAGES = RNG.standard_normal((6, 8, 8, 3)).astype(np.float32)
CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(IMAGES, -1, 1))
SEQUENCES = RNG.standard_normal((5, 4, 5)).astype(np.float32)
KEY = jax.random.key(0)


def heads_case(kind: str, native: Native, weights: str, biases: str = "bias") -> Case:
    """A model of two heads, of which `forward=` leaves out the second."""
    heads = zoo_heads.HEADS[kind]
    facts = Facts(
        order=("first", "second", "cls", "aux"),
        unused=(f"aux/{weights}", f"aux/{biases}"),
        bound=heads.bound,
    )
    return Case(
        "heads",
        heads.build(),
        VECTORS,
        forward=lambda model, x: heads.call(model, x)["cls"],
        facts=facts,
        native=replace(native, outputs=lambda model, x: np.asarray(heads.call(model, jnp.asarray(x))["cls"])),
    )


def flags_of_nnx(model: nnx.Module) -> Any:
    names = ("deterministic", "use_running_average", "momentum")
    parts = [(path, {n: vars(part).get(n) for n in names}) for path, part in nnx.iter_modules(model)]
    counters = [
        np.asarray(c.get_value()).tolist()
        for c in jax.tree.leaves(nnx.state(model, nnx.RngCount), is_leaf=is_variable)
    ]
    return parts, counters


def is_variable(value: Any) -> bool:
    return isinstance(value, nnx.Variable)


def outputs_of_nnx(model: nnx.Module, inputs: np.ndarray) -> np.ndarray:
    copy = nnx.clone(model)
    copy.eval()
    return np.asarray(copy(jnp.asarray(inputs)))


NNX = Native(
    outputs=outputs_of_nnx,
    parameters=lambda m: [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(m, nnx.Param))],
    flags=flags_of_nnx,
)


def nnx_case(name: str, model: nnx.Module, inputs: np.ndarray, **facts: Any) -> Case:
    facts = Facts(**{"unused": ()} | facts, times=lambda m, pair: m(pair[0]) * pair[1])
    return Case(name, model, inputs, facts=facts, native=NNX)


class TestNnx(AdapterConformance):
    def make_cases(self) -> list[Case]:
        tied = zoo_nnx.Tied(nnx.Rngs(2))
        evaluating = zoo_nnx.Normed(nnx.Rngs(1))
        evaluating.eval()
        return [
            nnx_case(
                "mlp",
                zoo_nnx.Mlp(nnx.Rngs(0)),
                VECTORS,
                order=("hidden", "head"),
                parameter_count=6 * 5 + 5 + 5 * 3 + 3,
                axes={"hidden/kernel": ("in", "out"), "hidden/bias": ("out",)},
                dense_relu=True,
            ),
            nnx_case(
                "cnn",
                zoo_nnx.Cnn(nnx.Rngs(1)),
                IMAGES,
                order=("conv", "norm", "depthwise", "head"),
                axes={"conv/kernel": ("h", "w", "in", "out"), "depthwise/kernel": ("h", "w", "in", "out")},
            ),
            nnx_case("evaluating", evaluating, VECTORS, order=("hidden", "norm", "head")),
            nnx_case(
                "tied",
                tied,
                VECTORS,
                order=("first", "second", "shared", "head"),
                parameter_count=36 + 6 + 6 + 42 + 14,
                tied=lambda m: [np.asarray(m.first.kernel.get_value()), np.asarray(m.second.kernel.get_value())],
            ),
            heads_case("nnx", NNX, "kernel"),
        ]


LINEN = Native(
    outputs=lambda m, x: np.asarray(m[0].apply(m[1], jnp.asarray(x))),
    parameters=lambda m: [np.asarray(leaf) for leaf in jax.tree.leaves(m[1]["params"])],
)


def linen_case(name: str, module: Any, inputs: np.ndarray, **facts: Any) -> Case:
    facts = Facts(**{"unused": ()} | facts, times=lambda m, pair: m[0].apply(m[1], pair[0]) * pair[1])
    return Case(name, zoo.linen_pair(module, inputs), inputs, facts=facts, native=LINEN)


class TestLinen(AdapterConformance):
    def make_cases(self) -> list[Case]:
        return [
            linen_case(
                "mlp",
                zoo_linen.Mlp(),
                VECTORS,
                order=("zz_hidden", "aa_head"),
                axes={"zz_hidden/kernel": ("in", "out")},
                dense_relu=True,
            ),
            linen_case(
                "cnn",
                zoo_linen.Cnn(),
                IMAGES,
                order=("Conv_0", "BatchNorm_0", "Conv_1", "Dense_0"),
                axes={"Conv_0/kernel": ("h", "w", "in", "out"), "Conv_1/kernel": ("h", "w", "in", "out")},
            ),
            linen_case(
                "upsampling",
                zoo_linen.Upsampling(),
                IMAGES,
                order=("up", "head"),
                axes={"up/kernel": ("h/2", "w", "out", "in")},
            ),
            heads_case("linen", LINEN, "kernel"),
        ]


def parameters_of_equinox(model: Any) -> list[np.ndarray]:
    module = model[0] if isinstance(model, tuple) else model
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array))]


def equinox_case(name: str, model: Any, inputs: np.ndarray, **facts: Any) -> Case:
    def outputs(model: Any, x: np.ndarray) -> np.ndarray:
        module, *state = model if isinstance(model, tuple) else (model,)
        module = eqx.nn.inference_mode(module)
        made = [module(jnp.asarray(sample), *state) for sample in x]
        return np.stack([np.asarray(one[0] if state else one) for one in made])

    def times(model: Any, pair: Any) -> Any:
        module, *state = model if isinstance(model, tuple) else (model,)
        norm = "batch" if state else None
        made = jax.vmap(lambda x: module(x, *state), axis_name=norm, out_axes=(0, None) if state else 0)(pair[0])
        return (made[0] if state else made) * pair[1]

    native = Native(outputs=outputs, parameters=parameters_of_equinox)
    return Case(name, model, inputs, facts=Facts(**{"unused": ()} | facts, times=times), native=native)


class TestEquinox(AdapterConformance):
    def make_cases(self) -> list[Case]:
        normed = eqx.nn.make_with_state(zoo_equinox.NormedCnn)
        return [
            equinox_case(
                "mlp",
                eqx.nn.MLP(6, 3, 5, 1, key=KEY),
                VECTORS,
                order=("layers.0", "layers.1"),
                axes={"layers.0/weight": ("out", "in")},
                dense_relu=True,
            ),
            equinox_case(
                "cnn",
                normed(KEY),
                CHANNELS_FIRST,
                order=("conv", "norm", "head"),
                axes={"conv/weight": ("out", "in", "h", "w"), "head/weight": ("out", "in")},
            ),
            equinox_case(
                "tied",
                zoo_equinox.Tied(KEY),
                VECTORS,
                parameter_count=36 + 6 + 6 + 6,
                tied=lambda m: [np.asarray(layer.weight) for layer in m.shared()],
            ),
            heads_case("equinox", Native(parameters=parameters_of_equinox), "weight"),
        ]


def apply(params: Any, x: jax.Array) -> jax.Array:
    for layer in params[:-1]:
        x = jnp.maximum(x @ layer["w"] + layer["b"], 0)
    return x @ params[-1]["w"] + params[-1]["b"]


def init(key: jax.Array) -> Any:
    keys = jax.random.split(key)
    shapes = ((6, 5), (5, 3))
    return [
        {"w": 0.5 * jax.random.normal(k, shape), "b": 0.1 * jnp.ones(shape[1])}
        for k, shape in zip(keys, shapes, strict=True)
    ]


def times(model: Any, pair: Any) -> Any:
    return apply(model[1] if isinstance(model, tuple) else model.params, pair[0]) * pair[1]


class TestBare(AdapterConformance):
    def make_cases(self) -> list[Case]:
        native = Native(
            outputs=lambda m, x: np.asarray(apply(m[1] if isinstance(m, tuple) else m.params, jnp.asarray(x))),
            parameters=lambda m: [
                np.asarray(p) for p in jax.tree.leaves(m[1] if isinstance(m, tuple) else m.params)
            ],
        )
        params = init(KEY)
        roles = {"*/w": ("kernel", ("in", "out")), "*/b": ("bias", ("out",))}
        # Of the pair the traced call shows them, of the model they are given.
        axes = Facts(
            order=("0", "1"), unused=(), dense_relu=True, axes={"0/w": ("in", "out"), "1/b": ("out",)}, times=times
        )
        rectified = replace(axes, rectified=rectified_forms())
        return [
            Case("pair", (apply, params), VECTORS, facts=rectified, native=native),
            Case("model", jax_model(apply, params, init=init, roles=roles), VECTORS, facts=axes, native=native),
            heads_case("bare", native, "w", "b"),
        ]
