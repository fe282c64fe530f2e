"""New values of a whole layer: one seed gives one set of weights in every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agnostic_rand.adapters import Layer, ModelAdapter, Parameter
from agnostic_rand.errors import CapabilityError, WeightsError
from agnostic_rand.weights import (
    GaussianNoise,
    MatchedNormal,
    MultiplicativeNoise,
    NativeInit,
    Permute,
    PoissonNoise,
    Reinitialize,
    Streams,
    Uniform,
)
from agnostic_rand.weights.drawing import TrainedLayer, draw_layer, refuse_unfit

from .fakes import Array, FakeAdapter, InitializingAdapter, Net
from .runs import trained_layer

ADAPTER: ModelAdapter = FakeAdapter(Net())
ALL: list[Any] = [
    Reinitialize(),
    MatchedNormal(),
    Uniform(),
    Permute(),
    GaussianNoise(0.1),
    GaussianNoise(0.1, relative=True),
    MultiplicativeNoise(0.1),
    PoissonNoise(50),
]
# These use the mean and deviation of the trained values.
OF_MOMENTS: list[Any] = [MatchedNormal(), GaussianNoise(0.1, relative=True)]
LAYOUTS = [
    (("out", "in", "h", "w"), ("h", "w", "in", "out")),
    (("in", "out", "h", "w"), ("h", "w", "out", "in")),
    (("out", "in", "w"), ("w", "in", "out")),
    (("out", "in"), ("in", "out")),
    (("groups", "multiplier", "h", "w"), ("h", "w", "groups", "multiplier")),
    (("out", "in", "d", "h", "w"), ("d", "h", "w", "in", "out")),
]
SIZES = {"out": 7, "in": 5, "d": 2, "h": 3, "w": 4, "groups": 6, "multiplier": 2}


def drawn(value: Array, axes: tuple[str, ...] | None, perturbation: Any, *, seed: int = 0) -> Array:
    parameter = Parameter("weight", value.shape, str(value.dtype), "kernel", axes)
    layer = Layer("layer", "Layer", (parameter,))
    return draw_layer(ADAPTER, trained_layer(layer, {"weight": value}), perturbation, Streams(seed), (0, 3))[
        "weight"
    ]


def in_two_layouts(
    perturbation: Any, ours: tuple[str, ...], theirs: tuple[str, ...], kind: Any
) -> tuple[Array, Array, Array]:
    """The trained value and its draw in our layout, and the draw in theirs brought into ours."""
    trained = np.random.default_rng(2).normal(0.1, 1, [SIZES[axis] for axis in ours]).astype(kind)
    other = np.ascontiguousarray(np.transpose(trained, [ours.index(axis) for axis in theirs]))
    back = [theirs.index(axis) for axis in ours]
    return trained, drawn(trained, ours, perturbation), np.transpose(drawn(other, theirs, perturbation), back)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("ours", "theirs"), LAYOUTS, ids=[",".join(ours) for ours, _ in LAYOUTS])
@pytest.mark.parametrize("perturbation", [p for p in ALL if p not in OF_MOMENTS], ids=repr)
def test_the_same_seed_draws_the_same_bits_in_every_layout(
    perturbation: Any, ours: tuple[str, ...], theirs: tuple[str, ...], kind: Any
) -> None:
    trained, first, second = in_two_layouts(perturbation, ours, theirs, kind)
    assert first.dtype == kind
    assert first.tobytes("C") == second.tobytes("C")
    assert (first != trained).mean() > 0.5


@pytest.mark.parametrize("perturbation", OF_MOMENTS, ids=repr)
def test_draws_from_the_trained_moments_are_the_same_bits_in_every_layout(perturbation: Any) -> None:
    for ours, theirs in LAYOUTS:
        _, first, second = in_two_layouts(perturbation, ours, theirs, np.float64)
        assert first.tobytes("C") == second.tobytes("C")


def test_layers_and_parameters_of_one_shape_share_no_draw() -> None:
    bias = Parameter("bias", (5, 5), "float64", "other")
    layer = Layer("layer", "Layer", (Parameter("weight", (5, 5), "float64", "other"), bias))
    trained = dict.fromkeys(("weight", "bias"), np.arange(25.0).reshape(5, 5))
    values = [
        draw_layer(ADAPTER, trained_layer(layer, trained), Uniform(), Streams(0), key)[name].tobytes()
        for key in ((0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 1))
        for name in ("weight", "bias")
    ]
    assert len(set(values)) == 10


def test_streams_follow_roles_so_that_the_order_of_declaration_is_irrelevant() -> None:
    weight, bias = Parameter("weight", (4, 4), "float64", "kernel"), Parameter("bias", (4,), "float64", "bias")
    trained = {"weight": np.ones((4, 4)), "bias": np.ones(4)}
    one, other = (
        draw_layer(ADAPTER, trained_layer(Layer("layer", "Layer", order), trained), Uniform(), Streams(0), (0, 0))
        for order in ((weight, bias), (bias, weight))
    )
    for name in trained:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("shape", "axes", "summed"),
    [
        ((4,), ("in",), (0, 2)),
        ((4,), ("in/2",), (0, 2)),
        ((6, 1, 1), None, (1, 2)),
        ((1, 4, 1), None, (0, 2)),
        ((), None, (0, 1, 2)),
        ((6,), ("out",), (1, 2)),
    ],
)
def test_a_reinitialized_magnitude_is_the_norm_of_its_new_kernel(
    shape: tuple[int, ...], axes: tuple[str, ...] | None, summed: tuple[int, ...]
) -> None:
    kernel = Parameter("v", (6, 4, 3), "float64", "kernel", ("out", "in/2", "w"))
    layer = Layer("layer", "Layer", (kernel, Parameter("g", shape, "float64", "magnitude", axes)))
    trained = {"v": np.random.default_rng(0).normal(size=(6, 4, 3)), "g": np.full(shape, 9.0)}
    values = draw_layer(ADAPTER, trained_layer(layer, trained), Reinitialize(), Streams(0), (0, 0))
    np.testing.assert_allclose(values["g"], np.sqrt((values["v"] ** 2).sum(axis=summed)).reshape(shape))


def test_a_permuted_magnitude_is_not_matched() -> None:
    kernel = Parameter("v", (6, 4), "float64", "kernel", ("out", "in"))
    layer = Layer("layer", "Layer", (kernel, Parameter("g", (6, 1), "float64", "magnitude")))
    trained = {"v": np.random.default_rng(0).normal(size=(6, 4)), "g": np.arange(6.0)[:, None]}
    values = draw_layer(ADAPTER, trained_layer(layer, trained), Permute(), Streams(0), (0, 0))
    assert sorted(values["g"].ravel()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("perturbation", [p for p in ALL if p != Permute()], ids=repr)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(perturbation: Any, broken: float) -> None:
    trained = np.array([[1.0, broken], [2.0, 3.0]])
    parameter = Parameter("weight", (2, 2), "float64", "kernel", ("out", "in"))
    with pytest.raises(WeightsError, match=r"layer\.weight: expected finite weights, received 1 .* of 4"):
        refuse_unfit(Layer("layer", "Layer", (parameter,)), parameter, trained, perturbation)


@pytest.mark.parametrize("perturbation", [p for p in ALL if p != Permute()], ids=repr)
@pytest.mark.parametrize("kind", [np.int8, np.complex64, np.bool_])
def test_weights_that_are_no_real_numbers_are_refused_by_name(perturbation: Any, kind: Any) -> None:
    with pytest.raises(WeightsError, match=r"layer\.weight: expected floating-point weights.*Permute"):
        drawn(np.ones((2, 2), kind), ("out", "in"), perturbation)


@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_any_weights_can_be_permuted(kind: Any) -> None:
    trained = np.arange(64).reshape(8, 8).astype(kind)
    if kind is np.float32:
        trained[0, 0] = np.nan
    values = drawn(trained, ("out", "in"), Permute())
    assert values.dtype == kind
    np.testing.assert_array_equal(np.sort(values, axis=None), np.sort(trained, axis=None))
    assert values.tobytes() != trained.tobytes()


def test_draws_beyond_the_range_of_the_weights_type_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"within the range of float16, received values up to"):
        drawn(np.ones((4, 4), np.float16), ("out", "in"), GaussianNoise(1e6))


def test_a_function_of_the_users_own_may_draw() -> None:
    def negated(value: Array, parameter: Parameter, rng: np.random.Generator) -> Array:
        assert parameter.axes == ("in", "out")
        assert value.dtype == np.float64
        return -value

    trained = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(drawn(trained, ("out", "in"), negated), -trained)


def test_a_function_that_changes_its_argument_does_not_change_the_trained_value() -> None:
    def careless(value: Array, parameter: Parameter, rng: np.random.Generator) -> Array:
        value += 1
        return value

    trained = np.ones((2, 3))
    np.testing.assert_array_equal(drawn(trained, ("in", "out"), careless), 2)
    np.testing.assert_array_equal(trained, 1)


@pytest.mark.parametrize("result", [np.ones((2, 2)), np.ones(6), 1.0], ids=["other shape", "flat", "number"])
def test_draws_of_another_shape_are_refused(result: Any) -> None:
    with pytest.raises(WeightsError, match=r"layer\.weight: expected values of shape \(2, 3\)"):
        drawn(np.ones((2, 3)), ("out", "in"), lambda value, parameter, rng: result)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_draws_that_are_not_finite_are_refused(broken: float) -> None:
    with pytest.raises(WeightsError, match=r"layer\.weight"):
        drawn(np.ones((2, 3)), ("out", "in"), lambda value, parameter, rng: value * broken)


def test_what_is_drawn_by_its_shape_alone_needs_no_trained_values() -> None:
    def unread() -> dict[str, Array]:
        raise AssertionError("the trained values were read")

    layer = Layer("layer", "Layer", (Parameter("weight", (4, 3), "float32", "kernel", ("in", "out")),))
    blind = TrainedLayer(layer, {"weight": np.dtype("float32")}, unread)
    seeing = trained_layer(layer, {"weight": np.full((4, 3), 7, np.float32)})
    for perturbation in (Reinitialize(), Uniform()):
        pair = [draw_layer(ADAPTER, one, perturbation, Streams(0), (0, 0))["weight"] for one in (blind, seeing)]
        np.testing.assert_array_equal(*pair)
        assert pair[0].dtype == np.float32


def test_native_initializers_draw_what_they_know_and_the_rest_is_reinitialized() -> None:
    adapter = InitializingAdapter(Net())
    layers = {layer.name: layer for layer in adapter.layers()}
    values = {
        (name, draw): draw_layer(
            adapter, trained_layer(layers[name], adapter.read(name)), NativeInit(), Streams(0), (draw, index)
        )
        for index, name in enumerate(("hidden1", "norm"))
        for draw in (0, 1)
    }
    assert ((values["hidden1", 0]["weight"] >= 5) & (values["hidden1", 0]["weight"] < 6)).all()
    assert (values["hidden1", 0]["weight"] != values["hidden1", 1]["weight"]).all()
    np.testing.assert_array_equal(values["hidden1", 0]["bias"], 0)
    np.testing.assert_array_equal(values["norm", 0]["weight"], 1)
    again = draw_layer(
        adapter, trained_layer(layers["hidden1"], adapter.read("hidden1")), NativeInit(), Streams(0), (0, 0)
    )
    np.testing.assert_array_equal(again["weight"], values["hidden1", 0]["weight"])


def test_native_initializers_that_are_missing_are_named() -> None:
    layer = ADAPTER.layers()[0]
    with pytest.raises(CapabilityError, match=r"SupportsNativeInit.*'fake'.*Reinitialize"):
        draw_layer(ADAPTER, trained_layer(layer, ADAPTER.read("hidden1")), NativeInit(), Streams(0), (0, 0))
