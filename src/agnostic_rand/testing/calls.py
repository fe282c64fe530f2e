"""Calls of the contract and of the capabilities, as the checks of purity and randomness make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from agnostic_rand.adapters import (
    SupportsExternalExplainers,
    SupportsFromLayer,
    SupportsLayerGradient,
    SupportsNativeInit,
    SupportsOutputAndGradient,
    SupportsRandomState,
    SupportsStatistics,
    SupportsTraining,
)
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.from_layer import starting_layers

Call: TypeAlias = Callable[[], Any]


def calls(bench: Bench) -> Iterator[tuple[str, Call]]:
    """The calls after which the model must be as before, each with a name."""
    adapter, inputs = bench.adapter, bench.inputs
    labels = adapter.asarray(bench.labels)
    first = bench.layers[0].name
    yield "layers", adapter.layers
    yield "read", lambda: [adapter.read(layer.name) for layer in bench.layers]
    yield "asarray, to_numpy and to_native", lambda: _round_trip(bench)
    yield "predict", lambda: adapter.predict(inputs)
    yield "clone", adapter.clone
    if bench.case.inputs.dtype.kind == "f":
        yield "gradient", lambda: adapter.gradient(inputs, labels)
        for rule in bench.working_rules():
            yield f"gradient with relu={rule!r}", partial(adapter.gradient, inputs, labels, relu=rule)
        if isinstance(adapter, SupportsOutputAndGradient):
            yield "output_and_gradient", lambda: adapter.output_and_gradient(inputs, labels)
    if isinstance(adapter, SupportsNativeInit):
        yield "native_init", lambda: [adapter.native_init(layer.name, 5) for layer in bench.layers]
    if isinstance(adapter, SupportsStatistics):
        yield "estimate_statistics", lambda: adapter.estimate_statistics(inputs, with_statistics(bench))
    if isinstance(adapter, SupportsLayerGradient):
        yield "layer_shapes", lambda: adapter.layer_shapes(inputs)
        named = list(adapter.layer_shapes(inputs))
        if named and bench.case.inputs.dtype.kind == "f":
            inner = first if first in named else named[0]
            yield "layer_gradient", partial(adapter.layer_gradient, inputs, labels, inner)
    if isinstance(adapter, SupportsFromLayer) and bench.case.inputs.dtype.kind == "f":
        yield "from_layer", lambda: _from_layer(bench)
    if isinstance(adapter, SupportsRandomState):
        yield "random_state", adapter.random_state
    if isinstance(adapter, SupportsExternalExplainers):
        yield "explaining", lambda: _explain(adapter, inputs)


def changing_calls(bench: Bench) -> Iterator[tuple[str, Call]]:
    """The calls that change the model and nothing else: run them within `bench.restored()`."""
    yield "write", lambda: bench.write(bench.other_values(seed=6))
    adapter = bench.adapter
    if isinstance(adapter, SupportsTraining) and bench.classes > 1:
        yield (
            "a training step",
            lambda: adapter.trainer(learning_rate=1e-3, seed=3)(bench.case.inputs, bench.labels),
        )


def failing_calls(bench: Bench) -> Iterator[tuple[str, Call]]:
    """Calls with inputs that a model cannot take: whether they fail is the model's affair."""
    adapter = bench.adapter
    n = bench.case.inputs.shape[0]
    labels = adapter.asarray(bench.labels)
    for shape in ((n, 1, 1, 1, 1, 1, 1), (n, *(d + 1 for d in bench.case.inputs.shape[1:])), (n,)):
        bad = adapter.asarray(np.ones(shape, bench.case.inputs.dtype))
        yield f"predict on shape {shape}", partial(adapter.predict, bad)
        yield f"gradient on shape {shape}", partial(adapter.gradient, bad, labels)
        if isinstance(adapter, SupportsStatistics):
            estimate = partial(adapter.estimate_statistics, bad, with_statistics(bench))
            yield f"estimate_statistics on shape {shape}", estimate
        if isinstance(adapter, SupportsLayerGradient):
            inside = partial(adapter.layer_gradient, bad, labels, bench.layers[0].name)
            yield f"layer_gradient on shape {shape}", inside


def with_statistics(bench: Bench) -> list[str]:
    """The names of layers that have running means or variances."""
    return [layer.name for layer in bench.layers if any(s.role in ("mean", "variance") for s in layer.statistics)]


def _round_trip(bench: Bench) -> Any:
    array = bench.adapter.asarray(bench.case.inputs)
    return bench.adapter.to_numpy(array), bench.adapter.to_native(array)


def _explain(adapter: Any, inputs: Any) -> Any:
    with adapter.explaining(inputs) as captured:
        return captured()


def _from_layer(bench: Bench) -> Any:
    labels = bench.adapter.asarray(bench.labels)
    rests = list(starting_layers(bench).values())[:1]
    return [(rest.predict(rest.output), rest.gradient(rest.output, labels)) for rest in rests]
