"""Running statistics of randomized layers: reset, kept, or estimated anew."""

from __future__ import annotations

import numpy as np
import pytest

from agnostic_rand.adapters import PlacedInputs
from agnostic_rand.errors import CapabilityError, WeightsError
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
)

from .fakes import Array, EstimatingAdapter, FakeAdapter, Net, weights_of
from .runs import randomizer_of


def test_statistics_of_random_layers_are_reset_and_those_of_trained_layers_are_not(net: Net) -> None:
    norm = net.weights["norm"]
    with randomizer_of(FakeAdapter(net), CascadingRandomization(statistics="reset")) as randomizer:
        trained = norm["running_mean"].copy(), norm["running_var"].copy()
        randomizer.apply(draw=0, step=1)
        np.testing.assert_array_equal((norm["running_mean"], norm["running_var"]), trained)
        for step in (2, 3):
            randomizer.apply(draw=0, step=step)
            np.testing.assert_array_equal(norm["running_mean"], 0)
            np.testing.assert_array_equal(norm["running_var"], 1)
    np.testing.assert_array_equal((norm["running_mean"], norm["running_var"]), trained)


def test_statistics_can_be_kept(net: Net) -> None:
    before = weights_of(net)
    with randomizer_of(FakeAdapter(net), FullRandomization(statistics="keep")) as randomizer:
        randomizer.apply(draw=0, step=0)
        after = weights_of(net)
        assert after["norm", "running_mean"] == before["norm", "running_mean"]
        assert after["norm", "running_var"] == before["norm", "running_var"]
        assert after["norm", "weight"] != before["norm", "weight"]


def test_statistics_are_recalibrated_on_the_inputs_in_each_state(inputs: Array) -> None:
    net = Net(adapter=EstimatingAdapter)
    before, norm = weights_of(net), net.weights["norm"]
    strategy = CascadingRandomization(statistics="recalibrate")
    with randomizer_of(EstimatingAdapter(net), strategy, calibration=PlacedInputs(inputs)) as randomizer:
        means = []
        for step in range(4):
            randomizer.apply(draw=0, step=step)
            randomizer.verify()
            means.append(norm["running_mean"].copy())
            if step >= 2:
                seen = inputs @ net.weights["hidden1"]["weight"].T + net.weights["hidden1"]["bias"]
                np.testing.assert_allclose(norm["running_mean"], seen.mean(axis=0))
                np.testing.assert_allclose(norm["running_var"], seen.var(axis=0))
    assert means[1].tobytes() == before["norm", "running_mean"]
    assert not np.allclose(means[2], means[3]), "the layer before it became random in the last step"
    assert weights_of(net) == before


def test_recalibrating_needs_an_adapter_that_can_and_inputs(net: Net) -> None:
    strategy = FullRandomization(statistics="recalibrate")
    with pytest.raises(CapabilityError, match=r"SupportsStatistics.*Use 'reset' or 'keep'"):
        randomizer_of(FakeAdapter(net), strategy, calibration=PlacedInputs(np.ones((2, 12)))).apply(draw=0, step=0)
    with pytest.raises(WeightsError, match="Pass example_inputs"):
        randomizer_of(EstimatingAdapter(net), strategy).apply(draw=0, step=0)
