"""Explainers, measures and models at fault: what the loop over data refuses, and what it withstands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, ExplanationError, NonFiniteOutputError, WeightsError
from agnostic_rand.explainers import (
    ExplanationContext,
    Gradient,
    InputMap,
)
from agnostic_rand.passes.needs import Look, Needs, Walk
from agnostic_rand.passes.run import run
from agnostic_rand.similarity import resolve_measures
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
    Uniform,
)

from .fakes import Array, FakeAdapter, Net, weights_of
from .runs import TARGETS, assert_same, cascade, function

pytestmark = pytest.mark.usefixtures("fake_backend")

MEASURES = resolve_measures("spearman")


@dataclass(frozen=True)
class FailsLater:
    """Gives good maps of the trained model, and something else in the second batch of the second step."""

    result: Any
    name: str = "failing"

    def explain(self, adapter: Any, inputs: Array, targets: Array, context: ExplanationContext) -> Any:
        late = context.step == 1 and context.first_sample == 7
        return self.result(inputs) if late else inputs


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: np.where(x > 0, np.nan, x), "finite numbers"),
        (lambda x: x * np.inf, "finite numbers"),
        (lambda x: x[:, :5], r"received shape \(7, 5\)"),
        (lambda x: x[:3], r"received shape \(3, 12\)"),
        (lambda x: None, "received NoneType"),
        (lambda x: x + 1j, "received ndarray"),
    ],
)
def test_maps_that_are_none_are_an_error_that_names_explainer_step_and_batch(
    net: Net, inputs: Array, result: Any, message: str
) -> None:
    before = weights_of(net)
    with pytest.raises(ExplanationError, match=message) as caught:
        cascade(net, inputs, FailsLater(result), batch_size=7)
    assert "'failing' on step 1 ('hidden2'" in caught.value.subject
    assert "draw 0, samples 7 to 13" in caught.value.subject
    assert weights_of(net) == before


def test_an_exception_of_the_explainer_passes_with_a_note_on_where_it_was(net: Net, inputs: Array) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        cascade(net, inputs, FailsLater(lambda x: 1 / 0), batch_size=7)
    (note,) = caught.value.__notes__
    assert "'failing'" in note
    assert "step 1" in note
    assert "samples 7 to 13" in note


def test_outputs_that_are_not_finite_are_an_error_that_names_step_and_layer(net: Net, inputs: Array) -> None:
    strategy = CascadingRandomization(perturbation=Uniform(1e308, 1.7e308))
    with pytest.raises(NonFiniteOutputError, match=r"step 0 \('head'.*draw 0.*infinite or NaN values"):
        cascade(net, inputs, InputMap(), strategy=strategy)


def test_the_model_is_blamed_and_not_the_explainer_where_outputs_are_not_finite(net: Net, inputs: Array) -> None:
    def of_outputs(model: Net, x: Array, y: Array) -> Array:
        return np.where(np.isfinite(model(x)[:, :1]), x, np.nan)

    strategy = CascadingRandomization(perturbation=Uniform(1e308, 1.7e308))
    with pytest.raises(NonFiniteOutputError):
        cascade(net, inputs, function(of_outputs), strategy=strategy)


def test_a_trained_model_without_finite_outputs_is_refused(net: Net, inputs: Array) -> None:
    net.weights["head"]["bias"][1] = np.inf
    with pytest.raises(NonFiniteOutputError, match="the trained model"):
        cascade(net, inputs, InputMap(), strategy=FullRandomization(exclude=["head"]))


def test_an_explainer_that_trains_the_model_is_found(net: Net, inputs: Array) -> None:
    def training(model: Net, x: Array, y: Array) -> Array:
        model.weights["hidden2"]["bias"] += 1e-6
        return x

    before = weights_of(net)
    with pytest.raises(WeightsError, match=r"layer 'hidden2'.*unchanged by the explanations"):
        cascade(net, inputs, function(training))
    assert weights_of(net) == before


@pytest.mark.parametrize("layer", ["head", "hidden1"])
def test_an_explainer_that_trains_the_model_at_the_very_end_is_found(net: Net, inputs: Array, layer: str) -> None:
    # Guards look twice, and then come the trained model and all states.
    calls, last = 0, 2 + 1 + 2 * 4

    def training_at_last(model: Net, x: Array, y: Array) -> Array:
        nonlocal calls
        calls += 1
        if calls == last:
            model.weights[layer]["bias"] += 1e-6
        return x

    with pytest.raises(WeightsError, match=rf"layer '{layer}'.*unchanged by the explanations"):
        cascade(net, inputs, function(training_at_last))
    assert calls == last


def test_an_explainer_that_trains_a_layer_which_no_step_writes_is_found(net: Net, inputs: Array) -> None:
    def training(model: Net, x: Array, y: Array) -> Array:
        model.weights["hidden1"]["bias"] += 1e-6
        return x

    with pytest.raises(WeightsError, match=r"layer 'hidden1'.*expected its trained weights"):
        cascade(net, inputs, function(training), strategy=FullRandomization(exclude=["hidden1"]), isolation="clone")


class TouchesNeighbour(FakeAdapter):
    """A write to the output layer changes the layer before it too, until that is written itself."""

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        super().write(layer, values)
        if layer == "head":
            self.net.weights["hidden2"]["bias"] += 0.5


def test_a_write_that_touches_a_layer_which_a_later_step_writes_is_found(net: Net, inputs: Array) -> None:
    net.adapter_type = TouchesNeighbour
    with pytest.raises(WeightsError, match="layer 'hidden2'"):
        cascade(net, inputs, isolation="clone")


class FoldsOnce:
    """Changes the model in the first call, as one that folds a normalization into the layer before it."""

    def __init__(self) -> None:
        self.folded = False

    def __call__(self, model: Net, x: Array, y: Array) -> Array:
        if not self.folded:
            model.weights["hidden2"]["bias"] += 0.5
            self.folded = True
        return model.gradient(x, np.eye(3)[y])


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("again", [(), (CascadingRandomization(perturbation="permute"),)], ids=["one", "two laws"])
def test_an_explainer_that_changes_the_model_in_its_very_first_call_is_found_and_undone(
    net: Net, inputs: Array, isolation: str, again: tuple[CascadingRandomization, ...]
) -> None:
    before, explainer = weights_of(net), function(FoldsOnce())
    walks = tuple(Walk(one, 1, (explainer,), MEASURES) for one in (CascadingRandomization(), *again))
    with pytest.raises(WeightsError, match=r"layer 'hidden2'.*unchanged by the explanations"):
        run(ar.Subject(net, inputs, TARGETS, isolation=isolation), Needs(walks))
    assert weights_of(net) == before


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_an_explainer_that_changes_a_model_which_no_walk_randomizes_is_found(
    net: Net, inputs: Array, isolation: str
) -> None:
    look = Look((function(FoldsOnce()),), lambda batches: {"maps": np.zeros(20)})
    with pytest.raises(AgnosticRandError, match="hidden2"):
        run(ar.Subject(net, inputs, TARGETS, isolation=isolation), Needs(looks=(look,)))


def test_an_explainer_may_return_the_same_array_each_time(net: Net, inputs: Array) -> None:
    buffer = np.empty_like(inputs)

    def reusing(model: Net, x: Array, y: Array) -> Array:
        buffer[: len(x)] = model.gradient(x, np.eye(3)[y])
        return buffer[: len(x)]

    measures = ("spearman", "spearman_nonzero")
    scores = cascade(net, inputs, function(reusing), measures=measures).scores["mine"]
    # No pixel of a gradient is zero here, so the two measures are one.
    np.testing.assert_allclose(scores["spearman_nonzero"], scores["spearman"])


def test_a_measure_that_gives_one_number_for_a_batch_is_refused(net: Net, inputs: Array) -> None:
    def of_the_batch(first: Array, second: Array) -> float:
        return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])

    with pytest.raises(AgnosticRandError, match="of_the_batch"):
        cascade(net, inputs, measures=[of_the_batch])


@dataclass(frozen=True)
class ChangesTheGradient:
    """Multiplies the gradient by the input in place."""

    name: str = "in_place"

    def explain(self, adapter: Any, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        maps: Array = adapter.gradient(inputs, targets)
        maps *= inputs
        return maps


def test_an_explainer_that_works_in_place_does_not_change_what_others_get(net: Net, inputs: Array) -> None:
    alone = cascade(net, inputs, Gradient())
    assert_same(alone, cascade(net, inputs, ChangesTheGradient(), Gradient()), tolerance=0)


def test_a_measure_that_works_in_place_does_not_change_what_others_get(net: Net, inputs: Array) -> None:
    def squaring(first: Array, second: Array) -> Array:
        first *= first
        second *= second
        scores: Array = (first - second).sum(axis=1)
        return scores

    alone, together = (
        cascade(net, inputs, measures=measures).scores["gradient"]["spearman"]
        for measures in (["spearman"], [squaring, "spearman"])
    )
    np.testing.assert_array_equal(alone, together)
