"""Runs on the fake framework, for tests of what they give and of what they refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import agnostic_rand as ar
from agnostic_rand.adapters import Layer
from agnostic_rand.explainers import FunctionExplainer, Gradient
from agnostic_rand.passes.needs import Needs, Observer, Walk, WalkRecord
from agnostic_rand.passes.run import SHARD_BYTES, run
from agnostic_rand.similarity import resolve_measures
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
    net: Net,
    inputs: Array,
    *explainers: Any,
    strategy: ModelRandomizationStrategy | None = None,
    targets: Any = TARGETS,
    seed: int = 0,
    batch_size: int = 64,
    draws: int = 2,
    measures: Sequence[Any] = ("spearman", "spearman_abs"),
    observe: Observer | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Any = None,
    isolation: str = "in_place",
) -> WalkRecord:
    """A run on the model itself, which is trained again afterwards; the record of calls begins with it."""
    subject = ar.Subject(
        net, inputs, targets, seed=seed, batch_size=batch_size, isolation=isolation, progress=progress
    )
    walk = Walk(
        strategy or CascadingRandomization(),
        draws,
        explainers or (Gradient(),),
        resolve_measures(list(measures)),
        observe,
    )
    FakeAdapter.calls.clear()
    return run(subject, Needs((walk,)), shard_bytes=shard_bytes).walks[0]


def function(explain: Any, name: str = "mine") -> FunctionExplainer:
    return FunctionExplainer(explain, name)


def assert_same(first: WalkRecord, second: WalkRecord, tolerance: float) -> None:
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
    """One that reads trained values of a copy that is made now, and leaves the adapter as random as it is."""
    trained = settings.pop("trained", None) or adapter.clone()
    return Randomizer(adapter, plan, Streams(seed), trained=trained, **settings)


@contextmanager
def randomizing_of(
    adapter: FakeAdapter, strategy: ModelRandomizationStrategy, *, seed: int = 0, **settings: Any
) -> Iterator[Randomizer]:
    plan = strategy.plan(adapter.layers())
    with randomizing(adapter, [plan], Streams(seed), **{"trained": None, **settings}) as (one,):
        yield one


def changed(net: Net, before: Mapping[tuple[str, str], bytes]) -> set[str]:
    """The layers that hold another parameter or statistic than before."""
    return {layer for (layer, name), bits in weights_of(net).items() if bits != before[layer, name]}


def trained_layer(layer: Layer, values: dict[str, Array]) -> TrainedLayer:
    return TrainedLayer(layer, {name: value.dtype for name, value in values.items()}, lambda: values)
