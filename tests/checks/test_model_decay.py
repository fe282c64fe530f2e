"""The model's own fall beside a cascade: against outputs that are computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks import ModelDecay, half_depth, sensitivity_ratio
from agnostic_rand.errors import ArgumentError

from .conftest import Trained
from .nets import Array
from .slow import with_weights
from .test_cascades import LABELS, by_hand, shifted


def test_the_curve_is_that_of_the_outputs(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    strategy = ar.CascadingRandomization(perturbation=shifted)
    result = ModelDecay(net, x, LABELS, strategy, options=ar.RunOptions(seed=0, batch_size=2)).run()
    assert result.dimensions["step"] == ("trained", "3", "0")
    trained = net(torch.from_numpy(x)).detach().numpy()
    for place, layers in enumerate([(), ("3",), ("0", "3")]):
        outputs = with_weights(net, by_hand, layers)(torch.from_numpy(x)).detach().numpy()
        centred = [(values - values.mean(0)).ravel() for values in (trained, outputs)]
        assert result.scores["accuracy"][0, place] == (outputs.argmax(1) == LABELS).mean()
        assert result.scores["agreement"][0, place] == (outputs.argmax(1) == trained.argmax(1)).mean()
        expected = np.corrcoef(*centred)[0, 1]
        assert result.scores["correlation"][0, place] == pytest.approx(expected, abs=1e-10)


def test_it_is_the_curve_of_the_cascade_with_the_same_seed(trained_cnn: Trained) -> None:
    net, x, y = trained_cnn.model, trained_cnn.x[:50], trained_cnn.y[:50]
    decay = ModelDecay(net, x, y, draws=2, options=ar.RunOptions(seed=6)).run()
    cascade = ar.ModelRandomizationMetric(
        net, x, y, randomization_strategy=ar.CascadingRandomization(), seed=6, draws=2
    ).run("input_map")
    np.testing.assert_allclose(decay.scores["correlation"][:, 1:], cascade.outputs.correlation, atol=1e-9)
    np.testing.assert_array_equal(decay.scores["agreement"][:, 1:], cascade.outputs.agreement)
    # The trained model knows; a random one guesses.
    assert decay.mean("accuracy")[0] > 0.9
    assert decay.mean("accuracy")[-1] < 0.35


def test_without_labels_there_is_no_accuracy(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    scores = ModelDecay(net, x, options=ar.RunOptions(seed=0)).run().scores
    assert np.isnan(scores["accuracy"]).all()
    assert np.isfinite(scores["agreement"]).all()
    with pytest.raises(ArgumentError, match="draws"):
        ModelDecay(net, x, draws=0)


def test_half_depths_by_hand() -> None:
    # From 1 to .8 to .2 over two steps: .5 is halfway through the second of them.
    assert half_depth(np.array([0.8, 0.2])) == pytest.approx(0.75)
    assert half_depth(np.array([0.0, 0.0])) == pytest.approx(0.25)
    assert math.isnan(half_depth(np.array([0.9, 0.5])))


def test_the_sensitivity_ratio_tells_maps_that_outlive_the_model(trained_cnn: Trained) -> None:
    metric = ar.ModelRandomizationMetric(
        trained_cnn.model,
        trained_cnn.x[:50],
        trained_cnn.y[:50],
        randomization_strategy=ar.CascadingRandomization(),
        seed=0,
        draws=3,
    )
    gradient, guided = (sensitivity_ratio(metric.run(name)) for name in ("gradient", "guided_backprop"))
    assert guided > 2 * gradient
    assert math.isnan(sensitivity_ratio(metric.run("input_map")))
