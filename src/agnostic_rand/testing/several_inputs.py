"""SupportsSeveralInputs: a model of two inputs, the second of which multiplies the outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.adapters import (
    HostArray,
    ModelAdapter,
    SupportsFromLayer,
    SupportsLayerGradient,
    SupportsSeveralInputs,
)
from agnostic_rand.testing.bench import Bench, open_adapter
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import expect_close
from agnostic_rand.testing.expectation import NotApplicableError, expect
from agnostic_rand.testing.from_layer import starting_layers


def outputs(bench: Bench) -> None:
    """The outputs are the model's times the second input, for copies of the batch and for its first rows too."""
    adapter, factors = _two_inputs(bench)
    due = bench.outputs * factors
    x, half = bench.inputs, len(due) // 2
    view, other = _view(adapter, factors), _view(adapter, factors + 1)
    expect_close(bench.predict(x, view), due, bench.tolerance, "the outputs")
    expect_close(bench.predict(x, other), due + bench.outputs, bench.tolerance, "the outputs beside other inputs")
    expect_close(bench.predict(x, view), due, bench.tolerance, "the outputs when asked for again")
    expect_close(bench.predict(x[:half, ...], view), due[:half], bench.tolerance, "the outputs of the first rows")
    twice = bench.predict(adapter.xp.concat([x, x], axis=0), view)
    expect_close(twice[: len(due)], due, bench.tolerance, "the outputs of the first of two copies")
    expect_close(twice[len(due) :], due, bench.tolerance, "the outputs of the second of two copies")


def gradient(bench: Bench) -> None:
    """Gradients with respect to the first input, and at layers, are the model's times the second input."""
    bench.need_gradient()
    adapter, factors = _two_inputs(bench)
    view = _view(adapter, factors)
    labels = adapter.asarray(bench.labels)

    def times(array: HostArray) -> HostArray:
        scaled: HostArray = array * factors.reshape(-1, *[1] * (array.ndim - 1))
        return scaled

    found = bench.host(view.gradient(bench.inputs, labels))
    expect_close(found, times(bench.gradient(bench.labels)), bench.tolerance, "the gradient")
    if isinstance(bench.adapter, SupportsLayerGradient):
        name = next((layer.name for layer in bench.layers if layer.name in view.layer_shapes(bench.inputs)), None)
        if name is not None:
            _, due = bench.adapter.layer_gradient(bench.inputs, labels, name)
            _, held = view.layer_gradient(bench.inputs, labels, name)
            expect_close(
                bench.host(held), times(bench.host(due)), bench.tolerance, f"the gradient at layer {name!r}"
            )
    if isinstance(bench.adapter, SupportsFromLayer):
        for name in list(starting_layers(bench))[:1]:
            rest = view.from_layer(bench.inputs, name)
            made = bench.host(rest.predict(rest.output))
            expect_close(made, times(bench.outputs), bench.tolerance, f"the outputs from layer {name!r}")


def weights(bench: Bench) -> None:
    """The model of two inputs has the weights of the adapter that it is a view of, which stays as it is."""
    adapter, factors = _two_inputs(bench)
    capable: Any = adapter
    expect(capable.side_inputs is None, "side_inputs is not None on an adapter that was not made by beside")
    view = _view(adapter, factors)
    expect(view.side_inputs is not None, "side_inputs is None on what beside returned")
    expect(capable.side_inputs is None, "beside changed the adapter itself")
    try:
        bench.write(bench.other_values(3), adapter)
        moved = bench.predict(bench.inputs, _view(adapter, factors))
        bench.write(bench.other_values(3))
        expect_close(moved, bench.predict(bench.inputs) * factors, bench.tolerance, "the outputs after a write")
    finally:
        bench.write(bench.values, adapter)
        bench.write(bench.values)


def _two_inputs(bench: Bench) -> tuple[ModelAdapter, HostArray]:
    """The adapter of the model of two inputs, and factors `(n, 1)` for its second."""
    bench.need(SupportsSeveralInputs)
    times = bench.case.facts.times
    if times is None:
        raise NotApplicableError("the case does not give facts.times")
    factors = np.linspace(0.5, 2.0, len(bench.outputs), dtype=np.float32)[:, None]
    return open_adapter(bench.case, forward=times, example_beside=(None, factors[:1])), factors


def _view(adapter: ModelAdapter, factors: HostArray) -> Any:
    capable: Any = adapter
    return capable.beside((None, adapter.asarray(factors)))


CHECKS = checks("several_inputs", outputs, gradient, weights)
