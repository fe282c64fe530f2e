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
    result = ModelDecay(strategy).run(ar.Subject(net, x, LABELS, seed=0, batch_size=2))
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
    subject = ar.Subject(trained_cnn.model, trained_cnn.x[:50], trained_cnn.y[:50], seed=6)
    decay = ModelDecay(draws=2).run(subject)
    outputs = ar.ModelRandomization(draws=2).run(subject, "input_map").moved
    for measure in ("correlation", "agreement", "accuracy"):
        np.testing.assert_array_equal(decay.scores[measure][:, 1:], getattr(outputs, measure))
    # The trained model knows; a random one guesses.
    assert decay.mean("accuracy")[0] > 0.9
    assert decay.mean("accuracy")[-1] < 0.35


def test_without_labels_there_is_no_accuracy(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    scores = ModelDecay().run(ar.Subject(net, x, seed=0)).scores
    assert np.isnan(scores["accuracy"]).all()
    assert np.isfinite(scores["agreement"]).all()
    with pytest.raises(ArgumentError, match="draws"):
        ModelDecay(draws=0)


def test_half_depths_by_hand() -> None:
    # From 1 to .8 to .2 over two steps: .5 is halfway through the second of them.
    assert half_depth(np.array([0.8, 0.2])) == pytest.approx(0.75)
    assert half_depth(np.array([0.0, 0.0])) == pytest.approx(0.25)
    assert math.isnan(half_depth(np.array([0.9, 0.5])))


def test_the_sensitivity_ratio_tells_maps_that_outlive_the_model(trained_cnn: Trained) -> None:
    subject = ar.Subject(trained_cnn.model, trained_cnn.x[:50], trained_cnn.y[:50], seed=0)
    found = ar.ModelRandomization(draws=3).run(subject, ["gradient", "guided_backprop", "input_map"])
    assert sensitivity_ratio(found["guided_backprop"]) > 2 * sensitivity_ratio(found["gradient"])
    assert math.isnan(sensitivity_ratio(found["input_map"]))
    # Of no cascade, and of several at once, there is no ratio.
    for scores in (ModelDecay().run(subject), found):
        with pytest.raises(ArgumentError):
            sensitivity_ratio(scores)
