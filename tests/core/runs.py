"""Runs on the fake framework, for tests of what they give and of what they refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import agnostic_rand as ar
from agnostic_rand.adapters import Layer, PlacedInputs
from agnostic_rand.explainers import (
    ExplanationContext,
    FunctionExplainer,
    Gradient,
)
from agnostic_rand.passes.cascade import CascadeRecord, CascadeSettings, run_cascade
from agnostic_rand.similarity import resolve_measures
from agnostic_rand.subject.samples import Samples
from agnostic_rand.weights import (
    CascadingRandomization,
    ModelRandomizationStrategy,
    Randomizer,
    Streams,
    randomizing,
)
from agnostic_rand.weights.drawing import TrainedLayer

from .fakes import Array, FakeAdapter, Net, weights_of

TARGETS = np.arange(20) % 3


def cascade(
    adapter: FakeAdapter,
    inputs: Array,
    *explainers: Any,
    strategy: ModelRandomizationStrategy | None = None,
    targets: Array | str = TARGETS,
    seed: int = 0,
    measures: Sequence[Any] = ("spearman", "spearman_abs"),
    **settings: Any,
) -> CascadeRecord:
    """A run on the adapter itself, which is trained again afterwards."""
    plan = (strategy or CascadingRandomization()).plan(adapter.layers())
    chosen = {"draws": 2, "batch_size": 64, "channel_axis": None, **settings}
    context = ExplanationContext(Streams(seed), chosen["batch_size"], 1)
    with randomizing(adapter, plan, Streams(seed), trained=None, calibration=PlacedInputs(inputs)) as randomizer:
        return run_cascade(
            adapter,
            explainers or (Gradient(),),
            Samples(inputs, None),
            targets,
            randomizer,
            plan,
            context,
            CascadeSettings(measures=resolve_measures(list(measures)), **chosen),
        )


def function(explain: Any, name: str = "mine") -> FunctionExplainer:
    return FunctionExplainer(explain, name)


def assert_same(first: CascadeRecord, second: CascadeRecord, tolerance: float) -> None:
    for explainer, scores in first.scores.items():
        for name, array in scores.items():
            np.testing.assert_allclose(array, second.scores[explainer][name], atol=tolerance, rtol=0)
    for name, array in vars(first.outputs).items():
        np.testing.assert_allclose(array, getattr(second.outputs, name), atol=max(tolerance, 1e-12))


def metric(net: Net, inputs: Any, targets: Any = None, **settings: Any) -> ar.ModelRandomizationMetric:
    chosen = {"randomization_strategy": ar.CascadingRandomization(), "seed": 3, **settings}
    return ar.ModelRandomizationMetric(net, inputs, targets, **chosen)


def gradient(model: Net, x: Array, y: Array) -> Array:
    return model.gradient(x, np.eye(3)[y])


class Bound:
    """An explainer object that holds its model."""

    def __init__(self, model: Net) -> None:
        self.model = model

    def explain(self, x: Array, y: Array) -> Array:
        return gradient(self.model, x, y)


def randomizer_of(
    adapter: FakeAdapter, strategy: ModelRandomizationStrategy, *, seed: int = 0, **settings: Any
) -> Randomizer:
    plan = strategy.plan(adapter.layers())
    return Randomizer(adapter, plan, Streams(seed), **{"trained": None, **settings})


def randomizing_of(
    adapter: FakeAdapter, strategy: ModelRandomizationStrategy, *, seed: int = 0, **settings: Any
) -> AbstractContextManager[Randomizer]:
    plan = strategy.plan(adapter.layers())
    return randomizing(adapter, plan, Streams(seed), **{"trained": None, **settings})


def changed(net: Net, before: Mapping[tuple[str, str], bytes]) -> set[str]:
    """The layers that hold another parameter or statistic than before."""
    return {layer for (layer, name), bits in weights_of(net).items() if bits != before[layer, name]}


def trained_layer(layer: Layer, values: dict[str, Array]) -> TrainedLayer:
    return TrainedLayer(layer, {name: value.dtype for name, value in values.items()}, lambda: values)
