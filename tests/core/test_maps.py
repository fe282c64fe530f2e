"""What explainers return, checked; the classes that are explained; and outputs that are activated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agnostic_rand.adapters import ModelAdapter
from agnostic_rand.adapters.activation import ActivatedAdapter, with_activation
from agnostic_rand.errors import ArgumentError, ExplanationError, ModelError
from agnostic_rand.explainers.maps import channels_of, scoring_maps
from agnostic_rand.subject.samples import Samples
from agnostic_rand.subject.targets import best_class, frozen_targets, outputs_of

from .fakes import Array, FakeAdapter, Net

ADAPTER: ModelAdapter = FakeAdapter(Net())


def scored(maps: Any, shape: tuple[int, ...], channel_axis: int | None = 1) -> tuple[Array, int | None]:
    return scoring_maps(maps, shape, channel_axis, ADAPTER, "'mine'")


@pytest.mark.parametrize(
    ("shape", "inputs", "channel_axis", "axis"),
    [
        ((5, 3, 8, 8), (5, 3, 8, 8), 1, 1),
        ((5, 8, 8), (5, 3, 8, 8), 1, None),
        ((5, 1, 8, 8), (5, 3, 8, 8), 1, 1),
        ((5, 8, 8, 3), (5, 8, 8, 3), -1, 3),
        ((5, 8, 8), (5, 8, 8, 3), -1, None),
        ((5, 8, 8, 1), (5, 8, 8, 3), -1, 3),
        ((5, 7), (5, 7), 1, None),
        ((5, 3, 9), (5, 3, 9), 1, 1),
        ((5, 3, 9), (5, 3, 9), None, None),
        ((5, 3), (5, 3, 9), None, None),
        ((5, 9), (5, 3, 9), None, None),
        ((5, 3, 1), (5, 3, 9), None, 2),
    ],
)
def test_maps_have_the_shape_of_the_inputs_or_lack_the_channels(
    shape: tuple[int, ...], inputs: tuple[int, ...], channel_axis: int | None, axis: int | None
) -> None:
    maps = np.random.default_rng(0).random(shape)
    checked, found = scored(maps, inputs, channel_axis)
    assert found == axis
    np.testing.assert_array_equal(checked, maps)


@pytest.mark.parametrize(
    ("named", "dimensions", "axis"),
    [(None, 2, None), (1, 2, None), (None, 3, None), (2, 3, 2), (None, 4, 1), (-1, 4, -1), (None, 5, 1)],
)
def test_sequences_and_tables_have_no_channels_unless_their_axis_is_named(
    named: int | None, dimensions: int, axis: int | None
) -> None:
    assert channels_of(named, ADAPTER, dimensions) == axis


@pytest.mark.parametrize("shape", [(5, 8, 8, 3), (5, 3, 8), (4, 3, 8, 8), (5, 2, 8, 8), (5, 192), (5,)])
def test_maps_of_another_shape_are_refused_and_the_right_ones_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ExplanationError, match=r"\(5, 3, 8, 8\) or \(5, 8, 8\) or \(5, 1, 8, 8\), received shape"):
        scored(np.zeros(shape), (5, 3, 8, 8))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_refused(broken: float) -> None:
    maps = np.zeros((2, 4))
    maps[1, 3] = broken
    with pytest.raises(ExplanationError, match="the maps of 'mine': expected finite numbers"):
        scored(maps, (2, 4))


@pytest.mark.parametrize("maps", [None, "map", object(), np.ones((2, 4), complex), np.array([["a"] * 4] * 2)])
def test_what_is_no_array_of_numbers_is_refused(maps: Any) -> None:
    with pytest.raises(ExplanationError, match="an array of numbers, native or NumPy"):
        scored(maps, (2, 4))


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_, np.float16])
def test_maps_of_other_numbers_are_taken(kind: Any) -> None:
    maps = np.array([[0, 1, 1, 0]]).astype(kind)
    np.testing.assert_array_equal(scored(maps, (1, 4))[0], [[0, 1, 1, 0]])


def test_large_whole_numbers_stay_apart() -> None:
    # Rank correlations see the order alone: 2**24 and its successor must not tie.
    maps = np.array([[2**24, 2**24 + 1, 0]])
    assert len(np.unique(scored(maps, (1, 3))[0])) == 3


def test_frozen_targets_are_the_models_predictions_in_any_batches(net: Net, inputs: Array) -> None:
    expected = net(inputs).argmax(axis=1)
    for batch_size in (1, 7, 64):
        frozen = frozen_targets(FakeAdapter(net), Samples(inputs, None), batch_size)
        np.testing.assert_array_equal(frozen, expected)
        assert frozen.dtype == np.int64
    np.testing.assert_array_equal(
        frozen_targets(FakeAdapter(Net(classes=1)), Samples(inputs, None), 7), np.zeros(20)
    )
    np.testing.assert_array_equal(best_class(np.array([[1.0, 3.0, 3.0]])), [1])


@pytest.mark.parametrize("forward", [lambda m, x: m(x)[0], lambda m, x: m(x)[:3], lambda m, x: m(x)[..., None]])
def test_outputs_that_are_no_row_for_each_sample_are_refused(net: Net, inputs: Array, forward: Any) -> None:
    with pytest.raises(ModelError, match=r"the model's output: expected an array of shape \(20, classes\)"):
        outputs_of(FakeAdapter(net, forward=forward), inputs)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_gradients_of_activated_outputs_are_those_of_finite_differences(
    net: Net, inputs: Array, activation: Any
) -> None:
    adapter = with_activation(FakeAdapter(net), activation)
    targets, step, rows = np.arange(20) % 3, 1e-6, np.arange(20)
    gradient = adapter.gradient(inputs, targets)
    for feature in range(12):
        shift = np.eye(12)[feature] * step
        rise = (adapter.predict(inputs + shift) - adapter.predict(inputs - shift)) / (2 * step)
        np.testing.assert_allclose(gradient[:, feature], rise[rows, targets], atol=1e-8)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_weights_of_the_classes_combine_gradients_of_activated_outputs(
    net: Net, inputs: Array, activation: Any
) -> None:
    adapter = ActivatedAdapter(FakeAdapter(net), activation)
    weights = np.random.default_rng(0).standard_normal((20, 3))
    parts = [adapter.gradient(inputs, np.full(20, k)) * weights[:, [k]] for k in range(3)]
    np.testing.assert_allclose(adapter.gradient(inputs, weights), sum(parts), atol=1e-12)
    outputs, gradient = adapter.output_and_gradient(inputs, weights)
    np.testing.assert_array_equal(outputs, adapter.predict(inputs))
    np.testing.assert_array_equal(gradient, adapter.gradient(inputs, weights))


def test_activations_are_exact_and_finite_for_outputs_of_any_size() -> None:
    outputs = np.array([[1000.0, -1000.0, 0.0], [-800.0, -800.0, -800.0]])
    adapter = FakeAdapter(Net(), forward=lambda model, x: outputs)
    soft, sigmoid = (with_activation(adapter, a).predict(outputs) for a in ("softmax", "sigmoid"))
    np.testing.assert_allclose(soft, [[1.0, 0.0, 0.0], [1 / 3] * 3], atol=1e-15)
    np.testing.assert_allclose(sigmoid, [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]], atol=1e-300)


def test_an_activation_survives_cloning_and_unknown_ones_are_refused(net: Net, inputs: Array) -> None:
    adapter = with_activation(FakeAdapter(net), "softmax")
    copy = adapter.clone()
    np.testing.assert_allclose(copy.predict(inputs).sum(axis=1), 1)
    copy.write("head", {"bias": np.full(3, 9.0)})
    assert net.weights["head"]["bias"][0] != 9
    assert with_activation(FakeAdapter(net), None).framework == "fake"
    with pytest.raises(ArgumentError, match="activation: expected None, 'softmax' or 'sigmoid', received 'tanh'"):
        with_activation(FakeAdapter(net), "tanh")  # type: ignore[arg-type]
