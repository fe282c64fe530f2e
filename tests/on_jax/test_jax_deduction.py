"""What the computation of a bare pair shows of its parameters, and what it does not show."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo

import agnostic_rand as ar
from agnostic_rand_jax import jax_model

X, IMAGES = zoo.VECTORS[:2], zoo.IMAGES[:2]
UNKNOWN = ("other", None)
DENSE = ("kernel", ("in", "out"))
BIAS = ("bias", ("out",))
NHWC = ("NHWC", "HWIO", "NHWC")


def shown(apply, params, inputs, **options):
    adapter = ar.adapt(jax_model(apply, params, **options), example_inputs=inputs)
    return {p.name: (p.role, p.axes) for layer in adapter.layers() for p in layer.parameters}


def ones(**shapes):
    return {"layer": {name: jnp.ones(shape) for name, shape in shapes.items()}}


def dense(p, x):
    return x @ p["layer"]["w"] + p["layer"]["b"]


@jax.custom_jvp
def with_own_derivative(w, b, x):
    return x @ w + b


with_own_derivative.defjvp(lambda primals, tangents: (with_own_derivative(*primals), tangents[2] @ primals[0]))

DENSE_FORMS = {
    "plain": dense,
    "jit": jax.jit(dense),
    "remat": jax.checkpoint(dense),
    "nested": lambda p, x: jax.jit(jax.checkpoint(jax.jit(dense)))(p, x),
    "custom_jvp": lambda p, x: with_own_derivative(p["layer"]["w"], p["layer"]["b"], x),
    "vmap": lambda p, x: jax.vmap(lambda row: dense(p, row))(x),
    "cond": lambda p, x: jax.lax.cond(x.sum() > 0, dense, lambda p, x: 2 * dense(p, x), p, x),
    "half": lambda p, x: dense(jax.tree.map(lambda a: a.astype(jnp.bfloat16), p), x.astype(jnp.bfloat16)),
    "einsum": lambda p, x: jnp.einsum("io,bi->ob", p["layer"]["w"], x).T + p["layer"]["b"],
    "split": lambda p, x: (
        jnp.einsum("bi,iho->bho", x, p["layer"]["w"].reshape(6, 2, 2)).reshape(-1, 4) + p["layer"]["b"]
    ),
    "added_first": lambda p, x: p["layer"]["b"][None] + jax.lax.dot(x, p["layer"]["w"]),
    "halves": lambda p, x: x[:, :3] @ p["layer"]["w"][:3] + x[:, 3:] @ p["layer"]["w"][3:] + p["layer"]["b"],
}


@pytest.mark.parametrize("apply", DENSE_FORMS.values(), ids=DENSE_FORMS)
def test_a_contraction_with_the_data_shows_a_kernel_and_its_bias(apply):
    assert shown(apply, ones(w=(6, 4), b=(4,)), X) == {"w": DENSE, "b": BIAS}


def test_neither_names_nor_square_shapes_decide():
    def apply(p, x):
        p = p["layer"]
        return (x * p["kernel"]) @ p["bias"].T + p["scale"]

    found = shown(apply, ones(kernel=(6,), bias=(6, 6), scale=(6,)), X)
    assert found == {"kernel": UNKNOWN, "bias": ("kernel", ("out", "in")), "scale": BIAS}


def test_axes_of_several_features():
    found = shown(
        lambda p, x: jnp.einsum("bhk,hko->bo", jnp.einsum("bi,ihk->bhk", x, p["layer"]["q"]) + p["layer"]["b"],
                                p["layer"]["o"]),
        ones(q=(6, 2, 3), b=(2, 3), o=(2, 3, 4)), X)  # fmt: skip
    assert found == {
        "q": ("kernel", ("in", "out", "out2")),
        "b": ("bias", ("out", "out2")),
        "o": ("kernel", ("in", "in2", "out")),
    }


def convolved(layout=NHWC, padding="SAME", **options):
    def apply(p, x):
        x = x if layout[0] == "NHWC" else jnp.moveaxis(x, -1, 1)
        made = jax.lax.conv_general_dilated(
            x, p["layer"]["w"], (1, 1), padding, dimension_numbers=layout, **options
        )
        return (made + p["layer"]["b"]).reshape(2, -1)

    return apply


def one_image(p, x):
    """As Equinox calls it: one image, channels first."""
    made = jax.lax.conv_general_dilated(jnp.moveaxis(x, -1, 0)[None], p["layer"]["w"], (1, 1), "SAME")
    return (made[0] + p["layer"]["b"]).reshape(-1)


def depthwise(p, x):
    kernel = p["layer"]["w"].reshape(3, 3, 1, 6)
    made = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC, feature_group_count=3)
    return made.reshape(2, -1)


CONVOLUTIONS = {
    "channels_last": (convolved(), (3, 3, 3, 4), (4,), ("h", "w", "in", "out"), BIAS),
    "channels_first": (
        convolved(("NCHW", "OIHW", "NCHW")),
        (4, 3, 3, 3),
        (4, 1, 1),
        ("out", "in", "h", "w"),
        ("bias", ("out", "h", "w")),
    ),
    "spread": (
        convolved(padding=((1, 1), (1, 1)), lhs_dilation=(2, 1)),
        (3, 3, 3, 4),
        (4,),
        ("h/2", "w", "in", "out"),
        BIAS,
    ),
    "groups": (convolved(feature_group_count=3), (3, 3, 1, 6), (6,), ("h", "w", "in", "out"), BIAS),
    "turned": (convolved(("NHWC", "WHIO", "NHWC")), (3, 3, 3, 4), (4,), ("w", "h", "in", "out"), BIAS),
    "mapped": (
        lambda p, x: jax.vmap(one_image, (None, 0))(p, x),
        (4, 3, 3, 3),
        (4, 1, 1),
        ("out", "in", "h", "w"),
        ("bias", ("out", "h", "w")),
    ),
}


@pytest.mark.parametrize(("apply", "kernel", "bias", "axes", "of_bias"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolution_names_the_dimensions_of_its_kernel(apply, kernel, bias, axes, of_bias):
    assert shown(apply, ones(w=kernel, b=bias), IMAGES) == {"w": ("kernel", axes), "b": of_bias}


def test_a_kernel_whose_features_are_merged_on_the_way():
    found = shown(depthwise, ones(w=(3, 3, 3, 2)), IMAGES)
    assert found == {"w": ("kernel", ("h", "w", "out", "out2"))}


def test_a_transposed_convolution_sums_over_what_it_sums_over():
    def apply(p, x, turned):
        made = jax.lax.conv_transpose(
            x, p["layer"]["w"], (2, 3), "SAME", dimension_numbers=NHWC, transpose_kernel=turned
        )
        return made.reshape(2, -1)

    found = shown(lambda p, x: apply(p, x, False), ones(w=(3, 3, 3, 4)), IMAGES)
    assert found["w"] == ("kernel", ("h/2", "w/3", "in", "out"))
    found = shown(lambda p, x: apply(p, x, True), ones(w=(3, 3, 4, 3)), IMAGES)
    assert found["w"] == ("kernel", ("h/2", "w/3", "out", "in"))


def test_a_share_counts_once_where_dimensions_are_merged():
    def apply(p, x):
        kernel = p["layer"]["w"].reshape(4, 3, 3, 4)
        return jax.lax.conv_transpose(x, kernel, (2, 1), "SAME", dimension_numbers=NHWC).reshape(2, -1)

    assert shown(apply, ones(w=(2, 2, 3, 3, 4)), IMAGES) == {"w": ("kernel", ("h/2", "h2", "w", "in", "out"))}


def test_kernels_of_one_and_three_dimensions_and_as_columns():
    def line(p, x):
        return jax.lax.conv_general_dilated(
            x.reshape(2, 64, 3), p["layer"]["w"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        ).reshape(2, -1)

    def volume(p, x):
        return jax.lax.conv_general_dilated(
            x[:, None], p["layer"]["w"], (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        ).reshape(2, -1)

    assert shown(line, ones(w=(3, 3, 2)), IMAGES)["w"] == ("kernel", ("w", "in", "out"))
    assert shown(volume, ones(w=(1, 3, 3, 3, 2)), IMAGES)["w"] == ("kernel", ("d", "h", "w", "in", "out"))
    columns = shown(lambda p, x: x.reshape(2, -1) @ p["layer"]["w"].reshape(192, 2), ones(w=(8, 8, 3, 2)), IMAGES)
    assert columns["w"] == ("kernel", ("in", "in2", "in3", "out"))


def test_stacks_of_layers_are_groups_however_they_are_run():
    def scanned(p, x):
        return jax.lax.scan(lambda x, layer: (jnp.tanh(x @ layer["w"] + layer["b"]), None), x, p["layer"])[0]

    def indexed(p, x):
        for i in range(3):
            x = jnp.tanh(x @ p["layer"]["w"][i] + p["layer"]["b"][i])
        return x

    def looped(p, x):
        return jax.lax.fori_loop(0, 3, lambda i, x: jnp.tanh(x @ p["layer"]["w"][i] + p["layer"]["b"][i]), x)

    for apply in (scanned, indexed, looped):
        found = shown(apply, ones(w=(3, 6, 6), b=(3, 6)), X)
        assert found == {"w": ("kernel", ("groups", "in", "out")), "b": ("bias", ("groups", "out"))}


def test_slices_of_one_kernel_that_meet_slices_of_the_data_are_no_stack():
    def apply(p, x):
        columns = (x.reshape(2, 3, 2).swapaxes(0, 1), p["layer"]["w"])
        return jax.lax.scan(lambda total, both: (total + both[0] @ both[1], None), jnp.zeros((2, 4)), columns)[0]

    assert shown(apply, ones(w=(3, 2, 4)), X) == {"w": UNKNOWN}


def test_a_state_depends_on_the_data_from_the_second_round_on():
    def apply(p, x):
        def body(state, column):
            return jnp.tanh(state @ p["layer"]["u"] + column @ p["layer"]["w"] + p["layer"]["b"]), None

        return jax.lax.scan(body, jnp.zeros((2, 4)), jnp.stack([x, x]))[0]

    assert shown(apply, ones(w=(6, 4), u=(4, 4), b=(4,)), X) == {"w": DENSE, "u": DENSE, "b": BIAS}


def test_written_out_normalizations_show_scale_and_shift():
    def centered(x):
        return x - x.mean(-1, keepdims=True), x.var(-1, keepdims=True) + 1e-5

    def quotient(p, x):
        x, variance = centered(x)
        return x / jnp.sqrt(variance) * p["layer"]["g"] + p["layer"]["s"]

    def inverse(p, x):
        x, variance = centered(x)
        return x * (jax.lax.rsqrt(variance) * p["layer"]["g"]) + p["layer"]["s"]

    def product(p, x):
        x, variance = centered(x)
        return p["layer"]["g"] * (x * jax.lax.rsqrt(variance)) + p["layer"]["s"]

    for apply in (quotient, inverse, product):
        assert shown(apply, ones(g=(6,), s=(6,)), X) == {"g": ("scale", None), "s": ("shift", None)}


def merged(p, x):
    inverse = jax.lax.rsqrt(p["v"] + 1e-5) * p["g"]
    return x * inverse + (p["s"] - p["m"] * inverse)


def separate(p, x):
    return (x - p["m"]) / jnp.sqrt(p["v"] + 1e-5) * p["g"] + p["s"]


def scaled_first(p, x):
    return (x - p["m"]) * (jax.lax.rsqrt(p["v"] + 1e-5) * p["g"]) + p["s"]


def on_channels(p, x):
    wide = {name: array.reshape(1, 3, 1, 1) for name, array in p.items()}
    return separate(wide, jnp.moveaxis(x, -1, 1)).mean((2, 3))


RUNNING = {
    "merged": (merged, 6, X),
    "quotient": (separate, 6, X),
    "scaled_first": (scaled_first, 6, X),
    "mapped": (lambda p, x: jax.vmap(lambda row: scaled_first(p, row))(x), 6, X),
    "half": (
        lambda p, x: separate(jax.tree.map(lambda a: a.astype(jnp.bfloat16), p), x.astype(jnp.bfloat16)),
        6,
        X,
    ),
    "channels": (on_channels, 3, IMAGES),
}


@pytest.mark.parametrize(("apply", "size", "inputs"), RUNNING.values(), ids=RUNNING)
def test_a_normalization_by_running_statistics_shows_them(apply, size, inputs):
    params = ones(v=(size,), g=(size,), s=(size,), m=(size,))
    (layer,) = ar.adapt((lambda p, x: apply(p["layer"], x), params), example_inputs=inputs).layers()
    assert {p.name: p.role for p in layer.parameters} == {"g": "scale", "s": "shift"}
    assert {p.name: p.role for p in layer.statistics} == {"v": "variance", "m": "mean"}


def test_what_is_subtracted_before_a_normalization_by_the_data_is_no_statistic():
    def apply(p, x):
        return (x - p["layer"]["m"]) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)

    assert shown(apply, ones(m=(6,)), X) == {"m": UNKNOWN}


def test_the_apply_of_a_linen_module_behind_a_function_shows_its_statistics():
    module, variables = zoo.MODELS["linen_cnn"][0]()
    adapter = ar.adapt((lambda v, x: module.apply(v, x, train=False), variables), example_inputs=IMAGES)
    layers = {layer.name: layer for layer in adapter.layers()}
    (norm,) = [layer for layer in layers.values() if layer.statistics]
    assert (norm.name, {s.name: s.role for s in norm.statistics}) == (
        "params/BatchNorm_0",
        {"mean": "mean", "var": "variance"},
    )
    roles = {f"{name}/{p.name}": p.role for name, layer in layers.items() for p in layer.parameters}
    assert roles["params/BatchNorm_0/scale"] == "scale"
    assert "other" not in roles.values()
    other = ar.FullRandomization().randomize((adapter.native), seed=0, example_inputs=IMAGES)[1]
    np.testing.assert_array_equal(other["batch_stats"]["BatchNorm_0"]["var"], 1)


NOT_SHOWN = {
    "elementwise": (lambda w, x: x * w, (6,), X),
    "after_the_activation": (lambda w, x: jnp.tanh(x @ jnp.ones((6, 4))) + w, (4,), X),
    "beside_a_fixed_projection": (lambda w, x: x @ jnp.ones((6, 4)) + w, (4,), X),
    "class_token": (lambda w, x: jnp.concatenate([x, jnp.broadcast_to(w, (2, 6))]), (6,), X),
    "normalized_kernel": (lambda w, x: x @ (w / jnp.linalg.norm(w)), (6, 4), X),
    "masked_kernel": (lambda w, x: x @ (w * jnp.eye(6)), (6, 6), X),
    "outer_product": (lambda w, x: jnp.einsum("bi,o->bio", x, w).sum(1), (4,), X),
    "mixed_axes": (lambda w, x: x @ w.reshape(6, 4), (4, 6), X),
    "one_vector_for_all": (lambda w, x: jnp.tanh(x @ w[:24].reshape(6, 4) + w[24:]), (28,), X),
    "rows_used_in_two_ways": (lambda w, x: x @ w[:6] + w[6], (7, 4), X),
    "table": (lambda w, x: w[x.astype(int)].sum(1), (9, 4), X),
    "attention_bias": (lambda w, x: (x @ x.T + w) @ x, (2, 2), X),
}


@pytest.mark.parametrize(("apply", "shape", "inputs"), NOT_SHOWN.values(), ids=NOT_SHOWN)
def test_what_is_not_shown_stays_unknown(apply, shape, inputs):
    assert shown(apply, jnp.ones(shape), inputs) == {"params": UNKNOWN}


def test_a_position_table_on_a_product_is_no_bias():
    def apply(p, x):
        p = p["layer"]
        tokens = jnp.einsum("bhwc,co->bhwo", x, p["w"]).reshape(2, 64, 5) + p["positions"]
        return (tokens + p["b"]).mean(1)

    found = shown(apply, ones(w=(3, 5), positions=(1, 64, 5), b=(5,)), IMAGES)
    assert found == {"w": DENSE, "positions": UNKNOWN, "b": UNKNOWN}


def test_a_tied_table_is_what_it_is_first():
    def apply(w, x):
        return w[(x > 0).astype(int)].mean(1) @ w.T

    assert shown(apply, jnp.ones((9, 4)), X) == {"params": UNKNOWN}
    twice = shown(lambda w, x: jnp.tanh(x @ w) @ w.T, jnp.ones((6, 4)), X)
    assert twice == {"params": DENSE}


def test_roles_that_were_given_are_believed_first():
    roles = {"*/w": ("other", None), "*/b": ("shift", None)}
    assert shown(dense, ones(w=(6, 4), b=(4,)), X, roles=roles) == {"w": UNKNOWN, "b": ("shift", None)}
    assert shown(dense, ones(w=(6, 4), b=(4,)), X, roles={"*/b": ("shift", None)})["w"] == DENSE


def test_without_an_example_nothing_is_shown():
    assert shown(dense, ones(w=(6, 4), b=(4,)), None) == {"w": UNKNOWN, "b": UNKNOWN}


def test_one_seed_draws_one_kernel_in_every_layout():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 3, 3, 4)).astype(np.float32)
    drawn = []
    for order, numbers in (((0, 1, 2, 3), NHWC), ((3, 2, 0, 1), ("NHWC", "OIHW", "NHWC"))):
        params = {"layer": {"w": jnp.asarray(kernel.transpose(order)), "b": jnp.ones(4)}}
        model = (convolved(numbers), params)
        other = ar.FullRandomization().randomize(model, seed=2, example_inputs=IMAGES)
        drawn.append(np.asarray(other[1]["layer"]["w"]).transpose(np.argsort(order)))
        assert not np.asarray(other[1]["layer"]["b"]).any()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert drawn[0].std() == pytest.approx(np.sqrt(2 / 27), rel=0.2)
