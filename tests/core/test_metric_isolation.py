"""What a run leaves behind on the caller's model, arrays and generators: nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import (
    ArgumentError,
    IsolationError,
    WeightsError,
)

from .fakes import Array, Net, WatchingAdapter, weights_of
from .runs import TARGETS, Bound, gradient, metric

pytestmark = pytest.mark.usefixtures("fake_backend")


def test_functions_get_the_current_model_and_arrays_of_their_own(net: Net, inputs: Array) -> None:
    models = []

    def careless(model: Net, x: Array, y: Array) -> Array:
        models.append(model)
        maps = gradient(model, x, y)
        x *= 0
        y *= 0
        return maps

    expected = metric(net, inputs, TARGETS).run("gradient").scores["spearman"]
    before = inputs.copy(), TARGETS.copy()
    np.testing.assert_array_equal(metric(net, inputs, TARGETS).run(careless).scores["spearman"], expected)
    np.testing.assert_array_equal(inputs, before[0])
    np.testing.assert_array_equal(TARGETS, before[1])
    assert all(type(model) is Net and model is not net for model in models)


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("interruption", [ZeroDivisionError, KeyboardInterrupt])
def test_the_callers_model_is_bit_identical_also_after_an_interruption(
    net: Net, inputs: Array, isolation: str, interruption: type[BaseException]
) -> None:
    before, calls = weights_of(net), []

    def interrupted(model: Net, x: Array, y: Array) -> Array:
        calls.append(1)
        if len(calls) == 9:
            raise interruption
        return gradient(model, x, y)

    one = metric(net, inputs, batch_size=7, isolation=isolation)
    with pytest.raises(interruption):
        one.run(interrupted)
    assert weights_of(net) == before
    assert one.run(interrupted).settings["isolation"] == isolation
    assert weights_of(net) == before


def test_in_place_gives_the_scores_of_a_copy(net: Net, inputs: Array) -> None:
    copied, in_place = (metric(net, inputs, isolation=i).run("gradient") for i in ("clone", "in_place"))
    np.testing.assert_array_equal(copied.scores["spearman"], in_place.scores["spearman"])


def test_objects_that_hold_the_model_are_checked_in_place(net: Net, inputs: Array) -> None:
    before = weights_of(net)
    result = metric(net, inputs).run(Bound(net))
    expected = metric(net, inputs).run("gradient")
    assert (result.explainer, result.settings["isolation"]) == ("bound", "in_place")
    np.testing.assert_array_equal(result.scores["spearman"], expected.scores["spearman"])
    assert weights_of(net) == before
    with pytest.raises(ArgumentError, match="holds another model"):
        metric(net, inputs).run(Bound(Net()))
    with pytest.raises(ArgumentError, match="bound to the model"):
        metric(net, inputs, isolation="clone").run(Bound(net))


def test_a_function_that_changes_the_callers_model_behind_our_back_is_found(net: Net, inputs: Array) -> None:
    def sly(model: Net, x: Array, y: Array) -> Array:
        net.weights["norm"]["running_mean"][0] += 1
        return x

    with pytest.raises(IsolationError, match="other values in norm"):
        metric(net, inputs).run(sly)


def test_a_function_that_trains_the_model_it_is_given_is_found(net: Net, inputs: Array) -> None:
    def training(model: Net, x: Array, y: Array) -> Array:
        model.weights["head"]["bias"] += 1e-3
        return x

    before = weights_of(net)
    with pytest.raises(WeightsError, match="unchanged by the explanations"):
        metric(net, inputs).run(training)
    assert weights_of(net) == before


def states() -> tuple[Any, bytes]:
    return random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]


def test_global_generators_are_as_before_whatever_draws_from_them(net: Net, inputs: Array) -> None:
    def drawing(model: Net, x: Array, y: Array) -> Array:
        random.random()
        return x + np.random.standard_normal(x.shape)

    def batches() -> Iterator[tuple[Array, Array]]:
        np.random.shuffle(np.arange(5))
        yield inputs, TARGETS

    def noisy_forward(model: Net, x: Array) -> Array:
        return model(x) + 1e-9 * np.random.standard_normal()

    before = states()
    one = metric(net, batches(), forward=noisy_forward)
    assert states() == before
    one.run(drawing)
    assert states() == before
    with pytest.raises(ZeroDivisionError):
        one.run(lambda model, x, y: np.random.random() / 0)
    assert states() == before
    ar.explain(net, batches(), None, drawing)
    assert states() == before


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_foreign_code_is_watched_over_with_and_without_an_activation(inputs: Array, activation: Any) -> None:
    metric(Net(adapter=WatchingAdapter), inputs, activation=activation).run(gradient)
    assert WatchingAdapter.watched


@pytest.mark.parametrize("one_hot", [True, False])
def test_a_bound_object_gets_targets_in_the_form_in_which_they_were_passed(
    net: Net, inputs: Array, one_hot: bool
) -> None:
    labels = np.arange(len(inputs)) % 3
    seen: list[Any] = []

    class Noting:
        model = net

        def explain(self, x: Array, targets: Array) -> Array:
            seen.append(np.asarray(targets))
            return np.array(x)

    metric(net, inputs, np.eye(3)[labels] if one_hot else labels).run(Noting())
    due = np.eye(3)[labels] if one_hot else labels
    assert all(np.array_equal(targets, due[: len(targets)]) for targets in seen)
    assert {targets.ndim for targets in seen} == {2 if one_hot else 1}
