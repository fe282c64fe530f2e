"""The explainers and controls that need nothing of a framework, against slow versions of their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, CapabilityError, InputError
from agnostic_rand.explainers import (
    CONTROLS,
    EXPLAINERS,
    CompetitiveGradientTimesInput,
    ConstantMap,
    EdgeDetector,
    GradientTimesInput,
    GuidedBackprop,
    IntegratedGradients,
    RandomMap,
    Saliency,
    SmoothGrad,
    resolve_explainer,
)
from agnostic_rand.weights import Purpose, Streams

from .fakes import Array, Net

pytestmark = pytest.mark.usefixtures("fake_backend")

TARGETS = np.arange(20) % 3


def gradient(net: Net, inputs: Array) -> Array:
    return net.gradient(inputs, np.eye(3)[TARGETS])


def maps_of(explainer: Any, net: Net, inputs: Array, **settings: Any) -> Array:
    return ar.explain(net, inputs, TARGETS, explainer, **settings)


def test_saliency_is_the_absolute_gradient_and_the_product_keeps_its_sign(net: Net, inputs: Array) -> None:
    np.testing.assert_allclose(maps_of(Saliency(), net, inputs), abs(gradient(net, inputs)))
    np.testing.assert_allclose(maps_of(GradientTimesInput(), net, inputs), gradient(net, inputs) * inputs)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("baseline", [0.0, 0.5, np.linspace(-1, 1, 12)], ids=["zero", "number", "array"])
def test_integrated_gradients_follow_the_midpoint_rule(
    net: Net, inputs: Array, baseline: Any, batch_size: int
) -> None:
    start = np.broadcast_to(baseline, (12,)).astype(np.float32).astype(float)
    points = [start + (i + 0.5) / 8 * (inputs - start) for i in range(8)]
    mean = np.mean([gradient(net, point) for point in points], axis=0)
    explainer = IntegratedGradients(steps=8, baseline=baseline)
    np.testing.assert_allclose(maps_of(explainer, net, inputs, batch_size=batch_size), mean * (inputs - start))
    without = IntegratedGradients(steps=8, baseline=baseline, multiply_by_inputs=False)
    np.testing.assert_allclose(maps_of(without, net, inputs, batch_size=batch_size), mean)


def test_integrated_gradients_sum_to_the_change_of_the_output(net: Net, inputs: Array) -> None:
    maps = maps_of(IntegratedGradients(steps=200), net, inputs)
    rise = (net(inputs) - net(np.zeros_like(inputs)))[np.arange(20), TARGETS]
    np.testing.assert_allclose(maps.sum(axis=1), rise, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_smoothgrad_averages_over_noise_that_all_samples_share(net: Net, inputs: Array, batch_size: int) -> None:
    noise = Streams(6).generator(Purpose.SMOOTHING).standard_normal((9, 12), dtype=np.float32)
    spread = inputs.max(axis=1, keepdims=True) - inputs.min(axis=1, keepdims=True)
    expected = np.mean([gradient(net, inputs + 0.15 * spread * noise[i]) for i in range(9)], axis=0)
    np.testing.assert_allclose(maps_of(SmoothGrad(samples=9), net, inputs, seed=6, batch_size=batch_size), expected)
    absolute = np.mean([abs(gradient(net, inputs + 0.3 * spread * noise[i])) for i in range(9)], axis=0)
    found = maps_of(SmoothGrad(Saliency(), samples=9, noise=0.3), net, inputs, seed=6, batch_size=batch_size)
    np.testing.assert_allclose(found, absolute)


def test_smoothgrad_without_noise_is_its_base(net: Net, inputs: Array) -> None:
    np.testing.assert_allclose(maps_of(SmoothGrad(samples=3, noise=0), net, inputs), gradient(net, inputs))
    assert SmoothGrad().name == "smoothgrad"
    assert SmoothGrad(Saliency()).name == "smoothgrad_of_saliency"


@pytest.mark.parametrize("batch_size", [1, 2])
def test_edges_of_an_image_do_not_depend_on_its_neighbours(batch_size: int) -> None:
    images = np.random.default_rng(0).random((5, 3, 4, 4)).astype(np.float32)
    whole, parts = (
        ar.explain(Net(features=48), images, None, EdgeDetector(), batch_size=n) for n in (5, batch_size)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_edges_are_the_length_of_sobels_gradient_of_the_mean_over_channels() -> None:
    images = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    kernel = np.outer([1, 2, 1], [1, 0, -1])
    expected = []
    for image in images.mean(axis=1).astype(float):
        padded = np.pad(image, 1, mode="edge")
        across, down = (signal.convolve2d(padded, k, mode="valid") for k in (kernel, kernel.T))
        expected.append(np.sqrt(across**2 + down**2))
    found = ar.explain(Net(features=48), images, None, EdgeDetector())
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_edges_need_images(net: Net, inputs: Array) -> None:
    with pytest.raises(InputError, match="Leave this control out for inputs that are not images"):
        maps_of(EdgeDetector(), net, inputs)


def test_constant_maps_hold_their_value_and_input_maps_the_input(net: Net, inputs: Array) -> None:
    np.testing.assert_array_equal(maps_of(ConstantMap(-2), net, inputs), np.full((20, 12), -2))
    np.testing.assert_array_equal(maps_of("input_map", net, inputs), inputs)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_competitive_maps_keep_what_the_class_wins_over_all_others(
    net: Net, inputs: Array, batch_size: int
) -> None:
    maps = np.stack([net.gradient(inputs, np.eye(3)[np.full(20, c)]) * inputs for c in range(3)])
    expected = np.zeros_like(inputs)
    for i, place in np.ndindex(inputs.shape):
        scores = maps[:, i, place]
        own, others = scores[TARGETS[i]], np.delete(scores, TARGETS[i])
        if (own > 0 and own > max(others)) or (own < 0 and own < min(others)):
            expected[i, place] = own
    found = maps_of("competitive_gradient_times_input", net, inputs, batch_size=batch_size)
    np.testing.assert_allclose(found, expected)
    # Some elements are won, some are lost.
    assert 0.2 < (found != 0).mean() < 0.8


def test_competition_needs_classes_and_not_too_many(net: Net, inputs: Array) -> None:
    with pytest.raises(InputError, match=r"2 to 2 outputs.*received 3\. Pass most_classes=3"):
        maps_of(CompetitiveGradientTimesInput(most_classes=2), net, inputs)
    with pytest.raises(ArgumentError, match="most_classes"):
        CompetitiveGradientTimesInput(most_classes=1)


def test_random_maps_have_the_law_that_was_asked_for(net: Net) -> None:
    inputs = np.random.default_rng(0).standard_normal((400, 12))
    uniform, normal = (ar.explain(net, inputs, None, RandomMap(law)) for law in ("uniform", "normal"))
    assert (uniform.min() >= 0, uniform.max() < 1) == (True, True)
    assert uniform.mean() == pytest.approx(0.5, abs=0.02)
    assert (normal.mean(), normal.std()) == pytest.approx((0, 1), abs=0.05)
    assert len(np.unique(normal)) > 4700, "no two samples share their noise"


def test_guided_backprop_needs_an_adapter_that_knows_the_rule(net: Net, inputs: Array) -> None:
    with pytest.raises(CapabilityError, match=r"'fake' adapter.*Use Gradient\(\)"):
        maps_of(GuidedBackprop(), net, inputs)


@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_every_name_makes_an_explainer_of_that_name(name: str) -> None:
    assert resolve_explainer(name).name == name


def test_controls_are_explainers() -> None:
    assert set(CONTROLS) <= set(EXPLAINERS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntegratedGradients(steps=0),
        lambda: IntegratedGradients(steps=2.5),  # type: ignore[arg-type]
        lambda: SmoothGrad(samples=0),
        lambda: SmoothGrad(noise=-0.1),
        lambda: SmoothGrad(noise=float("nan")),
        lambda: RandomMap("cauchy"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_a_baseline_that_does_not_fit_is_refused(net: Net, inputs: Array) -> None:
    with pytest.raises(ArgumentError, match=r"baseline"):
        maps_of(IntegratedGradients(baseline=np.zeros(5)), net, inputs)


def test_functions_and_objects_are_named_for_results() -> None:
    class GradCAMPlus:
        model = None

        def explain(self, inputs: Array, targets: Array) -> Array:
            return inputs

    def my_method(model: Any, inputs: Array, targets: Array) -> Array:
        return inputs

    assert resolve_explainer(my_method).name == "my_method"
    assert resolve_explainer(lambda model, inputs, targets: inputs).name == "function"
    assert "plus" in resolve_explainer(GradCAMPlus()).name.lower()
