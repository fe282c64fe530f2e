"""Running statistics of randomized layers: reset, kept, or estimated anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from agnostic_rand.adapters import Layer, Parameter, PlacedInputs
from agnostic_rand.errors import CapabilityError, WeightsError
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
)

from .fakes import Array, EstimatingAdapter, FakeAdapter, Net, weights_of
from .runs import randomizer_of, randomizing_of


def test_statistics_of_random_layers_are_reset_and_those_of_trained_layers_are_not(net: Net) -> None:
    norm = net.weights["norm"]
    with randomizing_of(FakeAdapter(net), CascadingRandomization(statistics="reset")) as randomizer:
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
    with randomizing_of(FakeAdapter(net), FullRandomization(statistics="keep")) as randomizer:
        randomizer.apply(draw=0, step=0)
        after = weights_of(net)
        assert after["norm", "running_mean"] == before["norm", "running_mean"]
        assert after["norm", "running_var"] == before["norm", "running_var"]
        assert after["norm", "weight"] != before["norm", "weight"]


def test_statistics_are_recalibrated_on_the_inputs_in_each_state(inputs: Array) -> None:
    net = Net(adapter=EstimatingAdapter)
    before, norm = weights_of(net), net.weights["norm"]
    strategy = CascadingRandomization(statistics="recalibrate")
    with randomizing_of(EstimatingAdapter(net), strategy, calibration=PlacedInputs(inputs)) as randomizer:
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


class MovingAdapter(EstimatingAdapter):
    """Moves the statistics that it holds half of the way to those of the batch."""

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, Array]]:
        seen, held = super().estimate_statistics(inputs, layers), self.net.weights
        return {layer: {k: (v + held[layer][k]) / 2 for k, v in found.items()} for layer, found in seen.items()}


def test_recalibrated_statistics_do_not_depend_on_the_draw_before(inputs: Array) -> None:
    states = []
    for draws in ([1], [0, 1]):
        net = Net()
        strategy = FullRandomization(statistics="recalibrate")
        with randomizing_of(MovingAdapter(net), strategy, calibration=PlacedInputs(inputs)) as randomizer:
            for draw in draws:
                randomizer.apply(draw=draw, step=0)
            states.append(weights_of(net))
    assert states[0] == states[1]


class DerivingAdapter(FakeAdapter):
    """Keeps the length of the output layer's weights, anew at each write that does not give it."""

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        net.weights["head"]["length"] = np.linalg.norm(net.weights["head"]["weight"])[None]

    def layers(self) -> tuple[Layer, ...]:
        length = self.net.weights["head"].pop("length")
        *others, head = super().layers()
        self.net.weights["head"]["length"] = length
        return *others, replace(head, statistics=(Parameter("length", (1,), "float64", "other"),))

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        super().write(layer, values)
        if layer == "head" and "length" not in values:
            self.net.weights["head"]["length"][0] = np.linalg.norm(self.net.weights["head"]["weight"])


@pytest.mark.parametrize("statistics", ["reset", "keep"])
def test_what_follows_from_the_weights_follows_from_the_new_ones(net: Net, statistics: str) -> None:
    adapter = DerivingAdapter(net)
    trained = net.weights["head"]["length"][0]
    with randomizing_of(adapter, FullRandomization(statistics=statistics)) as randomizer:
        randomizer.apply(draw=0, step=0)
        assert net.weights["head"]["length"][0] == np.linalg.norm(net.weights["head"]["weight"]) != trained
    assert net.weights["head"]["length"][0] == trained


def test_recalibrating_needs_nothing_where_no_random_layer_has_statistics(net: Net) -> None:
    with randomizing_of(FakeAdapter(net), CascadingRandomization(statistics="recalibrate")) as randomizer:
        before = weights_of(net)
        randomizer.apply(draw=0, step=1)
        assert weights_of(net) != before
