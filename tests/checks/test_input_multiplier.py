"""Input multiplier: two cascades side by side, and what a gap between them says."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks import InputMultiplier
from agnostic_rand.errors import ArgumentError

from .conftest import Trained
from .nets import Array
from .slow import flat, gradient_map, rank_correlation, stream, with_weights
from .test_cascades import LABELS, by_hand, shifted

SMOOTHING = 1


def test_both_sides_are_those_of_maps_by_hand(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    strategy = ar.FullRandomization(perturbation=shifted)
    result = InputMultiplier(strategy).run(ar.Subject(net, x, LABELS, seed=0), "gradient_times_input")
    maps = [gradient_map(model, x, LABELS) for model in (net, with_weights(net, by_hand, ("0", "3")))]
    for place, factor in enumerate((x, 1.0)):
        expected = rank_correlation(*(flat(one * factor) for one in maps))
        np.testing.assert_allclose(result.scores["spearman"][place, 0, 0], expected, atol=1e-12)
    assert result.dimensions["multiplier"] == ("with", "without")


def test_integrated_gradients_and_any_pair(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    subject = ar.Subject(net, x, LABELS, seed=0)
    path = ar.explainers.IntegratedGradients(steps=4)
    bare = ar.explainers.IntegratedGradients(steps=4, multiply_by_inputs=False)
    first, second = (InputMultiplier().run(subject, one) for one in (path, (path, bare)))
    np.testing.assert_array_equal(first.scores["spearman"], second.scores["spearman"])
    assert first.settings["without"].endswith("multiply_by_inputs=False)")


def test_expected_gradients_have_a_switch(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    subject = ar.Subject(net, x, LABELS, seed=0)
    path = ar.explainers.ExpectedGradients(samples=6)
    bare = ar.explainers.ExpectedGradients(samples=6, multiply_by_inputs=False)
    first, second = (InputMultiplier().run(subject, one) for one in (path, (path, bare)))
    np.testing.assert_array_equal(first.scores["spearman"], second.scores["spearman"])
    assert InputMultiplier().run(subject, "expected_gradients").explainer == "expected_gradients"
    # From one baseline of zeros, the points are the input times a number that all samples share.
    points = stream(0, SMOOTHING, 1).random((2, 6))[1]
    maps = np.mean([gradient_map(net, a * x, LABELS) for a in points], axis=0)
    np.testing.assert_allclose(ar.explain(net, x, LABELS, bare), maps, atol=1e-9)
    np.testing.assert_allclose(ar.explain(net, x, LABELS, path), maps * x, atol=1e-9)


def test_several_methods_and_pairs_are_told_apart(small: tuple[nn.Module, Array]) -> None:
    subject = ar.Subject(*small, LABELS, seed=0)
    path = ar.explainers.IntegratedGradients(steps=3)
    pair = (path, "saliency")
    listed = InputMultiplier().run(subject, ["gradient", path])
    named = InputMultiplier().run(subject, {"product": "gradient_times_input", "pair": pair})
    assert listed.explainers == ("gradient_times_input", "integrated_gradients")
    assert named.explainers == ("product", "pair")
    np.testing.assert_array_equal(listed["gradient_times_input"].of(), named["product"].of())
    np.testing.assert_array_equal(named["pair"].of(), InputMultiplier().run(subject, pair).of())
    assert named["pair"].settings["without"] == "Saliency()"
    assert named["product"].settings["without"] == "Gradient()"
    # Both stand for the product of gradient and input.
    with pytest.raises(ArgumentError, match="names of their own"):
        InputMultiplier().run(subject, ["gradient", "gradient_times_input"])
    for wrong in ((), (path,), (path, path, path)):
        with pytest.raises(ArgumentError, match=f"a pair .*received a tuple of {len(wrong)}"):
            InputMultiplier().run(subject, wrong)
    with pytest.raises(ArgumentError, match="at least one explainer"):
        InputMultiplier().run(subject, [])


def test_deeplift_is_a_pair(trained_cnn: Trained) -> None:
    attr = pytest.importorskip("captum.attr")
    net, x, y = trained_cnn.model, trained_cnn.x[:8], trained_cnn.y[:8]
    pair = attr.DeepLift(net), attr.DeepLift(net, multiply_by_inputs=False)
    result = InputMultiplier().run(ar.Subject(net, x, y, seed=0), pair)
    lifted, plain = result.mean("spearman_abs")[:, -1]
    assert lifted > plain + 0.2


def test_on_digits_the_likeness_of_absolute_maps_is_the_inputs_and_it_says_so(trained_cnn: Trained) -> None:
    x, y = trained_cnn.x[:60], trained_cnn.y[:60]
    result = InputMultiplier().run(ar.Subject(trained_cnn.model, x, y, seed=0), "gradient_times_input")
    lifted, plain = result.mean("spearman_abs")[:, -1]
    assert lifted > plain + 0.4
    assert any("the likeness is the input's" in finding for finding in result.findings)


def test_a_method_without_a_known_factor_is_refused(small: tuple[nn.Module, Array]) -> None:
    with pytest.raises(ArgumentError, match="factor is not known"):
        InputMultiplier().run(ar.Subject(*small), "guided_backprop")
    with pytest.raises(ArgumentError, match="draws"):
        InputMultiplier(draws=0)
